package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// story is how the two applications of a world behave.
type story int

const (
	storyNormal story = iota
	storyHalfClose
	storySimultaneous
	storyLeak
	storyLate
	storyWriteAfter
	storyAbort
	storyDeath
	stories
)

var storyNames = [...]string{"normal", "half-close", "simultaneous", "leak", "late", "write after", "abort", "death"}

// play lets a world live through a story and returns until when the tap
// watched. delay is the story's own: how late the late side is.
func play(w *world, st story) (closer, other *host, delay int64) {
	closer, other = w.c, w.s
	if w.rng.IntN(2) == 0 {
		closer, other = w.s, w.c
	}
	delay = w.between(1*s1, 150*s1)
	read := func(h *host) { w.in(w.between(0, 5*ms), func() { h.unread = 0 }) }
	w.s.onData = func() {
		read(w.s)
		w.in(w.between(6*ms, 30*ms), func() { w.s.write(w.between(1, 1400)) })
	}
	w.c.onData = func() { read(w.c) }
	w.connect(func() {
		if w.rng.IntN(4) > 0 {
			w.c.write(w.between(1, 1400))
		}
		w.in(w.between(500*ms, 2*s1), func() { finale(w, st, closer, other, delay) })
	})
	return closer, other, delay
}

// finale is how the connection ends.
func finale(w *world, st story, closer, other *host, delay int64) {
	closer.onData, other.onData = func() { closer.unread = 0 }, func() { other.unread = 0 }
	other.onEOF = func() { w.in(w.between(0, 50*ms), other.close) }
	switch st {
	case storyHalfClose:
		other.onEOF = func() {
			for i := int64(1); i < 5; i++ {
				w.in(i*w.between(20*ms, 900*ms), func() { other.write(700) })
			}
			w.in(5*s1, other.close)
		}
		closer.onEOF = closer.close
		closer.shutdown()
		return
	case storySimultaneous:
		other.close()
	case storyLeak:
		other.onEOF = nil
	case storyLate:
		other.onEOF = func() { w.in(delay, other.close) }
	case storyWriteAfter:
		other.onEOF = func() {
			w.in(delay, func() { other.write(300) })
		}
	case storyAbort:
		closer.abort()
		return
	case storyDeath:
		other.die()
	}
	closer.close()
}

// false accusations: what makes a certain or likely finding untrue.
func untrue(w *world, d *diagnose.Finding) string {
	x := w.c
	if d.Who == diagnose.ServerApp || d.Who == diagnose.ServerHost {
		x = w.s
	}
	t := &x.truth
	late := int64(1 << 62) // how long the application took to close
	if t.closedAt != 0 {
		late = t.closedAt - t.gotFINAt
	}
	const slack = 1 * s1
	switch d.Rule {
	case "fin-unanswered":
		if t.gotFINAt == 0 || late < d.Duration-slack && t.unseenFINs < 3 {
			return "the application had closed"
		}
	case "fin-answered-late":
		if t.gotFINAt == 0 || late < d.Duration-slack && t.unseenFINs < 3 {
			return "it did not answer late"
		}
	case "half-close":
		if !w.c.truth.readOn && !w.s.truth.readOn {
			return "nobody read on"
		}
	case "simultaneous-close":
		if w.c.truth.closedAt*w.s.truth.closedAt == 0 || w.c.answered() || w.s.answered() {
			return "one side had received the other's FIN"
		}
	case "rst-on-dead-connection":
		if t.refusedAt == 0 {
			return "its host refused nothing"
		}
	case "retransmission-timeout":
		if !w.c.truth.lostAny && !w.s.truth.lostAny && w.c.truth.diedAt+w.s.truth.diedAt == 0 {
			return "nothing was lost and nobody died"
		}
	case "write-after-fin":
		other := w.s
		if x == w.s {
			other = w.c
		}
		switch {
		case d.Severity == diagnose.Error && !t.wroteAfter:
			return "it did not write after the FIN"
		case d.Severity != diagnose.Error && (t.closedAt == 0 || !other.truth.wroteAfter):
			return "it did not close before the other side wrote"
		}
	case "late-close-reset":
		if late < 60*s1-slack && !t.wroteAfter {
			return "it was not late"
		}
	case "abortive-close", "rst-unread-data", "rst-after-fin":
		if !t.aborted {
			return "it did not abort"
		}
	case "last-ack-lost", "ack-of-fin-lost":
		if !w.c.truth.lostAck && !w.s.truth.lostAck {
			return "no acknowledgement was lost behind the tap"
		}
	case "fin-unacked":
		if !w.c.truth.lostAny && !w.s.truth.lostAny && w.c.truth.diedAt+w.s.truth.diedAt == 0 {
			return "nothing was lost and nobody died"
		}
	case "time-wait-assassinated":
		if w.c.truth.refusedAt+w.s.truth.refusedAt == 0 {
			return "no host refused anything"
		}
	default:
		return "no such thing happens here"
	}
	return ""
}

// lived is a world that has run its course, and what the tap saw of it.
type lived struct {
	*world
	seed          uint64
	story         story
	closer, other *host
	delay         int64
	frames        []scenario.Frame
}

func live(t *testing.T, seed uint64) *lived {
	t.Helper()
	l := &lived{world: newWorld(seed), seed: seed, story: story(seed % uint64(stories))}
	l.loss = []float64{0, 0, 0.02, 0.1}[seed/uint64(stories)%4]
	l.jitter = []int64{0, 0, 3 * ms}[seed%3]
	l.closer, l.other, l.delay = play(l.world, l.story)
	l.run(l.between(4*s1, 240*s1))
	s, err := scenario.Parse("world", strings.NewReader(l.transcript()))
	if err != nil {
		t.Fatal(err)
	}
	l.frames = s.Frames
	return l
}

// judge complains of what is untrue in the analysis of a view of the world.
func (l *lived) judge(t *testing.T, frames []scenario.Frame, how string, excused ...string) Result {
	t.Helper()
	r, err := Frames(frames, reassembly.Profiles()[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		d := &r.Findings[i]
		if why := untrue(l.world, d); why != "" && d.Confidence != diagnose.Possible && !slices.Contains(excused, d.Rule) {
			l.complain(t, r, fmt.Sprintf("%s: %s %s is untrue: %s: %s", how, d.Confidence, d.Rule, why, d.Verdict))
		}
	}
	return r
}

func (l *lived) complain(t *testing.T, r Result, what string) {
	t.Helper()
	t.Errorf("world %d (%s, loss %v, jitter %d): %s\n%s%s", l.seed, storyNames[l.story], l.loss, l.jitter, what, l.transcript(), r)
}

// In worlds whose truth is known nothing certain or likely is untrue, nothing
// is alarming where all went well, and what a clean capture shows is found.
func TestFindingsAreTrue(t *testing.T) {
	for seed := uint64(0); seed < 4000; seed++ {
		l := live(t, seed)
		r := l.judge(t, l.frames, "whole")
		if l.loss != 0 {
			continue
		}
		for i := range r.Findings {
			d := &r.Findings[i]
			// A bare ACK that a FIN overtook ends TIME_WAIT in earnest.
			overtaken := l.jitter > 0 && d.Rule == "time-wait-assassinated"
			if l.story <= storySimultaneous && d.Severity != diagnose.Info && !overtaken {
				l.complain(t, r, fmt.Sprintf("%s %s although all went well", d.Confidence, d.Rule))
			}
		}
		if rule := missing(l, r); rule != "" {
			l.complain(t, r, rule+" is missing")
		}
	}
}

// Nor is anything untrue in a poorer view of them.
func TestPoorerViewsAreTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	for seed := uint64(0); seed < 400; seed++ {
		l := live(t, seed)
		var twice, holes []scenario.Frame
		for i, f := range l.frames {
			if f.PureACK {
				l.judge(t, slices.Delete(slices.Clone(l.frames), i, i+1), fmt.Sprintf("without frame %d", i+1))
			}
			l.judge(t, l.frames[:i+1], fmt.Sprintf("cut after frame %d", i+1))
			l.judge(t, l.frames[i:], fmt.Sprintf("begun at frame %d", i+1))
			twice = append(twice, f)
			f.At += 20_000
			twice = append(twice, f)
			if i == len(l.frames)-1 || l.rng.IntN(20) > 0 {
				holes = append(holes, f)
			}
		}
		l.judge(t, twice, "every frame twice")
		// Where a FIN and its acknowledgement are both lost to the capture
		// nothing is left that tells a leak from a close.
		l.judge(t, holes, "with holes", "fin-unanswered")
	}
}

// missing names what a capture without loss must show and does not.
func missing(l *lived, r Result) string {
	want, sure := "", diagnose.Certain
	since := l.now - l.other.truth.gotFINAt
	switch l.story {
	case storyLeak:
		if since < 61*s1 {
			sure = diagnose.Likely
		}
		if since > 4*s1 {
			want = "fin-unanswered"
		}
	case storyLate, storyWriteAfter:
		switch {
		case since < l.delay+s1 || l.delay > 59*s1 && l.delay < 61*s1:
		case l.delay >= 61*s1:
			want = "late-close-reset"
		case l.story == storyWriteAfter:
			want, sure = "write-after-fin", diagnose.Likely // what it wrote, and why, is an inference
		}
	case storyDeath:
		if l.now-l.closer.truth.closedAt > 60*s1 && l.closer.fin != 0 {
			want = "fin-unacked"
		}
	}
	if want == "" || l.other.truth.gotFINAt == 0 && l.story != storyDeath {
		return ""
	}
	for i := range r.Findings {
		if d := &r.Findings[i]; d.Rule == want && d.Confidence <= sure {
			return ""
		}
	}
	return fmt.Sprintf("%s %s", sure, want)
}
