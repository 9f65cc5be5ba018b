package report

import (
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
	s.services[groupKey{rule: g.key.rule, who: g.key.who}]--
	s.listed -= len(g.list)
}
