package report

import (
	"maps"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	// seriesSteps bounds the rows of a host: a longer input has longer steps.
	seriesSteps = 1 << 11
	// seriesHosts is how many hosts are told apart. Their curves take at most
	// 50 MB, with all of them busy all the time.
	seriesHosts = 1 << 8
	blockSteps  = 1 << 5
)

// move is one believed step of an endpoint. To no state it goes when its flow is
// no longer watched.
type move struct {
	host     address
	at       int64
	from, to fsm.State
}

// appendMoves appends the moves of a flow's endpoints.
func appendMoves(dst []move, f *reassembly.Flow) []move {
	for _, s := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
		host := sideAddress(&f.Tuple, s)
		f.Believed(s, func(_ *reassembly.Step, at int64, from, to fsm.State) bool {
			dst = append(dst, move{host, at, from, to})
			return true
		})
		if st := f.Endpoint(s).State; f.Ended == reassembly.EndEvicted && st > fsm.Listen {
			dst = append(dst, move{host: host, at: f.Until, from: st}) // out of sight
		}
	}
	return dst
}

// series adds moves up to how many sockets each host held at certain instants:
// the multiples of a step, which is a second and doubles whenever there are too
// many. The result depends on the moves and not on their order, but for which
// hosts are told apart: those whose moves come first.
type series struct {
	shift   uint // the step is 1<<shift seconds
	begun   bool
	lo, hi  int64 // the instants that are covered, in steps since 1970
	all     curve
	hosts   map[address]*curve
	crowded bool // there were more hosts
}

// curve is the changes at each instant, in blocks, since most hosts are busy
// for a short while.
type curve map[int64]*[blockSteps]tally

// tally is what happened after one instant and up to the next.
type tally struct {
	change  [fsm.States]int32 // of the number of sockets in each state
	entered [fsm.States]uint32
}

func newSeries() *series { return &series{all: curve{}, hosts: map[address]*curve{}} }

func (s *series) step() int64 { return second << s.shift }

// instant is the number of the first instant at or after t.
func (s *series) instant(t int64) int64 {
	n := t / s.step()
	if n*s.step() < t {
		n++
	}
	return n
}

// half is the instant in steps twice as long. That of t is the same whether it
// was halved before or not.
func half(n int64) int64 { return (n + 1) >> 1 }

// cover makes room for the time t.
func (s *series) cover(t int64) {
	n := s.instant(t)
	if !s.begun {
		s.begun, s.lo, s.hi = true, n, n
	}
	s.lo, s.hi = min(s.lo, n), max(s.hi, n)
	for s.hi-s.lo >= seriesSteps {
		s.shift++
		s.lo, s.hi = half(s.lo), half(s.hi)
		s.all = s.all.halved()
		for _, c := range s.hosts {
			*c = c.halved()
		}
	}
}

func (s *series) add(m *move) {
	s.cover(m.at)
	n := s.instant(m.at)
	s.all.at(n).add(m)
	c := s.hosts[m.host]
	if c == nil {
		if len(s.hosts) >= seriesHosts {
			s.crowded = true
			return
		}
		c = &curve{}
		s.hosts[m.host] = c
	}
	c.at(n).add(m)
}

func (t *tally) add(m *move) {
	if m.from > fsm.Listen {
		t.change[m.from]--
	}
	if m.to > fsm.Listen {
		t.change[m.to]++
	}
	t.entered[m.to]++
}

func (t *tally) plus(o *tally) {
	for st := range o.change {
		t.change[st] += o.change[st]
		t.entered[st] += o.entered[st]
	}
}

// at is the tally of an instant.
func (c curve) at(n int64) *tally {
	k := n >> 5
	b := c[k]
	if b == nil {
		b = new([blockSteps]tally)
		c[k] = b
	}
	return &b[n&(blockSteps-1)]
}

// halved is the curve in steps twice as long.
func (c curve) halved() curve {
	out := curve{}
	for k, b := range c {
		for i := range b {
			if b[i] != (tally{}) {
				out.at(half(k<<5 + int64(i))).plus(&b[i])
			}
		}
	}
	return out
}

func (c curve) clone() curve {
	out := make(curve, len(c))
	for k, b := range c {
		copied := *b
		out[k] = &copied
	}
	return out
}

// clone goes on from here and leaves s as it is; nil of nil.
func (s *series) clone() *series {
	if s == nil {
		return nil
	}
	out := *s
	out.all, out.hosts = s.all.clone(), maps.Clone(s.hosts)
	for h, c := range out.hosts {
		copied := c.clone()
		out.hosts[h] = &copied
	}
	return &out
}
