package diagnose

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// A scan over more places than a sketch holds does not displace a busy one.
func TestSketchIsBounded(t *testing.T) {
	var s sketch[flowCell, *flowCell]
	busy := place{port: 443}
	for i := range 100_000 {
		s.at(place{port: 1, slot: int64(i)}).add(sighting{flow: tcp.PacketRef(i + 1), at: int64(i)})
		if i%50 == 0 {
			s.at(busy).add(sighting{flow: tcp.PacketRef(i + 1), at: int64(i)})
		}
		if s.len() > sketchPlaces || cap(s.spots) > 2*sketchPlaces {
			t.Fatalf("%d places and room for %d after %d", s.len(), cap(s.spots), i)
		}
	}
	if c := s.get(busy); c == nil || c.n != 2000 || len(c.seen) != flowsNamed || c.seen[19].at != 19*50 {
		t.Errorf("the busy place holds %+v", c)
	}
}

// A full sketch costs no allocation for a place that it does not keep.
func TestFullSketchDoesNotAllocate(t *testing.T) {
	var s sketch[flowCell, *flowCell]
	n := int64(0)
	scan := func() {
		for range sketchPlaces {
			n++
			s.at(place{slot: n}).add(sighting{flow: tcp.PacketRef(n), at: n})
		}
	}
	for range 8 {
		scan()
	}
	if a := testing.AllocsPerRun(20, scan); a > sketchPlaces/16 {
		t.Errorf("%v allocations for %d places", a, sketchPlaces)
	}
}

// numbers of sockets at every moment, the slow way.
func slowPeaks(all []stay) (wait, use uint64) {
	for i := range all {
		for _, t := range []int64{all[i].open, all[i].wait} {
			var w, u uint64
			for k := range all {
				x := &all[k]
				if x.open <= t && t < x.gone {
					u++
				}
				if x.wait != 0 && x.wait <= t && t < x.gone {
					w++
				}
			}
			wait, use = max(wait, w), max(use, u)
		}
	}
	return wait, use
}

// only measures the one place that there is.
func (s *stays) only(end int64) (l load) {
	s.each(func(_ place, list []change, _ *waits) { l = measure(list, end, 60e9) })
	return l
}

func (s *stays) remember(x *stay) { s.add(&x.place, x.hosts(), x.side, x.tenure) }

func randomStays(rng *rand.Rand, n int, over int64) []stay {
	out := make([]stay, n)
	for i := range out {
		open := int64(1e18) + rng.Int64N(over)
		out[i] = stay{place{port: 80}, tenure{open: open, gone: open + 1 + rng.Int64N(20e9)}}
		if rng.IntN(4) > 0 {
			out[i].wait = out[i].gone
			out[i].gone += 60e9
		}
	}
	return out
}

// What is remembered one by one is counted exactly.
func TestStaysAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 30 {
		all := randomStays(rng, 1+rng.IntN(300), 1+rng.Int64N(300e9))
		var s stays
		for _, x := range all {
			s.remember(&x)
		}
		l := s.only(int64(2e18))
		if wait, use := slowPeaks(all); l.peakWait != wait || l.peakUse != use {
			t.Errorf("round %d: %d in TIME_WAIT and %d in use, want %d and %d", round, l.peakWait, l.peakUse, wait, use)
		}
	}
}

// Beyond that the count is taken every 4.3 s: what comes out lies near the truth
// and never above, and the memory has a bound.
func TestFoldedStays(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	const n, seconds = 3 * recentStays, 200
	all := randomStays(rng, n, seconds*1e9)
	var s, half stays
	for i, x := range all {
		if i%2 == 0 {
			s.remember(&x)
		} else {
			half.remember(&x)
		}
		if len(s.recent) > recentStays {
			t.Fatalf("%d stays are remembered", len(s.recent))
		}
	}
	s.merge(&half)
	l := s.only(int64(2e18))
	wait, use := slowPeaks(all)
	near := func(have, want uint64) bool { return have <= want*101/100 && have >= want*95/100 }
	if !near(l.peakWait, wait) || !near(l.peakUse, use) {
		t.Errorf("%d in TIME_WAIT and %d in use, want about %d and %d", l.peakWait, l.peakUse, wait, use)
	}
	// Three of four enter TIME_WAIT, most often at the peak.
	if mean := n * 3 / 4. / seconds; l.rate < 0.9*mean || l.rate > 2*mean {
		t.Errorf("%v per second enter TIME_WAIT, %v on the average: %+v", l.rate, mean, l)
	}
}

// Ports run out when more are taken in 2MSL than there are, and not before.
func TestExhaustedIn(t *testing.T) {
	const twoMSL = 60e9
	var all stays
	for i := range int64(300) { // ten per second for thirty seconds
		at := 1e18 + i*100e6
		all.remember(&stay{place{port: 80}, tenure{open: at, wait: at + 1, gone: at + 1 + twoMSL}})
	}
	end := int64(1e18 + 30e9)
	l := all.only(end)
	for capacity, want := range map[uint64]int64{700: -1, 601: -1, 500: 20e9, 300: 0, 200: 0} {
		have := l.exhaustedIn(capacity, end, twoMSL)
		if off := have - want; off < -1e9 || off > 1e9 {
			t.Errorf("of %d ports the last is taken in %s, want %s", capacity, Span(have), Span(want))
		}
	}
}

// Timers are known within three percent.
func TestKnownTimers(t *testing.T) {
	for s, want := range map[float64]bool{4.9: true, 5.2: true, 7: false, 29.96: true, 60.5: true, 75: true, 350.2: true, 400: false, 28790: true, 2: false} {
		if have := knownTimer(int64(s*1e9), serverRole) != ""; have != want {
			t.Errorf("%v s: known is %v", s, have)
		}
	}
	for s, want := range map[float64]bool{5: false, 30: false, 75: false, 90: true, 600: true, 28800: false} {
		if have := knownTimer(int64(s*1e9), clientRole) != ""; have != want {
			t.Errorf("%v s of a client: known is %v", s, have)
		}
	}
}

// A pattern explains what lies in its time, on its service, of its rules.
func TestExplains(t *testing.T) {
	r := Rule{ID: "p", Replaces: []string{"a"}}
	f := flow("192.0.2.1", "192.0.2.2")
	one := newFinding(f, Path, Certain, Evidence{Ref: 5, At: 50, Side: tcp.SideA})
	one.Rule = "a"
	whole := Finding{Service: one.Service, Time: 40, Duration: 20}
	for _, c := range []struct {
		change func(p, d *Finding)
		want   bool
	}{
		{func(p, d *Finding) {}, true},
		{func(p, d *Finding) { d.Rule = "b" }, false},
		{func(p, d *Finding) { p.Duration = 5 }, false},
		{func(p, d *Finding) { p.Time = 51 }, false},
		{func(p, d *Finding) { p.Service = f.Addr(f.Client) }, false},
		{func(p, d *Finding) { d.Flow = 0 }, false},
	} {
		p, d := whole, one
		c.change(&p, &d)
		if have := r.Explains(&p, &d); have != c.want {
			t.Errorf("%+v explains %+v: %v", p, d, have)
		}
	}
}

// A flood of connections that all differ leaves every collector small.
func TestPatternsAreBounded(t *testing.T) {
	c := &Context{Profile: reassembly.Profiles()[0], Patterns: NewPatterns(Rules())}
	f := flow("192.0.2.1", "192.0.2.2")
	f.Close, f.ActiveCloser, f.Until = reassembly.CloseOrderly, reassembly.CloserClient, 90e9
	for i := range f.Ends {
		f.Ends[i] = reassembly.Endpoint{FINRef: 8, FINAt: 20e9, FIN: 1, FINAcked: true, FINAckRef: 9, LastDataRef: 3, Sent: true, Timestamps: true}
	}
	f.TimeWaits = []reassembly.TimeWait{{Side: f.Client, Entered: 20e9, EnteredRef: 8, EndedAt: 80e9, EndedBy: reassembly.TimeWaitExpiry}}
	for i := range uint16(60_000) {
		f.ID = tcp.PacketRef(i) + 1
		f.Tuple.AddrA[15], f.Tuple.AddrA[14], f.Tuple.PortB = byte(i), byte(i>>8), i
		for k := range f.Ends {
			f.Ends[k].LastData = 1 + int64(i)*300_000
		}
		c.Patterns.approach(c, f)
		c.Patterns.add(c, f)
	}
	for _, col := range c.Patterns.collectors {
		n := 0
		switch s := col.(type) {
		case *idleCloses:
			n = max(s.cells.len(), s.unseen.len(), s.clocks.len())
		case *portUse:
			n = max(s.stays.flows.len(), s.stays.old.len(), len(s.stays.recent)-recentStays)
		case *churn:
			n = max(s.stays.flows.len(), s.stays.old.len(), len(s.stays.recent)-recentStays)
		case *halfOpens:
			n = s.cells.len()
		case *stampedSYNs:
			n = max(s.silent.len(), s.heard.len())
		case *onsets:
			n = s.cells.len()
		case *distances:
			n = s.cells.len()
		}
		if n > sketchPlaces {
			t.Errorf("%T holds %d places", col, n)
		}
	}
}

// The weight in the middle is that of a sorted list, whether weights are small.
func TestMiddle(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, most := range []uint64{2, 200, 300, 1 << 40} {
		for n := 1; n < 200; n++ {
			weights := make([]uint64, n)
			for i := range weights {
				weights[i] = rng.Uint64N(most)
			}
			have := middle(weights)
			slices.Sort(weights)
			if want := weights[n/2]; have != want {
				t.Fatalf("%d of %v", have, weights)
			}
		}
	}
}
