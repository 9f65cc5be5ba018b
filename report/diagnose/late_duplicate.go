package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func lateDuplicate() Rule {
	return Rule{
		ID:       "late-duplicate",
		Title:    "a segment of an earlier connection",
		Severity: Info,
		Doc:      lateDuplicateDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 7323 §5", "RFC 1337 §2"},
		needs:    marked(reassembly.Stray, reassembly.StrayInWindow),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkOldInTimeWait(f, emit)
			checkOldInNew(f, tcp.SideA, emit)
			checkOldInNew(f, tcp.SideB, emit)
		},
	}
}

const lateDuplicateDoc = `What it means
  A segment was so long on its way, or was repeated so late, that its connection
  was over when it came. In TIME_WAIT it is met by an acknowledgement and does
  no harm: that is what TIME_WAIT is for. It is an error where it comes within
  the window of a new connection on the same four-tuple: only its timestamp
  tells it from the new connection's payload, and without timestamps it is
  taken.

Signature
  A segment by a side that had closed, later than a round trip after the other
  side entered TIME_WAIT; or, in a new connection, a segment that ends before
  its sender's initial sequence number or bears a timestamp older than its SYN,
  where the capture holds the earlier connection too.

Look-alikes
  A repeated FIN in TIME_WAIT: the last ACK was lost (last-ack-lost).
  Segments that overtook each other around the close: within a round trip.
  The same, followed by an RST that ends TIME_WAIT: time-wait-assassinated.
  Ordinary retransmissions: their numbers and timestamps are of this connection.

What it usually is
  A path with long queues or a change of route, a device that holds packets
  back, a mirror or capture that replays.

What to do
  Leave TIME_WAIT and timestamps as they are; both are there for this. Look for
  the device that delays packets, if it happens often.

What would prove it
  A capture near the sender with the time at which the segment left.`

// checkOldInTimeWait looks for the first old segment that TIME_WAIT met.
func checkOldInTimeWait(f *reassembly.Flow, emit func(Finding)) {
	for i := range f.TimeWaits {
		w := &f.TimeWaits[i]
		o := w.Side.Other()
		m := firstMark(f, o, reassembly.Stray, w.Entered+patience(f))
		if m == nil || m.At > max(w.Expires, w.EndedAt) {
			continue
		}
		n := newFinding(f, Path, Likely,
			Evidence{Ref: w.EnteredRef, At: w.Entered, Side: o, What: fmt.Sprintf("the %s enters TIME_WAIT", role(f, w.Side))},
			markEvidence(m, fmt.Sprintf("a segment of the %s, which had closed", role(f, o))))
		n.Time, n.Duration = m.At, m.At-w.Entered
		n.Verdict = fmt.Sprintf("a segment of %s came %s after %s had entered TIME_WAIT, which kept it from doing harm",
			f.Addr(o), Span(n.Duration), f.Addr(w.Side))
		if n.rests(f, onClock) {
			emit(n)
		}
	}
}

// fewOld bounds how many segments of one side may look old: more than that are
// of a host or a device whose timestamps make no sense.
const fewOld = 3

// checkOldInNew looks for segments of side s that belong to an earlier
// connection of the four-tuple.
func checkOldInNew(f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	if f.Prev.ID == 0 {
		return
	}
	hit := firstMark(f, s, reassembly.StrayInWindow, 0)
	m := hit
	if m == nil {
		m = firstMark(f, s, reassembly.Stray, f.Handshake.FirstSYN)
	}
	old := countMarks(f, s, reassembly.StrayInWindow, 0) + countMarks(f, s, reassembly.Stray, 0)
	if m == nil || old > fewOld || closedAlready(f, m.At) {
		return
	}
	n := newFinding(f, Path, Likely, markEvidence(m, fmt.Sprintf("a segment of the %s that belongs to an earlier connection", role(f, s))))
	n.Verdict = fmt.Sprintf("a segment of an earlier connection of %s came %s after this one began; its number lies outside the window",
		f.Addr(s), Span(m.At-f.Start))
	if hit != nil {
		n.Severity = Error
		n.Verdict = fmt.Sprintf("a segment of an earlier connection of %s came %s after this one began, inside the window: only its timestamp tells that it is old",
			f.Addr(s), Span(m.At-f.Start))
	}
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// closedAlready reports that TIME_WAIT had begun at an instant.
func closedAlready(f *reassembly.Flow, at int64) bool {
	for i := range f.TimeWaits {
		if f.TimeWaits[i].Entered <= at {
			return true
		}
	}
	return false
}
