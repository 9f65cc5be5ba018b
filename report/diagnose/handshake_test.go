package diagnose

import "testing"

// The schedules that were measured on Linux 6.18, with its default and with
// tcp_syn_linear_timeouts=0, and times that are nobody's.
func TestSchedule(t *testing.T) {
	const (
		linear   = ", 1 s apart at first, as Linux does since 6.5"
		doubling = ", each time after twice the wait"
	)
	for _, c := range []struct {
		seconds []float64
		want    string
	}{
		{[]float64{0, 1.01, 2.03, 3.05, 4.08, 5.10, 7.12, 11.28, 19.47, 35.60, 68.88}, linear},
		{[]float64{0, 1.01, 2.03}, linear},
		{[]float64{0, 1.02, 3.03, 7.15, 15.3, 31.5, 64.2}, doubling},
		{[]float64{0, 3, 9, 21}, doubling},
		{[]float64{0, 1.01}, ""},
		{[]float64{0, 0.2, 0.4, 0.6}, ""},
		{[]float64{0, 3, 6, 9}, ""},
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7}, ""},
		{[]float64{0, 1, 3, 3.5}, ""},
	} {
		var at []int64
		for _, s := range c.seconds {
			at = append(at, int64(s*1e9))
		}
		if have := schedule(at); have != c.want {
			t.Errorf("%v: %q, want %q", c.seconds, have, c.want)
		}
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "first", 2: "second", 3: "third", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 32: "32nd", 43: "43rd", 111: "111th"} {
		if have := ordinal(n); have != want {
			t.Errorf("%d: %s, want %s", n, have, want)
		}
	}
}
