package report

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A finding gets words as it comes if it is among the first of its group so far,
// however many come at one time.
func TestListedFindings(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, span := range []int64{100, 5000, 1 << 40} {
		var j judge
		var b best
		var times []int64
		for range 4 * groupFindings {
			at := rng.Int64N(span)
			i, _ := slices.BinarySearch(times, at)
			if first := i < groupFindings; first && !j.lists(&b, at) {
				t.Fatalf("one of the first %d is not listed", groupFindings)
			} else if !first && j.lists(&b, at) && at > times[groupFindings-1] {
				t.Fatalf("a later one is listed")
			}
			times = slices.Insert(times, i, at)
		}
	}
}
