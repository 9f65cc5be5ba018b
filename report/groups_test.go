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
	s.add(d.Flow, &found{Finding: d, flow: &reassembly.Flow{ID: d.Flow}})
}

// Rows that are not shown are named by how grave they are.
func TestMoreKinds(t *testing.T) {
	const e, w, i = diagnose.Error, diagnose.Warning, diagnose.Info
	for _, c := range []struct {
		rest []diagnose.Severity
		want string
	}{
		{[]diagnose.Severity{w, w, i, i, i}, "5 more kinds, 2 warnings"},
		{[]diagnose.Severity{w, i}, "2 more kinds, 1 warning"},
		{[]diagnose.Severity{w, w}, "2 more kinds, all warnings"},
		{[]diagnose.Severity{w}, "1 more kind, a warning"},
		{[]diagnose.Severity{i, i}, "2 more kinds, no warnings"},
	} {
		rows := []Row{{Severity: e}, {Severity: e}}
		for _, s := range c.rest {
			rows = append(rows, Row{Severity: s})
		}
		if n := Errors(rows); n != 2 {
			t.Errorf("%v: %d errors", c.rest, n)
		}
		if got := MoreKinds(rows[2:]); got != c.want {
			t.Errorf("%v: %q, want %q", c.rest, got, c.want)
		}
	}
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

// What was not put into words counts, and is not listed where others left room.
func TestBareFindings(t *testing.T) {
	s := newGroups(&Options{ListFindings: true})
	d := findingAt(1, 1, 1)
	s.add(d.Flow, &found{Finding: d, flow: &reassembly.Flow{ID: d.Flow}})
	later := findingAt(2, 2, 1)
	s.add(later.Flow, &found{Finding: later, bare: true})
	list, rest := s.findings()
	if len(list) != 1 || list[0].Flow != d.Flow || rest != 1 {
		t.Errorf("%d listed, %d not", len(list), rest)
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
	sure.Weaken(diagnose.Likely, reassembly.QualityCaptureLoss)
	if sure.Confidence != diagnose.Likely || sure.LoweredBy != reassembly.QualityCaptureLoss {
		t.Errorf("finding %+v", sure)
	}
	if g := s.ranked(0)[0]; g.Confidence != diagnose.Certain {
		t.Errorf("uncapped %+v", g)
	}
}

// What rests on silence is likely at most where the capture lost packets, in lists,
// examples and counts, and what rests on packets stays. What another reason has
// lowered before is not lowered again.
func TestHush(t *testing.T) {
	s := newGroups(&Options{ListFindings: true})
	for i := range 5 {
		d := findingAt(i+1, int64(i), 0)
		d.Confidence, d.Silent = diagnose.Certain, i < 3
		add(&s, d)
	}
	first := findingAt(1, 0, 0)
	g := s.of(&first)
	g.counts.lower(diagnose.Error, diagnose.Certain)
	if !s.hush() || s.hush() {
		t.Error("it is lowered once")
	}
	want := [...]uint64{diagnose.Certain: 1, diagnose.Likely: 3, diagnose.Possible: 1}
	if g.counts[diagnose.Error] != want {
		t.Errorf("counts %v, want %v", g.counts[diagnose.Error], want)
	}
	for i := range g.list {
		d := &g.list[i]
		if lowered := d.Confidence == diagnose.Likely && d.LoweredBy == reassembly.QualityCaptureLoss; lowered != d.Silent {
			t.Errorf("%v, silent %v: lowered by %v", d.Confidence, d.Silent, d.LoweredBy.Names())
		}
	}
	if g.counts.lower(diagnose.Error, diagnose.Certain); g.counts[diagnose.Error][diagnose.Possible] != 2 {
		t.Errorf("after one more: %v", g.counts[diagnose.Error])
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

// Twenty thousand findings are one group, whose figures are exact, and whose
// clients are told apart within a bound.
func TestIncidentFigures(t *testing.T) {
	s := newGroups(&Options{})
	for i := range 20_000 {
		d := findingAt(i+1, int64(i)*second/10, int64(20_000-i)*second)
		d.Censored = i%4 != 0
		d.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i / 250 % 8), byte(i % 250)}), 1024)
		add(&s, d)
	}
	g := s.ranked(0)[0]
	n, more := g.Clients()
	if g.Count != 20_000 || g.StillOpen != 15_000 || g.Oldest != 19_999*second || g.Longest != 20_000*second || n != groupHosts || !more {
		t.Errorf("%+v", g)
	}
	p, ok := g.onsets.pace(g.First, g.Last)
	if !ok || p.First < 590 || p.First > 610 || p.Last < 590 || p.Last > 610 {
		t.Errorf("pace %+v", p)
	}
	if s.hosts != groupHosts {
		t.Errorf("%d clients are accounted for", s.hosts)
	}
}

// What is nothing unusual is left out as a whole, and counts stay exact although
// nothing is listed.
func TestProportion(t *testing.T) {
	var few diagnose.Delays
	s := newGroups(&Options{})
	for i := range 5000 {
		d := findingAt(i+1, int64(i), int64(i)*second/100)
		d.Rule, d.Slot = "fin-answered-late", 30+i%7
		d.Censored = i%2 == 0
		add(&s, d)
	}
	few = diagnose.Delays{Rule: "fin-answered-late", Who: diagnose.ServerApp, Service: service, N: 9000, P50: 5e6}
	for !few.Stands(34) || few.Stands(33) {
		few.P50 += 1e6
		if few.P50 > 100*second {
			t.Fatal("no median tells the slots apart")
		}
	}
	s.proportion([]diagnose.Delays{few})
	list := s.ranked(0)
	want := uint64(0)
	for i := range 5000 {
		if 30+i%7 >= 34 {
			want++
		}
	}
	if len(list) != 1 || list[0].Count != want || list[0].FlowCount != want || list[0].usual == nil || list[0].key().slot != 0 {
		t.Errorf("%d groups, %+v; want %d", len(list), list, want)
	}
}
