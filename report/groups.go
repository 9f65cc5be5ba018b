package report

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

const (
	// groupFindings is how many findings of one group are listed.
	groupFindings = 1000
	// groupFlows is how many flow ids a group names.
	groupFlows = 20
	// groupServices is how many services of one rule and party have a group of
	// their own; a scan would make one of every port. Further ones share a group
	// without a service.
	groupServices = 1000
	// listedFindings bounds the list over all groups.
	listedFindings = 200_000
)

// groupKey tells causes apart.
type groupKey struct {
	rule    string
	who     diagnose.Party
	service netip.AddrPort
	slot    int               // of what may not stand once all is known
	grade   diagnose.Severity // of a rule whose severities tell several things; else 0
}

func keyOf(d *diagnose.Finding) groupKey {
	return groupKey{d.Rule, d.Who, d.Service, d.Slot, grade(d.Rule, d.Severity)}
}

// grade tells findings of a rule apart that say several things: an error of
// write-after-fin blames the side that wrote, a lesser one the side that had
// closed. 0 for other rules.
func grade(rule string, s diagnose.Severity) diagnose.Severity {
	if rule == "write-after-fin" {
		return s
	}
	return 0
}

// of reports whether the key is that of a finding.
func (k *groupKey) of(d *diagnose.Finding) bool {
	return k.slot == d.Slot && k.who == d.Who && k.service == d.Service && k.rule == d.Rule && k.grade == grade(d.Rule, d.Severity)
}

// rank says how bad an example is.
type rank struct {
	severity   diagnose.Severity
	confidence diagnose.Confidence
	duration   int64
	time       int64
	flow       tcp.PacketRef
}

func rankOf(d *diagnose.Finding) rank {
	return rank{d.Severity, d.Confidence, d.Duration, d.Time, firstFlow(d)}
}

// worse reports whether r makes the better example: the graver and surer first,
// then the longest, then the earliest.
func (r rank) worse(o rank) bool {
	switch {
	case r.severity != o.severity:
		return r.severity < o.severity
	case r.confidence != o.confidence:
		return r.confidence < o.confidence
	case r.duration != o.duration:
		return r.duration > o.duration
	case r.time != o.time:
		return r.time < o.time
	}
	return r.flow < o.flow
}

// firstFlow is the flow that a finding is listed under.
func firstFlow(d *diagnose.Finding) tcp.PacketRef {
	if d.Flow == 0 && len(d.Flows) > 0 {
		return d.Flows[0]
	}
	return d.Flow
}

// group is the findings of one cause so far.
type group struct {
	key         groupKey
	counts      Tally
	silent      [diagnose.Info + 1]uint64 // of them, by severity: those that are certain and rest on silence
	clients     hosts
	flows       uint64
	open        uint64        // findings that were still so when the input ended
	oldest      int64         // the longest of those, ns
	onsets      bins          // of flows
	lastFlow    tcp.PacketRef // findings of one flow come together
	first, last int64
	longest     int64
	measured    spans    // what the findings measured, and
	passed      spans    // when they ended, from where that began
	ids         []flowAt // the first, by time and flow
	list        []diagnose.Finding
	cut         bool // list was cut to its bound
	example     diagnose.Finding
	flow        *reassembly.Flow
	usual       *diagnose.Delays // what the findings are to be seen against
	doubt       string           // a sentence on what speaks against the party
}

type flowAt struct {
	time int64
	flow tcp.PacketRef
}

func (a flowAt) compare(b flowAt) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.flow, b.flow))
}

// groups is all of them.
type groups struct {
	all      map[groupKey]*group
	last     *group           // of the last finding; nil when it may be gone
	services map[groupKey]int // groups of a rule and party, by the key without the service
	list     bool             // findings are wanted one by one,
	every    bool             // and all of them
	explain  map[string]bool  // rules that a pattern can replace: their findings are kept for it
	listed   int
	hosts    int // clients in all groups
}

func newGroups(opt *Options) groups {
	s := groups{
		all: map[groupKey]*group{}, services: map[groupKey]int{},
		list: opt.ListFindings, every: opt.AllFindings, explain: map[string]bool{},
	}
	for _, id := range diagnose.Covered(opt.Rules) {
		s.explain[id] = true
	}
	return s
}

func (s *groups) clone() groups {
	c := *s
	c.last = nil
	c.all = make(map[groupKey]*group, len(s.all))
	for k, g := range s.all {
		n := *g
		n.ids, n.list, n.clients = slices.Clone(g.ids), slices.Clone(g.list), g.clients.clone()
		c.all[k] = &n
	}
	c.services = make(map[groupKey]int, len(s.services))
	for k, n := range s.services {
		c.services[k] = n
	}
	return c
}

// add puts a finding on flow id into its group.
func (s *groups) add(id tcp.PacketRef, f *found) {
	g := s.of(&f.Finding)
	if g.counts.Total() == 0 || f.Time < g.first {
		g.first = f.Time
	}
	if g.counts.Total() == 0 || rankOf(&f.Finding).worse(rankOf(&g.example)) {
		if f.bare && f.flow != nil {
			f.Dress(f.flow)
		}
		g.example, g.flow, f.kept = f.Finding, f.flow, true
	}
	if g.clients.add(f.Client.Addr(), s.hosts < listedHosts) {
		s.hosts++
	}
	if f.Censored {
		g.open++
		g.oldest = max(g.oldest, f.Duration)
	}
	g.last = max(g.last, f.Time)
	g.longest = max(g.longest, f.Duration)
	if f.Typical > 0 {
		g.measured.add(f.Typical)
		g.passed.add(f.Typical + f.Duration)
	}
	g.counts[f.Severity][f.Confidence]++
	if f.Silent && f.Confidence == diagnose.Certain {
		g.silent[f.Severity]++
	}
	if g.flows == 0 || g.lastFlow != id {
		g.flows += max(1, f.FlowCount)
		g.onsets.add(f.Time, 1)
		g.lastFlow = id
		g.name(flowAt{f.Time, firstFlow(&f.Finding)})
		for i := 1; i < len(f.Flows); i++ {
			g.name(flowAt{f.Time, f.Flows[i]})
		}
	}
	if (s.list || s.explain[f.Rule]) && !f.bare {
		s.keep(g, &f.Finding)
	}
}

// of is the group of a finding, made if there is none yet.
func (s *groups) of(d *diagnose.Finding) *group {
	if s.last == nil || !s.last.key.of(d) {
		s.last = s.find(keyOf(d), d.Time)
	}
	return s.last
}

// find is the group for findings with a key, made if there is none yet.
func (s *groups) find(k groupKey, time int64) *group {
	if g := s.all[k]; g != nil {
		return g
	}
	cause := groupKey{rule: k.rule, who: k.who}
	if s.services[cause] >= groupServices {
		k = groupKey{rule: k.rule, who: k.who, grade: k.grade}
		if g := s.all[k]; g != nil {
			return g
		}
	}
	s.services[cause]++
	g := &group{key: k, last: time}
	s.all[k] = g
	return g
}

// name keeps the flow among the first that the group names.
func (g *group) name(f flowAt) {
	if len(g.ids) == groupFlows && f.compare(g.ids[groupFlows-1]) >= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(g.ids, f, flowAt.compare)
	g.ids = slices.Insert(g.ids[:min(len(g.ids), groupFlows-1)], i, f) // the last makes room
}

// keep lists the finding if it may be among those that are listed. A list grows
// to twice its bound before it is cut.
func (s *groups) keep(g *group, d *diagnose.Finding) {
	if !s.every {
		if len(g.list) >= 2*groupFindings {
			s.cut(g)
		}
		// Since a cut the list begins with those that come first of all so far.
		if s.listed >= listedFindings || g.cut && len(g.list) >= groupFindings && compareFindings(d, &g.list[groupFindings-1]) >= 0 {
			return
		}
	}
	g.list = append(g.list, *d)
	s.listed++
}

// cut leaves the first findings of a group on its list.
func (s *groups) cut(g *group) {
	if s.every || len(g.list) <= groupFindings {
		return
	}
	g.cut = true
	slices.SortStableFunc(g.list, func(a, b diagnose.Finding) int { return compareFindings(&a, &b) })
	s.listed -= len(g.list) - groupFindings
	clear(g.list[groupFindings:])
	g.list = g.list[:groupFindings]
}

// compareFindings is the order in which findings are listed.
func compareFindings(a, b *diagnose.Finding) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(firstFlow(a), firstFlow(b)), cmp.Compare(a.Rule, b.Rule))
}

// findings lists what is kept, in order, and how many are not.
func (s *groups) findings() (list []diagnose.Finding, rest uint64) {
	var order []*diagnose.Finding // what is sorted is small
	for _, g := range s.all {
		s.cut(g)
		for i := range g.list {
			order = append(order, &g.list[i])
		}
		rest += g.counts.Total() - uint64(len(g.list))
	}
	slices.SortStableFunc(order, func(a, b *diagnose.Finding) int {
		if c := compareFindings(a, b); c != 0 {
			return c
		}
		return compareKeys(keyOf(a), keyOf(b))
	})
	list = make([]diagnose.Finding, len(order))
	for i, f := range order {
		list[i] = *f
	}
	return list, rest
}

func compareKeys(a, b groupKey) int {
	return cmp.Or(
		cmp.Compare(a.rule, b.rule),
		cmp.Compare(a.who, b.who),
		a.service.Compare(b.service),
		cmp.Compare(a.slot, b.slot),
		cmp.Compare(a.grade, b.grade),
	)
}

func (g *Group) key() groupKey {
	return groupKey{rule: g.Rule, who: g.Who, service: g.Service, grade: grade(g.Rule, g.Severity)}
}

// ranked lists the groups, the most harmful first: the gravest, then those that
// are more than possible, then those on the most flows.
func (s *groups) ranked(limit diagnose.Confidence) []Group {
	out := make([]Group, 0, len(s.all))
	for _, g := range s.all {
		out = append(out, g.model(limit))
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(a.Severity, b.Severity),
			compareDoubt(a.Confidence, b.Confidence),
			cmp.Compare(b.FlowCount, a.FlowCount),
			cmp.Compare(a.Confidence, b.Confidence),
			compareKeys(a.key(), b.key()),
		)
	})
	return out
}

// compareDoubt puts what is no more than possible behind the rest.
func compareDoubt(a, b diagnose.Confidence) int {
	doubt := func(c diagnose.Confidence) int {
		if c == diagnose.Possible {
			return 1
		}
		return 0
	}
	return doubt(a) - doubt(b)
}

// model is the group as a report shows it, no surer than limit.
func (g *group) model(limit diagnose.Confidence) Group {
	counts := g.counts.capped(limit)
	m := Group{
		Rule: g.key.rule, Who: g.key.who, Service: g.key.service, clients: g.clients,
		StillOpen: g.open, Oldest: g.oldest, onsets: g.onsets, usual: g.usual, doubt: g.doubt,
		measured: g.measured, passed: g.passed,
		Severity: counts.worst(), Confidence: counts.surest(),
		Count: counts.Total(), Counts: counts, FlowCount: g.flows,
		First: g.first, Last: g.last, Longest: g.longest, Example: g.example, Flow: g.flow,
	}
	for _, f := range g.ids {
		m.Flows = append(m.Flows, f.flow)
	}
	if g.flow != nil {
		m.Remarks = diagnose.Remarks(g.flow)
	}
	m.Example.Weaken(limit, reassembly.QualityCaptureLoss)
	return m
}
