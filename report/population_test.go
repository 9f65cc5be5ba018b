package report

import (
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// between is a flow between hosts a and b, the server b on port 80.
func between(a, b int, client, server fsm.State) *reassembly.Flow {
	var x, y [16]byte
	x[10], x[11], y[10], y[11] = 0xff, 0xff, 0xff, 0xff
	x[13], x[14], x[15] = byte(a>>16), byte(a>>8), byte(a)
	y[13], y[14], y[15] = byte(b>>16), byte(b>>8), byte(b)
	f := &reassembly.Flow{}
	f.Tuple, f.Client = tcp.MakeTuple(&x, &y, 1024, 80)
	f.Endpoint(f.Client).State = client
	f.Endpoint(f.Server()).State = server
	return f
}

func judgesOf(flows ...*reassembly.Flow) []*judge {
	judges := []*judge{{}, {}}
	for i, f := range flows {
		judges[i%2].people.approach(f)
		judges[i%2].people.add(f)
	}
	return judges
}

func TestStates(t *testing.T) {
	open := between(1, 2, fsm.Established, fsm.SynRcvd)
	open.Handshake.SYNACKRef = 7
	again := between(3, 2, fsm.Closed, fsm.TimeWait)
	again.Handshake.SYNACKRef = 8
	both := between(4, 5, fsm.Established, fsm.Established)
	both.Handshake.SYNACKRef, both.Handshake.Outcome = 9, reassembly.Simultaneous
	loop := between(6, 6, fsm.FinWait2, fsm.CloseWait)
	list := takeCensus(judgesOf(open, again, both, loop), 42).states()
	want := map[string]map[fsm.State]uint64{
		"*": {fsm.Listen: 1, fsm.Established: 3, fsm.SynRcvd: 1, fsm.TimeWait: 1, fsm.FinWait2: 1, fsm.CloseWait: 1},
		// 0.0.0.3 holds nothing and was no listener.
		"0.0.0.1": {fsm.Established: 1},
		"0.0.0.2": {fsm.Listen: 1, fsm.SynRcvd: 1, fsm.TimeWait: 1},
		"0.0.0.4": {fsm.Established: 1},
		"0.0.0.5": {fsm.Established: 1},
		"0.0.0.6": {fsm.FinWait2: 1, fsm.CloseWait: 1},
	}
	if len(list) != len(want) {
		t.Errorf("%d hosts, want %d", len(list), len(want))
	}
	for i, s := range list {
		host := "*"
		if s.Host.IsValid() {
			host = s.Host.String()
		}
		if s.Time != 42 || (i == 0) != (host == "*") {
			t.Errorf("%s at %d in place %d", host, s.Time, i)
		}
		for st := fsm.Closed; st <= fsm.TimeWait; st++ {
			if s.Counts[st] != want[host][st] {
				t.Errorf("%s %v: %d, want %d", host, st, s.Counts[st], want[host][st])
			}
		}
	}
}

// With more hosts than memory is given for, only the sum is told, and it is
// exact.
func TestManyHosts(t *testing.T) {
	var flows []*reassembly.Flow
	for i := range 3 * hostsKept {
		flows = append(flows, between(i+10, 1, fsm.SynSent, fsm.Closed))
	}
	c := takeCensus(judgesOf(flows...), 0)
	list := c.states()
	if len(list) != 1 || !c.incomplete || list[0].Counts[fsm.SynSent] != 3*hostsKept {
		t.Errorf("%d lines, %v", len(list), list[0])
	}
}

// A cloned population goes its own way.
func TestClonePopulation(t *testing.T) {
	var p population
	p.add(between(1, 2, fsm.Established, fsm.Established))
	c := p.clone()
	f := between(1, 2, fsm.Established, fsm.Established)
	f.Handshake.SYNACKRef = 1
	c.add(f)
	if list := takeCensus([]*judge{{people: p}}, 0).states(); list[0].Counts[fsm.Established] != 2 ||
		list[1].Counts[fsm.Established] != 1 || list[0].Counts[fsm.Listen] != 0 {
		t.Errorf("the original: %v", list)
	}
	if list := takeCensus([]*judge{{people: c}}, 0).states(); list[0].Counts[fsm.Established] != 4 || list[0].Counts[fsm.Listen] != 1 {
		t.Errorf("the clone: %v", list)
	}
}

func TestVantage(t *testing.T) {
	handshake := func(toServer, toClient int64) *reassembly.Handshake {
		return &reassembly.Handshake{Outcome: reassembly.Complete, LastSYN: 1e9, SYNACK: 1e9 + toServer,
			ACK: 1e9 + toServer + toClient, LastSYNRef: 1, SYNACKRef: 2, ACKRef: 3}
	}
	near, far, between := handshake(20e6, 1e5), handshake(1e5, 20e6), handshake(10e6, 12e6)
	loopback, backwards := handshake(3e4, 1e4), handshake(-5e6, 1e6)
	unseen := handshake(20e6, 1e5)
	unseen.LastSYNRef = 0
	for _, c := range []struct {
		name string
		list []*reassembly.Handshake
		want Vantage
	}{
		{"nothing", nil, 0},
		{"client", []*reassembly.Handshake{near, near, near, near, far}, NearClient},
		{"server", []*reassembly.Handshake{far, far, far, far, near}, NearServer},
		{"between", []*reassembly.Handshake{between}, Between},
		{"undecided", []*reassembly.Handshake{near, near, near, far}, 0},
		{"tells nothing", []*reassembly.Handshake{loopback, backwards, unseen}, 0},
	} {
		var h halves
		for _, s := range c.list {
			h.add(s)
		}
		if got := h.vantage(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
