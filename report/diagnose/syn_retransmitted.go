package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func synRetransmitted() Rule {
	return Rule{
		ID:       "syn-retransmitted",
		Title:    "the connection opened only after SYN retransmissions",
		Severity: Warning,
		Doc:      synRetransmittedDoc,
		RFC:      []string{"RFC 9293 §3.8.1", "RFC 6298 §2", "RFC 6298 §5"},
		needs:    marked(reassembly.SYNAgain),
		Check:    checkSYNRetransmitted,
	}
}

const synRetransmittedDoc = `What it means
  The connection opened, but late: the client had to send its SYN again, and
  each repetition costs the user a second or more. "Connect took 1.0, 3.0 or
  7.0 s" is this.

Signature
  The same SYN (same initial sequence number) again, then a SYN-ACK and its
  acknowledgement. The gaps are the client's timer: 1, 2, 4, 8 s ... on Linux
  before 6.5 and most others; 1, 1, 1, 1, 1, 2, 4 s ... on Linux since 6.5
  (tcp_syn_linear_timeouts).

Look-alikes
  The SYN-ACK had passed when the SYN came again: then it is proved that the
  answer was lost, on the way to the client, and not the SYN.
  A path slower than the client's first timer: each SYN has its own SYN-ACK, and
  nothing was lost. A SYN and a SYN-ACK that cross: likewise.
  A SYN that was answered by something else than a SYN-ACK for it (an old
  connection's acknowledgement, a SYN-ACK for another number), and is sent again
  at once: other rules. Where the capture lacks that answer, an RST of the
  client or a gap below 1 s gives it away: possible at most.
  A copy of a frame, or a new attempt with another sequence number: no
  repetition. A connection that never opens: syn-unanswered.

What it usually is
  One repetition now and then: ordinary loss. Many towards one port: a listener
  whose queue is full drops SYNs in silence, and answers when there is room;
  a firewall that limits new connections; a connection tracker that collides.
  The first SYN of each reused port lost: something on the way still holds the
  old connection.

What to do
  Capture on both ends to see which segment is lost and where. On the server
  "nstat -az TcpExtListenOverflows TcpExtListenDrops" and "conntrack -S".

What would prove it
  A capture on the server's host: did the first SYN arrive?`

// soonestSYN is less than any host waits before it repeats a SYN that nothing
// answered, ns: the first wait is 1 s (RFC 6298 §2.1), less what clocks differ by.
const soonestSYN = 900e6

func checkSYNRetransmitted(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.FirstSYNRef == 0 || h.SYNACKRef == 0 || h.Outcome != reassembly.Complete && h.Outcome != reassembly.Simultaneous {
		return
	}
	at := synTimes(f)
	lost := lostSYNACK(f)
	m := lastSYNBefore(f)
	if len(at) < 2 || m == nil || lost == nil && (h.LastSYNRef == h.FirstSYNRef || eachAnswered(f, at)) {
		return // no repetition, or one that crossed its answer
	}
	for _, kind := range [...]reassembly.MarkKind{reassembly.ChallengeACK, reassembly.BadSYNACK} {
		if m := firstMark(f, f.Server(), kind, h.FirstSYN); m != nil && m.At < max(h.SYNACK, h.ACK) {
			return // it was answered, but not as it should be: other rules
		}
	}
	if f.Prev.ChallengedRef != 0 {
		return // the old connection had answered: syn-on-live-connection
	}
	who, why := Unknown, "nothing had answered before"
	evidence := []Evidence{synEvidence(f), markEvidence(m, fmt.Sprintf("the client's SYN again, the %s", ordinal(len(at)))),
		{Ref: h.ACKRef, At: h.ACK, Side: f.Client, What: "the connection is open"}}
	rst := refusal(f)
	switch {
	case lost == nil && rst != nil && rst.At < h.SYNACK:
		who, why = ServerHost, fmt.Sprintf("an RST (%s) had refused an earlier one", frame(rst.Ref))
		evidence = append(evidence, markEvidence(rst, "an RST refuses the SYN"))
	case lost == nil && f.EndsByICMP() && h.ICMP < h.SYNACK:
		who, why = rejecter(f, f.Server()), fmt.Sprintf("an ICMP error of %s (%s) had answered an earlier one", h.ICMPReporter, icmpWords(f))
		evidence = append(evidence, icmpEvidence(f, f.Server()))
	case lost != nil:
		who = Path
		evidence = append(evidence, synACKEvidence(f, "the SYN-ACK passes"),
			Evidence{Ref: lost.Ref, At: lost.At, Side: f.Client, What: "the client sends its SYN again, so that did not arrive"})
		why = fmt.Sprintf("the SYN-ACK passed our tap (%s) but did not reach the client, which sent its SYN again (%s)",
			frame(h.SYNACKRef), frame(lost.Ref))
	}
	sure := Certain
	if lost == nil && who == Unknown {
		switch x := rstToUnseen(f); {
		case x != nil:
			sure, why = Possible, fmt.Sprintf("the client's RST (%s) shows that something had answered the first, which is not in the capture", frame(x.Ref))
			evidence = append(evidence, markEvidence(x, "an RST of the client, which it sends only in answer to a segment"))
		case at[len(at)-1]-at[len(at)-2] < soonestSYN:
			sure, why = Possible, "that is sooner than a timer repeats it, so something that is not in the capture may have answered the first"
		}
	}
	n := newFinding(f, who, sure, evidence...)
	n.Duration = max(h.ACK, h.SYNACK, m.At) - h.FirstSYN
	n.Verdict = fmt.Sprintf("the connection to %s opened only with the client's %s SYN, %s after the first%s: %s",
		f.Addr(f.Server()), ordinal(len(at)), Span(n.Duration), schedule(at), why)
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// lastSYNBefore is the last repetition of the SYN before the connection opened.
func lastSYNBefore(f *reassembly.Flow) *reassembly.Mark {
	for i := len(f.Marks) - 1; i >= 0; i-- {
		m := &f.Marks[i]
		if m.Kind == reassembly.SYNAgain && m.Side == f.Client && (f.Handshake.ACKRef == 0 || m.At <= f.Handshake.ACK) {
			return m
		}
	}
	return nil
}

// eachAnswered reports that a SYN and its one repetition each had a SYN-ACK,
// as far apart as they were: the path is slower than the client's timer.
func eachAnswered(f *reassembly.Flow, at []int64) bool {
	if len(at) != 2 {
		return false
	}
	m := firstMark(f, f.Server(), reassembly.SYNACKAgain, f.Handshake.SYNACK)
	return m != nil && alike(m.At-f.Handshake.SYNACK, at[1]-at[0])
}
