package report

import (
	"math/rand/v2"
	"testing"

	"github.com/lastack/lastack/fsm"
)

// However long the input, the series has a bounded number of instants, and at
// each it says what was true then, in whatever order it was told.
func TestSeriesDoubles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, span := range []int64{second / 3, 5 * second, 2000 * second, 2047 * second, 2048 * second, 5000 * second, 3e9 * second} {
		start := int64(1e18) + rng.Int64N(second)
		var moves []move
		for range 100 {
			host := address{byte(rng.IntN(3))}
			from := start + rng.Int64N(span)
			to := from + rng.Int64N(start+span-from+1)
			moves = append(moves, move{host, from, fsm.Closed, fsm.Established}, move{host, to, fsm.Established, fsm.TimeWait})
		}
		whole := newSeries()
		for i := range moves {
			whole.add(&moves[i])
		}
		shuffled := newSeries()
		for _, i := range rng.Perm(len(moves)) {
			shuffled.add(&moves[i])
		}
		listeners := map[listener]int64{{address{1}, 80}: start + span/2, {address{1}, 81}: start + span, {address{7}, 80}: start}
		a, b := whole.finish(start, start+span, listeners), shuffled.clone().finish(start, start+span, listeners)
		if len(a.Hosts) != 5 || a.Step < second || a.Step/2 >= second && span/(a.Step/2) < seriesSteps-2 {
			t.Fatalf("%d ns: %d hosts, step %d", span, len(a.Hosts), a.Step)
		}
		for h := range a.Hosts {
			var list []Moment
			a.Each(&a.Hosts[h], func(m *Moment) bool { list = append(list, *m); return true })
			if len(list) > seriesSteps+1 || list[len(list)-1].Time != start+span {
				t.Errorf("%d ns: %d instants, the last at %d", span, len(list), list[len(list)-1].Time-start)
			}
			k := 0
			b.Each(&b.Hosts[h], func(m *Moment) bool {
				if k >= len(list) || *m != list[k] {
					t.Errorf("%d ns: instant %d differs in another order", span, k)
				}
				k++
				return k < len(list)
			})
			before := int64(-1)
			for i := range list {
				if want := byHand(a.Hosts[h].Name(), moves, listeners, before, list[i].Time); list[i] != want {
					t.Fatalf("%d ns: %s: %v, want %v", span, a.Hosts[h].Name(), list[i], want)
				}
				before = list[i].Time
			}
		}
	}
}

// byHand counts one by one.
func byHand(name string, moves []move, listeners map[listener]int64, before, at int64) Moment {
	m := Moment{Time: at}
	is := func(a address) bool {
		s := States{Host: addrOf(a)}
		return name == "*" || name == s.Name()
	}
	for _, x := range moves {
		if !is(x.host) || x.at > at {
			continue
		}
		if x.from > fsm.Listen {
			m.Counts[x.from]--
		}
		m.Counts[x.to]++
		if x.at > before {
			m.Entered[x.to]++
		}
	}
	for l, t := range listeners {
		if is(l.addr) && t <= at {
			m.Counts[fsm.Listen]++
			if t > before {
				m.Entered[fsm.Listen]++
			}
		}
	}
	return m
}

// Hosts beyond the bound are in the sum alone, and those told are told whole.
func TestSeriesCrowded(t *testing.T) {
	s := newSeries()
	for i := range 2 * seriesHosts {
		for range 2 {
			s.add(&move{address{14: byte(i >> 8), 15: byte(i)}, second, fsm.Closed, fsm.SynSent})
		}
	}
	out := s.finish(second, second, nil)
	if len(out.Hosts) != 1+seriesHosts || !out.Crowded {
		t.Fatalf("%d hosts", len(out.Hosts))
	}
	for i := range out.Hosts {
		want := uint64(2)
		if i == 0 {
			want = 4 * seriesHosts
		}
		if n := out.Entered(&out.Hosts[i])[fsm.SynSent]; n != want {
			t.Errorf("%s: %d, want %d", out.Hosts[i].Name(), n, want)
		}
	}
}

// A clone goes its own way; nil has none.
func TestSeriesClone(t *testing.T) {
	s := newSeries()
	m := move{address{1}, 5 * second, fsm.Closed, fsm.SynSent}
	s.add(&m)
	c := s.clone()
	c.add(&m)
	for want, s := range map[uint64]*series{1: s, 2: c} {
		out := s.finish(0, 9*second, nil)
		for i := range out.Hosts {
			if n := out.Entered(&out.Hosts[i])[fsm.SynSent]; n != want {
				t.Errorf("%s: %d, want %d", out.Hosts[i].Name(), n, want)
			}
		}
	}
	if (*series)(nil).clone() != nil {
		t.Error("a clone of nothing")
	}
}
