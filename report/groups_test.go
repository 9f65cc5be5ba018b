package report

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

var service = netip.MustParseAddrPort("10.0.0.1:80")

// findingAt is a finding on flow n.
func findingAt(n int, at, duration int64) diagnose.Finding {
	return diagnose.Finding{
		Rule: "fin-unanswered", Severity: diagnose.Error, Confidence: diagnose.Likely, Who: diagnose.ServerApp,
		Flow: tcp.Ref(0, uint64(n)), Client: netip.MustParseAddrPort("10.0.0.9:1024"), Service: service,
		Time: at, Duration: duration, Verdict: fmt.Sprint(n),
	}
}

func add(s *groups, d diagnose.Finding) {
	s.add(d.Flow, &found{d, &reassembly.Flow{ID: d.Flow}})
}

// A group counts everything, lists the first thousand and names the first
// twenty flows, whatever the order in which findings come.
func TestGroupBounds(t *testing.T) {
	for _, every := range []bool{false, true} {
		s := newGroups(&Options{ListFindings: true, AllFindings: every})
		for i := range 5000 {
			n := (i*2003)%5000 + 1
			add(&s, findingAt(n, int64(n), int64(n%7)))
		}
		list, rest := s.findings()
		g := s.ranked(0)[0]
		if g.Count != 5000 || g.FlowCount != 5000 || g.First != 1 || g.Last != 5000 || g.Longest != 6 {
			t.Errorf("group %+v", g)
		}
		if len(g.Flows) != 20 || g.Flows[0].Frame() != 1 || g.Flows[19].Frame() != 20 {
			t.Errorf("flows %v", g.Flows)
		}
		if g.Example.Flow.Frame() != 6 || g.Flow.ID != g.Example.Flow {
			t.Errorf("example %v, flow %v", g.Example.Flow, g.Flow.ID)
		}
		want := 1000
		if every {
			want = 5000
		}
		if len(list) != want || rest != uint64(5000-want) {
			t.Fatalf("%d listed, %d not", len(list), rest)
		}
		for i, d := range list {
			if d.Time != int64(i+1) {
				t.Fatalf("finding %d is of time %d", i, d.Time)
			}
		}
	}
}

// The graver finding makes the example, then the surer, the longer, the earlier.
func TestExample(t *testing.T) {
	base := findingAt(5, 50, 10)
	graver, surer, longer, earlier := base, base, base, base
	base.Severity, surer.Severity, longer.Severity, earlier.Severity = 2, 2, 2, 2
	surer.Confidence = diagnose.Certain
	longer.Duration = 11
	earlier.Time = 49
	for _, better := range []diagnose.Finding{graver, surer, longer, earlier} {
		if !rankOf(&better).worse(rankOf(&base)) || rankOf(&base).worse(rankOf(&better)) {
			t.Errorf("%+v is not preferred", better)
		}
	}
	if rankOf(&base).worse(rankOf(&base)) {
		t.Error("a finding is worse than itself")
	}
}

// Services beyond a thousand share one group; those that have one stay exact.
func TestManyServices(t *testing.T) {
	s := newGroups(&Options{})
	for round := range 2 {
		for i := range 3000 {
			d := findingAt(3000*round+i+1, int64(i), 0)
			d.Service = netip.AddrPortFrom(service.Addr(), uint16(i+1))
			add(&s, d)
		}
	}
	list := s.ranked(0)
	if len(list) != groupServices+1 {
		t.Fatalf("%d groups", len(list))
	}
	if rest := list[0]; rest.Service.IsValid() || rest.Count != 4000 {
		t.Errorf("the rest: %+v", rest)
	}
	for _, g := range list[1:] {
		if g.Count != 2 || g.Service.Port() > groupServices {
			t.Errorf("%v: %d", g.Service, g.Count)
		}
	}
}

// What the capture lost caps every confidence, in groups and tallies.
func TestCapped(t *testing.T) {
	s := newGroups(&Options{})
	sure := findingAt(1, 1, 0)
	sure.Confidence = diagnose.Certain
	add(&s, sure)
	add(&s, findingAt(2, 2, 0))
	g := s.ranked(diagnose.Likely)[0]
	if g.Confidence != diagnose.Likely || g.Example.Confidence != diagnose.Likely || g.Counts[diagnose.Error][diagnose.Likely] != 2 {
		t.Errorf("%+v", g)
	}
	lower(&sure, diagnose.Likely)
	if sure.Confidence != diagnose.Likely || sure.LoweredBy != reassembly.QualityCaptureLoss {
		t.Errorf("finding %+v", sure)
	}
	if g := s.ranked(0)[0]; g.Confidence != diagnose.Certain {
		t.Errorf("uncapped %+v", g)
	}
}

func TestTally(t *testing.T) {
	var n Tally
	n[diagnose.Error][diagnose.Possible] = 3
	n[diagnose.Warning][diagnose.Likely] = 2
	for _, c := range []struct {
		s    diagnose.Severity
		want bool
	}{{diagnose.Error, false}, {diagnose.Warning, true}} {
		if n.Any(c.s) != c.want {
			t.Errorf("any %v is %v", c.s, !c.want)
		}
	}
	if n.Total() != 5 || n.worst() != diagnose.Error || n.surest() != diagnose.Likely {
		t.Errorf("%d, %v, %v", n.Total(), n.worst(), n.surest())
	}
}

// A snapshot's groups go their own way.
func TestCloneGroups(t *testing.T) {
	s := newGroups(&Options{ListFindings: true})
	add(&s, findingAt(1, 1, 0))
	c := s.clone()
	add(&c, findingAt(2, 2, 0))
	list, _ := s.findings()
	if g := s.ranked(0)[0]; g.Count != 1 || len(list) != 1 || !slices.Equal(g.Flows, []tcp.PacketRef{tcp.Ref(0, 1)}) {
		t.Errorf("the original: %+v", g)
	}
	if g := c.ranked(0)[0]; g.Count != 2 || len(g.Flows) != 2 {
		t.Errorf("the clone: %+v", g)
	}
}
