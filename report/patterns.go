package report

import (
	"maps"
	"slices"

	"github.com/lastack/lastack/report/diagnose"
)

// patterns adds what was found over many flows, and leaves out what that
// explains.
func (s *groups) patterns(p *diagnose.Patterns, c *diagnose.Context, end int64) {
	p.Findings(c, end, func(r *diagnose.Rule, d diagnose.Finding) {
		s.explained(r, &d)
		if !r.Muted {
			s.add(firstFlow(&d), &found{Finding: d})
		}
	})
	s.settle(p)
	s.proportion(p.Delays())
}

// settle moves findings on RSTs of which other flows tell whose they are to a group
// of that party.
func (s *groups) settle(p *diagnose.Patterns) {
	for _, k := range slices.SortedFunc(maps.Keys(s.all), compareKeys) {
		g := s.all[k]
		if k.slot == 0 || !p.Settle(&g.example) {
			continue
		}
		s.remove(g)
		for i := range g.list {
			p.Settle(&g.list[i])
		}
		if sure := g.example.Confidence; sure == diagnose.Certain {
			g.counts = g.counts.raised() // those of one time to live are all alike
		} else {
			g.counts = g.counts.capped(sure)
		}
		g.key.who = g.example.Who
		s.restore(g)
	}
}

// restore puts a group back that was removed.
func (s *groups) restore(g *group) {
	s.all[g.key] = g
	s.services[groupKey{rule: g.key.rule, who: g.key.who}]++
	s.listed += len(g.list)
	s.hosts += len(g.clients.set)
}

// proportion leaves out what is nothing unusual, and makes one group of the
// slots of the rest.
func (s *groups) proportion(list []diagnose.Delays) {
	usual := map[groupKey]*diagnose.Delays{}
	for i := range list {
		d := &list[i]
		usual[groupKey{rule: d.Rule, who: d.Who, service: d.Service}] = d
	}
	keys := slices.SortedFunc(maps.Keys(s.all), compareKeys)
	for _, k := range keys {
		if k.slot == 0 {
			continue
		}
		g, whole := s.all[k], k
		whole.slot = 0
		d := usual[whole]
		s.remove(g)
		if d != nil && !d.Stands(k.slot) {
			continue
		}
		sum := s.all[whole]
		if sum == nil {
			sum = &group{key: whole, usual: d}
			s.all[whole] = sum
			s.services[groupKey{rule: k.rule, who: k.who}]++
		}
		s.join(sum, g)
	}
}

// join adds what another group of the same cause holds, over other flows.
func (s *groups) join(g, o *group) {
	empty := g.counts.Total() == 0
	if empty || rankOf(&o.example).worse(rankOf(&g.example)) {
		g.example, g.flow = o.example, o.flow
	}
	if empty || o.first < g.first {
		g.first = o.first
	}
	if empty || o.last > g.last {
		g.last = o.last
	}
	g.longest, g.oldest = max(g.longest, o.longest), max(g.oldest, o.oldest)
	g.measured.plus(o.measured)
	g.passed.plus(o.passed)
	g.counts.plus(&o.counts)
	for i, n := range o.silent {
		g.silent[i] += n
	}
	g.flows, g.open = g.flows+o.flows, g.open+o.open
	for _, f := range o.ids {
		g.name(f)
	}
	g.onsets.plus(&o.onsets)
	before := len(g.clients.set)
	g.clients.plus(&o.clients)
	s.hosts += len(g.clients.set) - before
	g.list = append(g.list, o.list...)
	s.listed += len(o.list)
}

// explained takes out the findings that a pattern explains: a group that lies
// in its time as a whole; of any other group those findings, if all are kept.
func (s *groups) explained(r *diagnose.Rule, d *diagnose.Finding) {
	var keys []groupKey
	for k := range s.all {
		if k.service == d.Service && s.explain[k.rule] {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		g := s.all[k]
		whole := r.Explains(d, &g.example) && g.first >= d.Time && g.last <= d.Time+d.Duration
		if !whole && uint64(len(g.list)) < g.counts.Total() {
			continue
		}
		s.remove(g)
		for i := range g.list {
			f := &g.list[i]
			if whole || r.Explains(d, f) {
				continue
			}
			rest := found{Finding: *f}
			if firstFlow(f) == firstFlow(&g.example) {
				rest.flow = g.flow
			}
			s.add(firstFlow(f), &rest)
		}
	}
}

// remove takes out a group.
func (s *groups) remove(g *group) {
	delete(s.all, g.key)
	s.last = nil
	s.services[groupKey{rule: g.key.rule, who: g.key.who}]--
	s.listed -= len(g.list)
	s.hosts -= len(g.clients.set)
}
