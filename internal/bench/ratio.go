package bench

import (
	"fmt"
	"slices"
)

// Spread is the median and the extremes of some rounds.
type Spread struct {
	Median, Low, High float64
	Rounds            int
}

// spread sorts v; there is at least one.
func spread(v []float64) Spread {
	slices.Sort(v)
	n := len(v)
	s := Spread{Median: v[n/2], Low: v[0], High: v[n-1], Rounds: n}
	if n%2 == 0 {
		s.Median = (v[n/2-1] + v[n/2]) / 2
	}
	return s
}

// String is the median, and the extremes where there are several rounds.
func (s Spread) String() string {
	if s.Rounds == 1 {
		return figure(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", figure(s.Median), figure(s.Low), figure(s.High))
}

// figure writes v with two or three digits.
func figure(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// measureOf is one of the figures of a Usage.
type measureOf func(u *Usage) float64

// The measures: seconds, and bytes.
func wall(u *Usage) float64 { return u.Wall.Seconds() }
func cpu(u *Usage) float64  { return u.CPU.Seconds() }
func peak(u *Usage) float64 { return float64(u.Peak) }

// of is a measure over the rounds of a contender on a capture; false when it
// was not measured.
func (r *Results) of(capture, name string, m measureOf) (Spread, bool) {
	runs := r.runs[capture][name]
	if len(runs) == 0 {
		return Spread{}, false
	}
	v := make([]float64, len(runs))
	for i := range runs {
		v[i] = m(&runs[i])
	}
	return spread(v), true
}

// ratio is a measure of one contender by that of another, round by round.
func (r *Results) ratio(capture, over, under string, m measureOf) (Spread, bool) {
	a, b := r.runs[capture][over], r.runs[capture][under]
	n := min(len(a), len(b))
	if n == 0 {
		return Spread{}, false
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = m(&a[i]) / max(m(&b[i]), 1e-3)
	}
	return spread(v), true
}
