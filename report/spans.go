package report

import "github.com/lastack/lastack/report/diagnose"

// spans is how long something took: how often that was measured, and the least
// and the most, ns.
type spans struct {
	n           uint64
	least, most int64
}

func (s *spans) add(ns int64) { s.plus(spans{1, ns, ns}) }

func (s *spans) plus(o spans) {
	switch {
	case o.n == 0:
		return
	case s.n == 0:
		*s = o
		return
	}
	s.n += o.n
	s.least, s.most = min(s.least, o.least), max(s.most, o.most)
}

// words is "about 2 s", or "2 s to 30 s".
func (s *spans) words() string {
	a, b := diagnose.Tenths(s.least), diagnose.Tenths(s.most)
	switch {
	case s.n == 0:
		return "a constant time"
	case a == b:
		return "about " + a
	}
	return a + " to " + b
}
