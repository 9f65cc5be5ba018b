package report

import (
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// pauses are the times in which nobody captured: between two parts of an input,
// and from where a source broke off.
type pauses struct {
	n       int
	longest int64 // ns
	broken  []int // sources
}

func (p *pauses) add(ns int64) {
	p.n++
	p.longest = max(p.longest, ns)
}

func (p *pauses) any() bool { return p.n > 0 || len(p.broken) > 0 }

// remark notes them.
func (p *pauses) remark(r *Report) {
	const rest = "what was open then may have gone on unseen"
	switch p.n {
	case 0:
	case 1:
		r.note("nothing was captured for %s between two sources: %s", diagnose.Span(p.longest), rest)
	default:
		r.note("nothing was captured in %s between sources, the longest %s: %s",
			Plural(uint64(p.n), "pause", "pauses"), diagnose.Span(p.longest), rest)
	}
	for _, source := range p.broken {
		r.Health.Notes = append(r.Health.Notes, Note{Text: "it broke off while others went on: " + rest, File: source})
	}
}

// leaps finds where the capture's clock leapt ahead: after a silence of all hosts
// that their timestamps know nothing of (RFC 7323 §5.4: the clock that they come
// from goes on steadily). One host alone may have slept; two have not.
type leaps struct {
	last   int64   // time of the latest segment
	before int64   // that of the one before the silence that is looked into; 0 for none
	after  int64   // that of the first one behind it
	until  int64   // for how long it is looked into
	votes  int     // hosts that have shown it
	length int64   // how much less than the silence lasted passed for them, at most
	voter  address // the first of them
	clocks [leapClocks]hostClock
}

// hostClock is the timestamps of one side of a flow.
type hostClock struct {
	hash            uint64
	firstAt, lastAt int64
	first, last     uint32
}

const (
	leapClocks = 512
	// leastLeap is the shortest silence that is looked into, ns.
	leastLeap = 10e9
	// leapHistory is for how long a clock must have been known, ns, so that its
	// rate is; and leapTicks how far it must have gone.
	leapHistory = 200e6
	leapTicks   = 20
	// leapShare is how many times more ticks the silence should have had.
	leapShare = 4
	// leapQuiet is for how long a clock was not seen that gives way to another, ns.
	leapQuiet = 1e9
	// leapLook is how long after the silence segments are looked at, ns.
	leapLook = 2e9
)

// see takes the next segment, with a hash of its tuple. It reports that the clock
// leapt, once two hosts have shown it, and since when.
func (l *leaps) see(s *tcp.Segment, hash uint64) (before int64, leapt bool) {
	if l.last != 0 && s.At-l.last >= leastLeap {
		l.before, l.after, l.until, l.votes, l.length = l.last, s.At, s.At+leapLook, 0, 0
	}
	l.last = max(l.last, s.At)
	if s.Kind != tcp.KindTCP || s.Options&tcp.OptTimestamps == 0 || s.Flags&tcp.RST != 0 {
		return 0, false
	}
	if l.before != 0 && s.At > l.until {
		l.before = 0
	}
	hash ^= uint64(s.From)
	c := &l.clocks[hash%leapClocks]
	switch {
	case c.hash == hash && s.Flags&tcp.SYN == 0:
	case c.hash != hash && c.hash != 0 && (l.before != 0 || uint64(s.At-c.lastAt) < leapQuiet):
		return 0, false // in dense traffic all would displace each other, and none be known for long
	default:
		*c = hostClock{hash, s.At, s.At, s.TSVal, s.TSVal}
		return 0, false
	}
	if l.before != 0 {
		before, leapt = l.vote(c, s)
	}
	c.lastAt, c.last = s.At, s.TSVal
	return before, leapt
}

// vote counts what one clock says of the silence: that it passed, which settles
// it, or that it did not.
func (l *leaps) vote(c *hostClock, s *tcp.Segment) (before int64, leapt bool) {
	known, ticks := c.lastAt-c.firstAt, int64(int32(c.last-c.first))
	if c.lastAt > l.before || known < leapHistory || ticks < leapTicks {
		return 0, false
	}
	silence, passed := s.At-c.lastAt, float64(int32(s.TSVal-c.last))*float64(known)/float64(ticks)
	if passed*leapShare >= float64(silence) {
		l.before = 0
		return 0, false
	}
	l.length = max(l.length, min(silence-max(0, int64(passed)), l.after-l.before))
	sender := sideAddress(&s.Tuple, s.From)
	if l.votes == 0 || l.voter == sender {
		l.votes, l.voter = 1, sender
		return 0, false
	}
	before, l.before = l.before, 0
	return before, true
}
