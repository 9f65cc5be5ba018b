package report

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// A finding that a party did not close is no more than possible where the other
// side of an address translation shows that it did; one that the other side
// shows too stands. The order of the flows does not matter.
func TestDoubt(t *testing.T) {
	const vip, real = "192.0.2.1:80", "198.51.100.7:80"
	service := netip.MustParseAddrPort(vip)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		disproved, confirmed, alone int
		certain, possible           uint64 // after
		doubt                       string
	}{
		{0, 2, 1, 3, 0, ""},
		{1, 0, 0, 0, 1, "But the server's FIN passed the tap behind an address translation (frame 9, between 10.0.0.1:4000 and 198.51.100.7:80), which did not hand it on."},
		{2, 0, 1, 0, 3, "But on 2 flows the server's FIN passed the tap"},
		{1, 2, 1, 3, 1, "But the server's FIN passed the tap"},
	} {
		s := newGroups(&Options{ListFindings: true})
		var w twice
		type seen struct {
			server string
			isn    uint32
			closed bool
			id     uint64
		}
		var flows []seen
		id := uint64(100)
		for i := range c.disproved + c.confirmed + c.alone {
			flows = append(flows, seen{vip, uint32(i), false, id})
			if i < c.disproved+c.confirmed {
				flows = append(flows, seen{real, uint32(i), i < c.disproved, id + 1})
			}
			id += 2
		}
		rng.Shuffle(len(flows), func(i, k int) { flows[i], flows[k] = flows[k], flows[i] })
		for _, x := range flows {
			f := opened(0, "10.0.0.1:4000", x.server, [2]uint32{x.isn, x.isn + 7}, x.id)
			on := blame{}
			if x.closed {
				e := f.Endpoint(f.Server())
				e.FIN, e.FINRef = 1, tcp.Ref(0, 9)
			} else {
				d := diagnose.Finding{Rule: unanswered, Who: diagnose.ServerApp, Severity: diagnose.Error,
					Confidence: diagnose.Certain, Service: f.Addr(f.Server()), Flow: f.ID, Verdict: "it did not close"}
				on = blame{keyOf(&d), d.Severity, d.Confidence, true}
				s.add(f.ID, &found{Finding: d})
			}
			w.add(f, &on)
		}
		s.doubts(&w, make([]Source, 1))
		for _, g := range s.ranked(0) {
			if g.Service != service {
				continue
			}
			if got := [2]uint64{g.Counts[diagnose.Error][diagnose.Certain], g.Counts[diagnose.Error][diagnose.Possible]}; got != [2]uint64{c.certain, c.possible} {
				t.Errorf("%+v: %v", c, got)
			}
			if !strings.HasPrefix(g.doubt, c.doubt) || (c.doubt == "") != (g.doubt == "") {
				t.Errorf("%+v: %q", c, g.doubt)
			}
		}
		list, _ := s.findings()
		told := 0
		for i := range list {
			if strings.Contains(list[i].Verdict, "; but the server's FIN passed") {
				told++
				if list[i].Confidence != diagnose.Possible {
					t.Errorf("%+v: %s", c, list[i].Confidence)
				}
			}
		}
		if told != c.disproved {
			t.Errorf("%+v: %d findings say it", c, told)
		}
	}
}

// An RST on the other side that did not come from here ended the blamed party's
// socket there, unless that side shows too that the party had not closed before.
func TestDoubtByRST(t *testing.T) {
	for name, c := range map[string]struct {
		here, blamedThere bool // also an RST on this side; the same finding there
		want              diagnose.Confidence
	}{
		"forgotten on the way":   {false, false, diagnose.Possible},
		"the client's own":       {true, false, diagnose.Likely},
		"long after, as a probe": {false, true, diagnose.Likely},
	} {
		s := newGroups(&Options{})
		var w twice
		for i, server := range []string{"192.0.2.1:80", "198.51.100.7:80"} {
			f := opened(0, "10.0.0.1:4000", server, [2]uint32{1, 7}, uint64(100+i))
			on := blame{}
			if i == 0 || c.blamedThere {
				d := diagnose.Finding{Rule: unanswered, Who: diagnose.ServerApp, Severity: diagnose.Error,
					Confidence: diagnose.Likely, Service: f.Addr(f.Server()), Flow: f.ID, Verdict: "it did not close"}
				on = blame{keyOf(&d), d.Severity, d.Confidence, true}
				s.add(f.ID, &found{Finding: d})
			}
			if i == 1 || c.here {
				f.Reset.Ref, f.Reset.By = tcp.Ref(0, 9), f.Client
			}
			w.add(f, &on)
		}
		s.doubts(&w, make([]Source, 1))
		g := s.ranked(0)[0]
		if got := g.Counts[diagnose.Error][c.want]; got == 0 {
			t.Errorf("%s: %v", name, g.Counts[diagnose.Error])
		}
		if want := "But an RST in the client's name passed the tap"; strings.HasPrefix(g.doubt, want) != (c.want == diagnose.Possible) {
			t.Errorf("%s: %q", name, g.doubt)
		}
	}
}
