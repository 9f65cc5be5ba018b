package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
)

func synUnanswered() Rule {
	return Rule{
		ID:       "syn-unanswered",
		Title:    "nothing answered the SYN",
		Severity: Error,
		Doc:      synUnansweredDoc,
		RFC:      []string{"RFC 9293 §3.8.1", "RFC 9293 §3.8.3", "RFC 6298 §2", "RFC 1122 §4.2.3.5"},
		needs:    signNotOpened,
		Check:    checkSYNUnanswered,

		needsAnswers: true,
	}
}

const synUnansweredDoc = `What it means
  The client asked for a connection and heard nothing: no SYN-ACK, no RST, no
  ICMP error. Its connect() hangs until it times out (ETIMEDOUT), on Linux after
  127 s, since 6.5 after 131 s.

Signature
  A SYN, its repetitions with the same initial sequence number, and no segment
  of the server while the capture goes on. A repetition proves that no answer
  reached the client. "Never" is not claimed, only "not within" the time that
  the capture ran after the first SYN: certain from the third SYN and 3 s on,
  likely after one repetition; possible for a SYN that is never repeated;
  nothing is said of one less than 1 s before the capture's end.
  Also: a SYN-ACK that passed the point of capture, and the client repeats its
  SYN all the same, to the end: the answer does not reach the client.

Look-alikes
  An answer in the direction that was not captured, or that a filter left out:
  then the client goes on, or at least it does not repeat its SYN. Where no flow
  shows an answer, and most SYNs are never repeated or other flows go on, so
  that they must have had one: no more than possible. The same where the capture
  holds no answer, or no RST, of any flow, and the client stops before its timer
  is through: what it sent last may have been answered. (Windows repeats its SYN
  even after an RST.)
  A SYN that a firewall or router rejects: connection-rejected. An RST:
  connection-refused. An acknowledgement of an old connection instead of a
  SYN-ACK: syn-on-live-connection.
  A connection that opens at last: syn-retransmitted.
  A scanner, or a connect() with a short timeout: one SYN and no repetition,
  never more than possible.

What it usually is
  A firewall that drops, a wrong address or route, a host that is down. Or a
  listener whose accept queue is full: then other connections of the same port
  are open, and their data is not read. One port silent while others of the host
  answer: a firewall or that listener; all silent: the host or the way.

What to do
  Look where the SYN is last seen: capture on the server too. There, "nstat -az
  TcpExtListenOverflows TcpExtListenDrops" for a full queue, the firewall's
  counters, "conntrack -S" for insert_failed.

What would prove it
  A capture on the server's host: the SYN arrives (its kernel drops it) or does
  not (the path does).`

// Spans after the first SYN, ns.
const (
	synTooSoon = 1e9 // the first repetition is due: RFC 6298 §2
	synLikely  = 3e9
)

func checkSYNUnanswered(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.FirstSYNRef == 0 {
		return
	}
	switch h.Outcome {
	case reassembly.Unanswered:
	case reassembly.Incomplete:
		checkSYNACKLost(f, emit)
		return
	default:
		return
	}
	if f.Endpoint(f.Server()).Packets > 0 {
		return // answered by something else than a SYN-ACK
	}
	at := synTimes(f)
	last := Evidence{}
	if m := lastMark(f, f.Client, reassembly.SYNAgain); m != nil {
		last = markEvidence(m, "")
		last.says = asLastSYN
	}
	span := f.Until - h.FirstSYN
	if span < synTooSoon {
		return
	}
	n := newFinding(f, Unknown, sureOfSilence(at, f.Until), synEvidence(f), last, icmpEvidence(f, f.Server()))
	n.Duration, n.Censored = span, f.Endpoint(f.Client).State == fsm.SynSent
	if stopped(at, f.Until) {
		n.Slot = slotStopped
	}
	if n.Confidence != Certain {
		n.LoweredBy |= f.Quality & (reassembly.QualityEndsEarly | reassembly.QualityEvicted)
	}
	n.say = silenceWords
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}

// silenceWords is the verdict on SYNs that nothing answered.
func silenceWords(f *reassembly.Flow, span int64) string {
	at := synTimes(f)
	if len(at) == 1 {
		return fmt.Sprintf("nothing from %s answered the client's SYN within %s, and it was not repeated: a scan, a client that gave up at once, or an answer that was not captured",
			f.Addr(f.Server()), Span(span))
	}
	return fmt.Sprintf("nothing from %s answered the client's SYN within %s, although it was sent %s%s: the path, a firewall or the host drops it, or the listener's queue is full",
		f.Addr(f.Server()), Span(span), times(uint32(len(at))), schedule(at))
}

// sureOfSilence grades an unanswered SYN, sent at those times and watched until.
// That it came again proves that no answer had arrived. Where it never does, it
// is a scan, or there was an answer that the capture does not hold.
func sureOfSilence(at []int64, until int64) Confidence {
	first, n := at[0], len(at)
	switch {
	case n >= 3 && until-first >= synLikely && at[n-1]-first >= synTooSoon:
		return Certain
	case n >= 2 && at[n-1]-first >= synTooSoon/2:
		return Likely
	}
	return Possible
}

// slotStopped is the slot of SYNs that were repeated in a way that does not
// exclude an answer, where the capture may lack answers (see Weigh).
const slotStopped = 1

// stopped reports that SYNs, sent at those times, were no longer repeated although
// the timer was not through: the client gave up, or the last one was answered. Or
// that they follow no timer, but each other after half a second, as Windows does
// when an RST answers.
func stopped(at []int64, until int64) bool {
	const (
		// A timer that went on for so long, in ns or in repetitions, was about
		// to end.
		through, repeated = 30e9, 6
		linear            = 5 // see schedule
	)
	n := len(at)
	if n < 2 || n > repeated || at[n-1]-at[0] >= through {
		return false
	}
	wait := at[n-1] - at[n-2]
	due := 2 * wait // at most (RFC 6298 §5.5)
	if n > 2 && n <= linear && alike(wait, at[n-2]-at[n-3]) {
		due = wait
	}
	due = max(due, synTooSoon)
	return wait >= 450e6 && wait < synTooSoon-20e6 || until-at[n-1] > due+due/4
}

// checkSYNACKLost asks whether the server's SYN-ACK passed the tap and never
// reached the client.
func checkSYNACKLost(f *reassembly.Flow, emit func(Finding)) {
	again := lostSYNACK(f)
	h := &f.Handshake
	if again == nil || f.Reset.Ref != 0 || firstMark(f, f.Server(), reassembly.BadSYNACK, 0) != nil {
		return
	}
	m := lastMark(f, f.Client, reassembly.SYNAgain)
	if m == nil || f.Until-m.At < patience(f) && f.Ended == reassembly.EndInput && m.Ref == again.Ref {
		return // the answer to that one may be on its way
	}
	at := synTimes(f)
	n := newFinding(f, Path, sureOfSilence(at, f.Until), synEvidence(f), synACKEvidence(f, "the SYN-ACK passes"),
		Evidence{Ref: again.Ref, At: again.At, Side: f.Client, What: "the client sends its SYN again, so that did not arrive"},
		markEvidence(m, fmt.Sprintf("its SYN again, the %s", ordinal(len(at)))))
	n.Duration, n.Censored = f.Until-h.FirstSYN, f.Endpoint(f.Client).State != fsm.Closed
	n.Verdict = fmt.Sprintf("no answer to the client's SYN reached it within %s: the SYN-ACK of %s passed our tap (%s) but the client sent its SYN again (%s), %s in all: the path to the client loses it",
		Span(n.Duration), f.Addr(f.Server()), frame(h.SYNACKRef), frame(again.Ref), times(uint32(len(at))))
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}
