package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func finAnsweredLate() Rule {
	return Rule{
		ID:       "fin-answered-late",
		Title:    "the answer to a FIN came late",
		Severity: Warning,
		Doc:      finAnsweredLateDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.10.4", "RFC 1122 §4.2.2.13"},
		needs:    signLate | marked(reassembly.FINAgain),
		Check: func(c *Context, f *reassembly.Flow, emit func(Finding)) {
			checkAnsweredLate(c, f, tcp.SideA, emit)
			checkAnsweredLate(c, f, tcp.SideB, emit)
		},
		New: func() Collector { return &answers{} },
	}
}

const finAnsweredLateDoc = `What it means
  One side closed. The other side's host acknowledged the FIN at once, and its
  application took its time before it closed too. Until then the closer stood in
  FIN_WAIT_2 and the other side in CLOSE_WAIT, with everything that hangs on a
  socket: a descriptor, a slot in a pool, a worker.

Signature
  FIN, an acknowledgement that covers it, and the other side's own FIN more than
  one second after that, with no payload between them; and where the same side
  of the service answered at least twenty FINs, more than ten times as late as
  half of them. How late they all came is told with the group.
  Certain from 3 s, likely below, possible below ten round trips: a few FINs
  lost before the tap could look the same.

Look-alikes
  A half-close in use: payload flows until the second FIN (half-close).
  A FIN that arrived late because its first copies were lost: the time counts
  from the last copy before the acknowledgement.
  Payload that still had to be delivered: it comes before the second FIN.
  A service that always takes so long, by design: its own median tells.
  A clock of the capture that leapt ahead meanwhile: what did not pass by the
  hosts' timestamps does not count. Where those of one host alone say so, it may
  have slept: possible.
  An answer so late that the closer had given up: late-close-reset.
  No answer as long as the capture ran: fin-unanswered.

What it usually is
  An application that notices the end of file only when it next looks at the
  connection (a pool, an event loop that is busy), that finishes work first
  (flushing a log, a transaction), or a pause of its runtime.

What to do
  Watch idle connections for end of file and close at once. Keep blocking work
  out of the path between the end of file and close().
  Below the closer's FIN_WAIT_2 timeout (60 s on Linux) nothing is lost; beyond
  it the answer meets an RST.

What would prove it
  A trace of the late process: when read() returned 0, and when close() was
  called.`

// How late is late, ns. The order of seconds is beyond delayed
// acknowledgements, retransmissions and schedulers.
const (
	answeredLate        = 1e9
	answeredLateCertain = 3e9
)

// checkAnsweredLate asks whether the other side answered the FIN of side s
// late.
func checkAnsweredLate(c *Context, f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	o := s.Other()
	if c.reset == resetLate {
		return // late-close-reset tells it
	}
	since, seen, ok := answerDue(f, s)
	if !ok {
		return
	}
	late := f.Endpoint(o).FINAt - since
	late -= c.Leaps.within(since, since+late)
	if late < answeredLate || disproved(f, late) {
		return
	}
	sure, path := Certain, f.RTT
	if path == 0 {
		path = since - closedSince(f, s)
	}
	switch {
	case late < 10*path, late < answeredLateCertain && !seen:
		sure = Possible // without its acknowledgement the FIN may have been on its way for part of it
	case late < answeredLateCertain || !seen:
		sure = Likely
	}
	ack := Evidence{}
	if seen {
		ack = finAckEvidence(f, s)
	}
	n := newFinding(f, app(f, o), sure, finEvidence(f, s), ack, finEvidence(f, o))
	if outrunsClock(f, o, since, late) && n.Confidence < Possible {
		n.Confidence, n.LoweredBy = Possible, reassembly.QualityClockStep
	}
	n.Duration, n.Slot = late, 1+delaySlot(late)
	n.say = func(f *reassembly.Flow, late int64) string { return lateWords(f, s, seen, late) }
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}

// disproved reports that so much time has not passed in the whole life of the flow,
// by the timestamps of both sides, where the capture's clock is known to have
// stepped.
func disproved(f *reassembly.Flow, ns int64) bool {
	a, aTells := lasted(f, tcp.SideA)
	b, bTells := lasted(f, tcp.SideB)
	return f.Quality&reassembly.QualityClockStep != 0 && aTells && bTells && ns > max(a, b)
}

// outrunsClock reports that so much time has not passed by the timestamps of one
// side: those of side o, that answered, since it opened, or those of the other from
// what o's FIN echoes on, if nothing had it echo something newer. The clock of the
// capture may have leapt, or that host's stood still while it slept.
func outrunsClock(f *reassembly.Flow, o tcp.Side, since, ns int64) bool {
	if most, ok := lasted(f, o); ok && ns > most {
		return true
	}
	ticks, _, ok := heard(f, o)
	return ok && ns > ticks*slowestTick && probes(f, o, since).n+probes(f, o.Other(), since).n == 0
}

// answerDue is from when on the other side could have answered the FIN of side
// s, and whether its acknowledgement of the FIN was seen. It is false where the
// other side did not answer, or had something to send before.
func answerDue(f *reassembly.Flow, s tcp.Side) (since int64, seen, ok bool) {
	o := s.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	if !sentFIN(f, s) || !sentFIN(f, o) || !p.FINAcksPeer || d.FINAcksPeer {
		return 0, false, false
	}
	since = closedSince(f, s)
	seen = d.FINAckRef != 0 && d.FINAckRef != p.FINRef && d.FINAckAt < p.FINAt
	if seen {
		since = d.FINAckAt
	}
	if d.HalfCloseAlive || p.DataAfterPeerFIN > 0 || p.LastData > since {
		return 0, false, false // it had not finished
	}
	if p.AheadAt != 0 && p.AheadAt < p.FINAt && p.FINEnd.LessEq(p.Ahead) {
		return 0, false, false // its own numbers say that it had sent its FIN by then
	}
	if m := lastMark(f, o, reassembly.RepeatAfterFIN); m != nil {
		since = max(since, m.At) // payload had to be delivered first
	}
	if m := lastMark(f, s, reassembly.ZeroWindow); m != nil && m.At > p.LastData {
		return 0, false, false // so had what waited behind a closed window
	}
	return since, seen, true
}

// lateWords tells how late the FIN of side s was answered, whose acknowledgement
// was seen or not.
func lateWords(f *reassembly.Flow, s tcp.Side, seen bool, late int64) string {
	how := "must have acknowledged"
	if seen {
		how = "acknowledged"
	}
	return fmt.Sprintf("%s %s the %s's FIN and sent its own only %s later: its application closed late",
		f.Addr(s.Other()), how, role(f, s), Span(late))
}
