package report

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// What was not looked for is not said to be absent.
func TestRestricted(t *testing.T) {
	closed := func(only, not []string) *Report {
		r := reportOf(312)
		r.Rules, r.NotAsked = only, not
		r.ByClose[reassembly.CloseOrderly], r.ByClose[reassembly.CloseHalf] = 300, 12
		return r
	}
	names := strings.Fields("a b c d e f")
	for want, r := range map[string]*Report{
		"No half-close found in 312 flows (6 other rules were not asked for): 300 closed by FIN, 12 closed by one side so far.":                               closed([]string{"half-close"}, names),
		"No x, y or z found in 312 flows (the rule a was not asked for): 300 closed by FIN, 12 closed by one side so far.":                                    closed([]string{"x", "y", "z"}, names[:1]),
		"No finding of the 6 rules asked for was found in 312 flows (the rules x and y were not asked for): 300 closed by FIN, 12 closed by one side so far.": closed(names, []string{"x", "y"}),
		"No finding in 312 flows: 300 closed by FIN, 12 closed by one side so far.":                                                                           closed(names, nil),
	} {
		if got := strings.Join(r.verdict(), " "); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
	r := reportOf(9, Group{Rule: "syn-flood", Service: netip.MustParseAddrPort("192.0.2.1:80"), Count: 2})
	r.NotAsked = []string{"x"}
	if got := strings.Join(r.verdict(), " "); !strings.HasSuffix(got, " The rule x was not asked for.") {
		t.Errorf("%q does not end in what was not asked for", got)
	}
}

// All is well only where every flow closed in order or is open to the end.
func TestFine(t *testing.T) {
	for _, c := range []struct {
		kind reassembly.Close
		well bool
	}{
		{reassembly.CloseOrderly, true}, {reassembly.CloseSimultaneous, true}, {reassembly.CloseOpen, true},
		{reassembly.CloseReset, false}, {reassembly.CloseRefused, false}, {reassembly.CloseUnanswered, false},
		{reassembly.CloseFINUnacked, false}, {reassembly.CloseHalf, false},
	} {
		r := reportOf(3)
		r.ByClose[reassembly.CloseOrderly], r.ByClose[c.kind] = 2, r.ByClose[c.kind]+1
		if c.kind == reassembly.CloseOrderly {
			r.ByClose[c.kind] = 3
		}
		got := r.verdict()[0]
		if well := strings.HasPrefix(got, "No teardown problems in 3 flows: "); well != c.well || !well && !strings.HasPrefix(got, "No finding in 3 flows: ") {
			t.Errorf("%s: %q", c.kind, got)
		}
	}
}

// A flow that is open because it never opened, or of which one side is missing,
// is not called open.
func TestNotOpen(t *testing.T) {
	both := func(out reassembly.Outcome) *reassembly.Flow {
		f := &reassembly.Flow{Client: tcp.SideA, Close: reassembly.CloseOpen}
		f.Handshake.Outcome = out
		for i := range f.Ends {
			f.Ends[i] = reassembly.Endpoint{Sent: true, Packets: 1}
		}
		return f
	}
	deaf := both(reassembly.Unseen)
	deaf.Ends[0] = reassembly.Endpoint{}
	deaf.Ends[1].Packets, deaf.Ends[1].SYN = 7, 1
	deaf.Quality, deaf.Ends[1].Retransmits = reassembly.QualityOneWay, 5
	deaf.Midstream = true
	backscatter := both(reassembly.Incomplete)
	backscatter.Ends[0] = reassembly.Endpoint{}
	backscatter.Ends[1].SYN = 1
	backscatter.Handshake.SYNACKRef = tcp.Ref(0, 1)
	deaf.Handshake.SYNACKRef = tcp.Ref(0, 1) // and more than that was heard of the server
	for want, f := range map[string]*reassembly.Flow{
		"No teardown problems in 1 flow: 1 still open.":     both(reassembly.Complete),
		"No finding in 1 flow: 1 not seen to open.":         both(reassembly.Incomplete),
		"No finding in 1 flow: 1 heard from one side only.": deaf,
	} {
		r := reportOf(1)
		r.ByClose[f.Close] = 1
		r.Health.endings.add(f)
		if got := strings.Join(r.verdict(), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var sum, part endings
	part.add(deaf)
	part.add(backscatter)
	sum.plus(&part)
	sum.plus(&part)
	if want := (endings{unopened: 2, unheard: 2, lone: 2, repeats: 10, vain: 2, oneSaid: 2}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// What is not known of the capture is not claimed.
func TestCaptureWords(t *testing.T) {
	for want, h := range map[string]Health{
		"complete, drops not recorded":                                        {},
		"complete, 0 drops, tap near the client":                              {DropsCounted: true, Vantage: NearClient},
		"incomplete, 7 drops":                                                 {KernelDrops: 7, Incomplete: true},
		"read to its end, with gaps, 0 drops":                                 {DropsCounted: true, OneWay: 1},
		"read to its end, with gaps, drops not recorded":                      {AckedUnseen: 1},
		"read to its end, with gaps, 0 drops, tap near the server":            {unseen: 1, DropsCounted: true, Vantage: NearServer},
		"read to its end, with a clock that stepped back, drops not recorded": {steppedBack: true},
	} {
		if got := (&Report{Health: h}).Capture(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, n := range map[string]uint64{
		"read to its end, through a filter, drops not recorded": 8,
		"complete, drops not recorded":                          7, // it left nothing out
	} {
		if got := (&Report{Packets: 7, Filter: Filter{Expr: "tcp", Read: n}}).Capture(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
