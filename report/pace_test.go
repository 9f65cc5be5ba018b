package report

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Bins count every time once, and the same whatever their order and
// however they were divided.
func TestSeries(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for round := range 300 {
		from := rng.Int64N(1e12) - 5e11
		span := int64(1) << (20 + rng.IntN(40))
		times := make([]int64, 1+rng.IntN(400))
		for i := range times {
			times[i] = from + rng.Int64N(span)
		}
		var want bins
		for _, at := range times {
			want.add(at, 1)
		}
		total := uint64(0)
		for _, n := range want.counts {
			total += n
		}
		if total != uint64(len(times)) {
			t.Fatalf("round %d: %d of %d are counted", round, total, len(times))
		}
		rng.Shuffle(len(times), func(i, k int) { times[i], times[k] = times[k], times[i] })
		var parts [3]bins
		for _, at := range times {
			parts[rng.IntN(3)].add(at, 1)
		}
		var sum bins
		for i := range parts {
			sum.plus(&parts[i])
		}
		if sum != want {
			t.Fatalf("round %d:\n%v, want\n%v", round, sum, want)
		}
	}
}

func TestPace(t *testing.T) {
	steady := func(n int, step int64) (s bins) {
		for i := range n {
			s.add(int64(i)*step, 1)
		}
		return s
	}
	for name, c := range map[string]struct {
		s           bins
		end         int64
		first, last float64
		words       string
	}{
		"steady":    {steady(600, second), 600 * second, 60, 60, "about 60 a minute"},
		"over":      {steady(60, second), 600 * second, 18, 0, ""},
		"too few":   {steady(9, 10*second), 90 * second, -1, -1, ""},
		"too short": {steady(1000, second/100), 10 * second, -1, -1, ""},
		"rare":      {steady(10, 360*second), 3600 * second, 0.2, 0.15, "about 0.18 a minute"},
		"none":      {bins{}, 3600 * second, -1, -1, ""},
	} {
		p, ok := c.s.pace(0, c.end)
		if !ok {
			p = Pace{-1, -1}
		}
		if math.Abs(p.First-c.first) > 0.1*math.Abs(c.first)+0.01 || math.Abs(p.Last-c.last) > 0.1*math.Abs(c.last)+0.01 {
			t.Errorf("%s: %+v, want %v and %v", name, p, c.first, c.last)
		}
		if ok && p.words() != c.words {
			t.Errorf("%s: %q, want %q", name, p.words(), c.words)
		}
	}
}
