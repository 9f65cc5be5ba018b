package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
)

func handshakeACKLost() Rule {
	return Rule{
		ID:       "handshake-ack-lost",
		Title:    "the third segment of the handshake was lost",
		Severity: Info,
		Doc:      handshakeACKLostDoc,
		RFC:      []string{"RFC 9293 §3.5", "RFC 9293 §3.10.7.4"},
		needs:    signRevised | marked(reassembly.SYNACKAgain),
		Check:    checkHandshakeACK,
	}
}

const handshakeACKLostDoc = `What it means
  The client believed that it was connected while the server was still waiting
  for the acknowledgement of its SYN-ACK. The server sends the SYN-ACK again,
  the client acknowledges it again, and the connection is open on both sides.

Signature
  SYN, SYN-ACK, its acknowledgement, and later than a round trip the same
  SYN-ACK again, which the client acknowledges again. Where the acknowledgement
  was lost before the point of capture only the two SYN-ACKs are seen, and no
  repetition of the SYN between them: possible.

Look-alikes
  A listener that ignores the acknowledgement because its accept queue is full:
  it repeats the SYN-ACK more than once, and ignores the client's data too
  (accept-queue-overflow).
  A listener that waits for data (TCP_DEFER_ACCEPT) and repeats its SYN-ACK when
  the wait is over: the same, many seconds later. After more than 3.5 s, when
  any host would have repeated it before, possible.
  Either of them for a moment, with a single repetition: where the capture was
  made so close to the server that hardly anything is lost behind it, possible.
  A SYN-ACK that was lost, so that the SYN comes again: syn-retransmitted.
  A SYN-ACK repeated because the acknowledgement was late: within a round trip.

What it usually is
  Ordinary loss on the way to the server. Data that the client sends at once
  stand in for the acknowledgement, so it shows only where the client waits.

What to do
  Nothing for a few. For many: look for loss, or a stateful device that misses
  one direction, between the tap and the server.

What would prove it
  A capture next to the server, in which the acknowledgement is missing.`

func checkHandshakeACK(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.SYNACKRef == 0 || f.Quality&reassembly.QualityFiltered != 0 {
		return
	}
	if ack, again := ignoredACK(f); ack != nil && !eachAnswered(f, synTimes(f)) {
		repeats := countMarks(f, f.Server(), reassembly.SYNACKAgain, again.At)
		n := newFinding(f, Path, sureOfACKLoss(f, again.At-ack.At),
			Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: "the server's SYN-ACK"},
			Evidence{Ref: ack.Ref, At: ack.At, Side: f.Client, What: "the client's acknowledgement passes"},
			Evidence{Ref: again.Ref, At: again.At, Side: f.Server(), What: "the server sends its SYN-ACK again, so that did not arrive"})
		n.Time = ack.At
		n.Duration = again.At - ack.At
		n.Verdict = fmt.Sprintf("the client's acknowledgement of the SYN-ACK passed our tap (%s) but did not reach %s, which sent its SYN-ACK again %s later (%s), %s in all: the path to it lost the packet, or its listener ignored it (a full accept queue, or one that waits for data)",
			frame(ack.Ref), f.Addr(f.Server()), Span(again.At-ack.At), frame(again.Ref), times(repeats))
		if n.rests(f, onClock) {
			emit(n)
		}
		return
	}
	checkUnseenACK(f, emit)
}

// sureOfACKLoss grades by how soon after the acknowledgement the SYN-ACK came
// again, and by what followed. It is likely at most: a listener whose accept queue
// is full for a moment, or that waits for data, shows the same packets.
func sureOfACKLoss(f *reassembly.Flow, gap int64) Confidence {
	var taken *reassembly.Step
	for i := range f.Steps {
		if st := &f.Steps[i]; st.Side == f.Server() && st.On == fsm.RecvACKOfSYN {
			taken = st
		}
	}
	const longest = 3500e6 // until the first repetition, of any host (RFC 6298 §5.7: 3 s)
	if f.Handshake.FirstSYNRef == 0 || taken.Basis == fsm.Presumed || nearServer(f) || gap > longest {
		return Possible // nearServer: it hardly was lost so close to the listener
	}
	return max(sureOfLoss(f, gap), Likely)
}

// checkUnseenACK asks whether the acknowledgement was lost before the tap: the
// SYN-ACK came again although the client did not repeat its SYN.
func checkUnseenACK(f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	again := firstMark(f, f.Server(), reassembly.SYNACKAgain, h.SYNACK)
	if again == nil || h.Outcome != reassembly.Complete || h.ACKRef == 0 || again.At > h.ACK ||
		firstMark(f, f.Client, reassembly.SYNAgain, h.FirstSYN) != nil || h.ACK-again.At > (again.At-h.SYNACK)/5 {
		return // the last: the path may take longer than the server's timer
	}
	n := newFinding(f, Path, Possible, synACKEvidence(f, "the server's SYN-ACK"),
		markEvidence(again, "the server sends its SYN-ACK again"),
		Evidence{Ref: h.ACKRef, At: h.ACK, Side: f.Client, What: "the client acknowledges it"})
	n.Duration = again.At - h.SYNACK
	n.Verdict = fmt.Sprintf("%s sent its SYN-ACK again %s later (%s), and the client had not repeated its SYN: the client's acknowledgement of the first must have been lost before our tap",
		f.Addr(f.Server()), Span(n.Duration), frame(again.Ref))
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}
