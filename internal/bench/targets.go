package bench

import "fmt"

// Verdict is how one target of the design was met.
type Verdict struct {
	Number int
	What   string
	Target string
	Figure string // "not measured" when something was missing
	State  State
}

// State says whether a target was met. The zero value is invalid.
type State uint8

// The states.
const (
	NotMeasured State = 1 + iota
	Missed
	Met
)

// String is the word for tables.
func (s State) String() string {
	switch s {
	case Missed:
		return "missed"
	case Met:
		return "met"
	}
	return "not measured"
}

const megabyte = 1e6

// Targets holds the results against what the program is meant to reach. A
// target is met when the median is.
func (r *Results) Targets() []Verdict {
	var out []Verdict
	faster := func(n int, capture, peer string, least float64) {
		s, ok := r.ratio(capture, peer, full, wall)
		out = append(out, verdict(n, fmt.Sprintf("%s, wall of %s by lastack's", capture, peer),
			fmt.Sprintf("at least %v", least), s, ok, s.Median >= least))
	}
	most := func(n int, what, capture, over, under string, m measureOf, limit float64) {
		s, ok := r.ratio(capture, over, under, m)
		out = append(out, verdict(n, capture+", "+what, fmt.Sprintf("at most %v", limit), s, ok, s.Median <= limit))
	}
	faster(1, "mix", "tcptrace", 8)
	faster(2, "headers", "tcptrace", 10)
	faster(3, "mix", "tshark", 40)
	faster(4, "mix", "nfpcapd", 5)
	faster(4, "mix", "argus", 4.5)
	faster(4, "mix", "softflowd", 4)
	for _, c := range []string{"mix", "headers"} {
		most(5, "CPU of the text report with one thread by the C loop's", c, textOne, plainLoop, cpu, 1.5)
	}
	for _, c := range []string{"mix", "headers"} {
		most(6, "wall of the text report by tcpdump's", c, text, "tcpdump", wall, 0.7)
	}
	for _, c := range []string{"mix", "headers"} {
		most(7, "wall of two threads by that of one", c, full, fullOne, wall, 0.7)
	}
	out = append(out, r.perFlow(8, "concurrent", full, 320, 1), r.perFlow(9, "flood", full, 128, 1),
		r.perFlow(9, "flood", bounded, 128, 2./boundedPart),
		r.memory(10, "mix", 128), r.memory(10, "bulk", 32), r.collector())
	faster(13, "concurrent", "tcptrace", 10)
	most(13, "memory by tcptrace's", "concurrent", full, "tcptrace", peak, 1./25)
	return out
}

func verdict(n int, what, target string, s Spread, measured, met bool) Verdict {
	v := Verdict{Number: n, What: what, Target: target, Figure: s.String(), State: Missed}
	switch {
	case !measured:
		v.Figure, v.State = "", NotMeasured
	case met:
		v.State = Met
	}
	return v
}

// perFlow is what memory each flow took beyond the 64 MB that the program may
// take for itself. part is how many of the connections are held at once.
func (r *Results) perFlow(n int, capture, name string, limit, part float64) Verdict {
	const own = 64 * megabyte
	s, ok := r.of(capture, name, peak)
	flows := 1.0
	for _, c := range r.Captures {
		if c.Name == capture {
			flows = part * float64(c.Totals.Connections)
		}
	}
	each := func(v float64) float64 { return max(v-own, 0) / flows }
	spread := Spread{Median: each(s.Median), Low: each(s.Low), High: each(s.High), Rounds: s.Rounds}
	return verdict(n, fmt.Sprintf("%s, %s: octets for each of %.0f flows held, beyond 64 MB", capture, name, flows),
		fmt.Sprintf("at most %v", limit), spread, ok, spread.Median <= limit)
}

func (r *Results) memory(n int, capture string, limit float64) Verdict {
	s, ok := r.of(capture, full, func(u *Usage) float64 { return float64(u.Peak) / megabyte })
	return verdict(n, capture+", memory in MB", fmt.Sprintf("at most %v", limit), s, ok, s.Median <= limit)
}

func (r *Results) collector() Verdict {
	s := Spread{Median: r.GCShare, Rounds: 1}
	return verdict(12, "concurrent, garbage collector's share of CPU in percent", "at most 2", s, r.GCShare >= 0, r.GCShare <= 2)
}
