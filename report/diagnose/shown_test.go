package diagnose

import (
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// shows is a flow of those segments, watched for ten seconds.
func shows(client, server reassembly.Endpoint) *reassembly.Flow {
	f := flow("192.0.2.1", "192.0.2.2")
	f.Client, f.Until = tcp.SideA, 10e9
	f.Ends = [2]reassembly.Endpoint{client, server}
	for i := range f.Ends {
		d := &f.Ends[i]
		d.Packets += d.SYN + d.FIN + d.RST
	}
	if client.SYN > 0 {
		f.Handshake.FirstSYNRef = tcp.Ref(0, 1)
	}
	if server.SYN > 0 {
		f.Handshake.SYNACKRef = tcp.Ref(0, 2)
	}
	return f
}

// A filter on flags is named by what it left.
func TestFilteredOnFlags(t *testing.T) {
	type ends = reassembly.Endpoint
	syn, none := ends{SYN: 1}, ends{}
	for _, c := range []struct {
		name, kinds, filter string // "" where there is none
		f                   *reassembly.Flow
	}{
		{"FINs", "FINs", "tcp[tcpflags] & tcp-fin != 0", shows(ends{FIN: 1}, none)},
		{"flags", "SYN, FIN and RST", "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0", shows(ends{SYN: 1, FIN: 1}, syn)},
		{"closed and seen", "", "", shows(ends{SYN: 1, FIN: 1, Packets: 1}, syn)},
		{"SYNs", "SYNs", "tcp[tcpflags] == tcp-syn", shows(syn, none)},
		{"SYNs again", "", "", shows(ends{SYN: 3}, none)},
		{"copies of SYNs", "SYNs", "tcp[tcpflags] == tcp-syn", shows(ends{SYN: 2, Duplicates: 1}, none)},
		{"SYN-ACKs", "SYNs and SYN-ACKs", "tcp[tcpflags] & tcp-syn != 0", shows(syn, syn)},
		{"SYN-ACKs again", "", "", shows(syn, ends{SYN: 3})},
		{"opened", "", "", shows(ends{SYN: 1, Packets: 1}, syn)},
		{"refused", "", "", shows(syn, ends{RST: 1})},
		{"RSTs besides", "SYNs, SYN-ACKs and RSTs", "tcp[tcpflags] & (tcp-syn|tcp-rst) != 0", shows(ends{SYN: 1, RST: 1}, syn)},
	} {
		var part, n Shown
		for range 3 {
			part.add(c.f)
		}
		if part.Filtered() {
			t.Errorf("%s: three flows are taken for a filter", c.name)
		}
		n.plus(&part)
		n.plus(&part)
		if n.Filtered() != (c.kinds != "") {
			t.Errorf("%s: filtered is %v: %+v", c.name, n.Filtered(), n)
		}
		if cut := n.Cut(); c.kinds != "" && (cut.Kinds != c.kinds || cut.Filter != c.filter || n.Flows() != 6) {
			t.Errorf("%s: %d flows of %s by %s", c.name, n.Flows(), cut.Kinds, cut.Filter)
		}
	}
}

// A SYN that is no longer repeated may have been answered, unless its timer is
// through or its next repetition is yet to come.
func TestStopped(t *testing.T) {
	for _, c := range []struct {
		at    []int64 // ms
		until int64
		want  bool
	}{
		{[]int64{0}, 60000, false},
		{[]int64{0, 1000}, 3000, false},
		{[]int64{0, 1000}, 4000, true},
		{[]int64{0, 1000, 3000, 7000}, 16000, false},
		{[]int64{0, 1000, 3000, 7000}, 18000, true},
		{[]int64{0, 1020, 2040, 3060}, 4100, false}, // linear, as Linux since 6.5
		{[]int64{0, 1020, 2040, 3060}, 5000, true},
		{[]int64{0, 1020, 2040, 3060, 4080, 5100}, 7000, false}, // and then it doubles
		{[]int64{0, 1020, 2040, 3060, 4080, 5100, 7120}, 60000, false},
		{[]int64{0, 1000, 3000, 7000, 15000, 31000}, 200000, false},
		{[]int64{0, 530, 1130}, 1200, true}, // after RSTs
		{[]int64{0, 200, 400}, 900, false},
	} {
		at := make([]int64, len(c.at))
		for i, ms := range c.at {
			at[i] = ms * 1e6
		}
		if got := stopped(at, c.until*1e6); got != c.want {
			t.Errorf("%v until %d ms: %v", c.at, c.until, got)
		}
	}
}
