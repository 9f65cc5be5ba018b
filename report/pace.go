package report

import (
	"strconv"
)

const (
	binsKept = 64
	// A pace is told of at least leastPaced findings over at least leastPace ns.
	leastPaced = 10
	leastPace  = 30 * second
)

// bins count over time in at most binsKept bins, which begin at multiples
// of their width. The width doubles as the times spread, so that what is counted
// depends on the times alone and not on their order. The zero value is empty.
type bins struct {
	counts [binsKept]uint64
	first  int64 // number of the first bin: its time divided by width
	width  int64 // ns; 0 while empty
}

// add counts n at a time, ns.
func (s *bins) add(at int64, n uint64) {
	if s.width == 0 {
		s.width, s.first = second, floorDiv(at, second)
	}
	bin := floorDiv(at, s.width)
	for bin < s.first && s.last()-bin >= binsKept || bin-s.first >= binsKept {
		s.widen()
		bin = floorDiv(at, s.width)
	}
	if bin < s.first {
		shift := s.first - bin
		copy(s.counts[shift:], s.counts[:binsKept-shift])
		clear(s.counts[:shift])
		s.first = bin
	}
	s.counts[bin-s.first] += n
}

// last is the number of the last bin that counted anything.
func (s *bins) last() int64 {
	for i := binsKept - 1; i > 0; i-- {
		if s.counts[i] > 0 {
			return s.first + int64(i)
		}
	}
	return s.first
}

// widen puts two bins into one.
func (s *bins) widen() {
	old := *s
	s.counts = [binsKept]uint64{}
	s.width, s.first = 2*old.width, floorDiv(old.first, 2)
	for i, n := range old.counts {
		s.counts[floorDiv(old.first+int64(i), 2)-s.first] += n
	}
}

// plus adds others, as if its times had been added here.
func (s *bins) plus(o *bins) {
	for i, n := range o.counts {
		if n == 0 {
			continue
		}
		for s.width != 0 && s.width < o.width {
			s.widen()
		}
		if s.width == 0 {
			s.width, s.first = o.width, o.first
		}
		s.add((o.first+int64(i))*o.width, n)
	}
}

// Pace is how often something happened: per minute in the first and in the last
// third of the time from its first occurrence on.
type Pace struct {
	First, Last float64
}

// pace is that from the first time to the end; false when there is too little.
func (s *bins) pace(first, end int64) (p Pace, ok bool) {
	if s.width == 0 || end-first < leastPace {
		return p, false
	}
	// The parts end where a bin does, next to a third.
	early := floorDiv(first+(end-first)/3+s.width/2, s.width)
	late := floorDiv(end-(end-first)/3+s.width/2, s.width)
	total := uint64(0)
	var n [2]uint64
	for i, c := range s.counts {
		total += c
		if bin := s.first + int64(i); bin < early {
			n[0] += c
		} else if bin >= late {
			n[1] += c
		}
	}
	if total < leastPaced || early*s.width <= first || early > late {
		return p, false
	}
	const minute = 60 * float64(second)
	p.First = float64(n[0]) * minute / float64(early*s.width-first)
	p.Last = float64(n[1]) * minute / float64(max(end-late*s.width, 1))
	return p, true
}

// words tells the pace: "growing from 3 to 21 a minute".
func (p Pace) words() string {
	switch {
	case p.Last == 0:
		return ""
	case p.Last >= 2*p.First:
		return "growing from " + perMinute(p.First) + " to " + perMinute(p.Last) + " a minute"
	case p.First >= 2*p.Last:
		return "slowing from " + perMinute(p.First) + " to " + perMinute(p.Last) + " a minute"
	}
	return "about " + perMinute((p.First+p.Last)/2) + " a minute"
}

func perMinute(n float64) string {
	if n < 9.95 {
		return strconv.FormatFloat(n, 'g', 2, 64)
	}
	return Count(uint64(n + 0.5))
}

// floorDiv divides and rounds down, also below zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
