package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func lastACKLost() Rule {
	return Rule{
		ID:       "last-ack-lost",
		Title:    "the last acknowledgement of the close was lost",
		Severity: Info,
		Doc:      lastACKLostDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.10.7.4"},
		needs:    marked(reassembly.FINAgain),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkLostACK(f, tcp.SideA, true, emit)
			checkLostACK(f, tcp.SideB, true, emit)
		},
	}
}

const lastACKLostDoc = `What it means
  Both sides had closed. The acknowledgement of the second FIN passed the point
  of capture and did not reach the FIN's sender, which stayed in LAST_ACK (or
  CLOSING) and sent its FIN again. The other side answers each repetition from
  TIME_WAIT, and each answer starts its 2MSL anew.

Signature
  FIN, an acknowledgement that covers it, and later than a round trip the same
  FIN again. Info; a warning when it came more than three times.

Look-alikes
  A repetition that crossed the acknowledgement: it comes within a round trip of
  it, or the next acknowledgement meets a host that has closed by then (RST).
  Copies of one frame: put aside by IP identification or identical headers.
  The first FIN of the close: ack-of-fin-lost.

What it usually is
  Ordinary loss between the point of capture and the FIN's sender. Many of them
  towards one network: a firewall that forgets the connection at the first FIN
  and drops what follows, or a filter on the receiving host.

What to do
  Nothing for a few: TIME_WAIT exists for this very loss. For many: look for
  loss, or for a stateful device, between the tap and the host that repeats.
  The closer does not leave TIME_WAIT after the answer: it restarts the wait.

What would prove it
  A capture next to the host that repeats its FIN, in which the acknowledgement
  is missing.`

func ackOfFINLost() Rule {
	return Rule{
		ID:       "ack-of-fin-lost",
		Title:    "the acknowledgement of the first FIN was lost",
		Severity: Info,
		Doc:      ackOfFINLostDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.8.1"},
		needs:    marked(reassembly.FINAgain),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkLostACK(f, tcp.SideA, false, emit)
			checkLostACK(f, tcp.SideB, false, emit)
		},
	}
}

const ackOfFINLostDoc = `What it means
  The side that closed first sent its FIN again although an acknowledgement of
  it had passed the point of capture: that did not arrive. The closer was still
  in FIN_WAIT_1, not yet in FIN_WAIT_2.

Signature
  FIN, an acknowledgement that covers it, and later than a round trip the same
  FIN again, before its sender had received the other side's FIN.

Look-alikes
  A FIN repeated because its acknowledgement was late: the repetition then comes
  before the acknowledgement, or within a round trip of it.
  Copies of one frame: put aside by IP identification or identical headers.
  The second FIN of the close: last-ack-lost. Where the capture begins within
  the close, and shows no other FIN, it may be either: no more than possible.

What it usually is
  Ordinary loss on the way to the closer.

What to do
  Nothing for a few. For many, look for loss or a stateful device between the
  tap and the closer.

What would prove it
  A capture next to the closer, in which the acknowledgement is missing.`

// settling is how long the capture must run after the last repetition before
// nothing more that contradicts is to be expected, ns.
const settling = 1e9

// manyRepeats is how many repetitions make a lost last ACK worth a warning.
const manyRepeats = 3

// checkLostACK asks whether an acknowledgement of the FIN of side s was lost
// behind the tap: the second FIN of the close, or the first.
func checkLostACK(f *reassembly.Flow, s tcp.Side, second bool, emit func(Finding)) {
	l, ok := findLostACK(f, s)
	if !ok || l.second != second {
		return
	}
	if r := &f.Reset; r.Ref != 0 && r.By == s && r.At > l.again.At && r.At-l.again.At < settling && answersNoSocket(r) {
		return // its host had closed by then: the acknowledgement had arrived, and crossed the repetition
	}
	gap := l.again.At - l.ack.At
	sure := sureOfLoss(f, gap)
	if f.Until-l.last.At < settling {
		sure = max(sure, Likely) // an RST may yet say that the acknowledgement was only late
	}
	what := "the acknowledgement of it passes"
	if l.ack.Packet.Flags.Has(tcp.FIN) {
		what = "a FIN that acknowledges it passes"
	}
	n := newFinding(f, Path, sure, finEvidence(f, s),
		Evidence{Ref: l.ack.Ref, At: l.ack.At, Side: s.Other(), What: what},
		Evidence{Ref: l.again.Ref, At: l.again.At, Side: s, What: fmt.Sprintf("the %s sends its FIN again, so that did not arrive", role(f, s))})
	if second && l.repeats > manyRepeats {
		n.Severity = Warning
	}
	n.Time = l.ack.At
	n.Duration = l.last.At - l.ack.At
	n.Censored = !f.Endpoint(s).FINAcked
	which, doubt := "the ACK", ""
	if second {
		which = "the last ACK"
	} else if f.Midstream && f.Endpoint(s.Other()).FINRef == 0 {
		n.lower(f, Possible, reassembly.QualityMidstream)
		doubt = "; the other side's FIN may lie before the capture, and this be the last ACK"
	}
	n.Verdict = fmt.Sprintf("%s, of the %s's FIN, passed our tap (%s) but did not reach %s, which sent its FIN again %s later (%s), %s in all: the path to it lost the packet%s",
		which, role(f, s), frame(l.ack.Ref), f.Addr(s), Span(gap), frame(l.again.Ref), times(l.repeats), doubt)
	if n.rests(f, onClock) {
		emit(n)
	}
}

// sureOfLoss grades by how long after the acknowledgement the repetition passed
// the tap: within a round trip it can have been on its way already.
func sureOfLoss(f *reassembly.Flow, gap int64) Confidence {
	switch {
	case f.RTT == 0 && gap < 500e6:
		return Possible
	case gap < max(2*f.RTT, 100e6):
		return Likely
	}
	return Certain
}
