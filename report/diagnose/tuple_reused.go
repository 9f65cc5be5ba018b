package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func tupleReused() Rule {
	return Rule{
		ID:       "tuple-reused",
		Title:    "a four-tuple used again within 2MSL",
		Severity: Info,
		Doc:      tupleReusedDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 6191 §2", "RFC 1122 §4.2.2.13"},
		needs:    signReused,
		Check:    checkReuse,
	}
}

const tupleReusedDoc = `What it means
  A new connection took over addresses and ports of one that was still in
  TIME_WAIT. That is allowed where the new SYN cannot be mistaken for an old
  one: a higher sequence number, or a newer timestamp. The verdict says by which
  rule.

Signature
  A close that left one side in TIME_WAIT, a SYN with another initial sequence
  number on the same four-tuple within 2MSL, and a SYN-ACK in answer. Linux
  leaves a proof: its new initial sequence number is the old connection's next
  one plus 65,537.

Look-alikes
  The same SYN again: a retransmission, however late.
  A SYN that is answered by an ACK of the old connection, or not at all: the
  reuse was refused or delayed.
  A tuple used again after 2MSL: nothing to remark.

What it usually is
  Many short connections to one service from one address, a client bound to a
  fixed port, or tcp_tw_reuse on a busy client.

What to do
  Nothing, as long as it works. It shows that the client's ports go round within
  2MSL: keep connections open instead.
  tcp_tw_recycle is no cure: it broke clients behind NAT and was removed in
  Linux 4.12. tcp_tw_reuse concerns outgoing connections only and needs
  timestamps. SO_REUSEADDR lets a listener bind and ends no TIME_WAIT.

What would prove it
  The packets do.`

// recycled is how far beyond the old connection's SND.NXT Linux puts the new
// initial sequence number of a socket that comes out of TIME_WAIT
// (net/ipv4/tcp_minisocks.c, tcp_timewait_state_process).
const recycled = 65535 + 2

func checkReuse(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	prev, h := &f.Prev, &f.Handshake
	if prev.ID == 0 || prev.TimeWaitSide == 0 || h.FirstSYNRef == 0 || h.SYNACKRef == 0 || h.FirstSYN >= prev.Expires {
		return
	}
	if rstToUnseen(f) != nil {
		return // something had answered the SYN before: it was not free at once
	}
	sure := Likely
	if h.Outcome == reassembly.Complete {
		sure = Certain
	}
	n := newFinding(f, Nobody, sure,
		Evidence{Ref: prev.EnteredRef, At: prev.Entered, Side: prev.TimeWaitSide.Other(), What: "the old connection's TIME_WAIT begins"},
		Evidence{Ref: h.FirstSYNRef, At: h.FirstSYN, Side: f.Client, What: "the SYN of a new connection"},
		Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: "its SYN-ACK: the tuple is free"})
	n.Time = h.FirstSYN
	n.Duration = h.FirstSYN - prev.Entered
	n.Verdict = fmt.Sprintf("%s opened the same four-tuple again %s after the %s entered TIME_WAIT: %s",
		f.Addr(f.Client), Span(n.Duration), role(f, prev.TimeWaitSide), reuseReason(f))
	if n.rests(f, onClock) {
		emit(n)
	}
}

// reuseReason says by which rule the tuple was given up.
func reuseReason(f *reassembly.Flow) string {
	prev, w := &f.Prev, f.Prev.TimeWaitSide
	proof := ""
	if isn := f.Endpoint(w).ISS; isn.Sub(prev.Nxt[w.Index()]) == recycled {
		proof = fmt.Sprintf("; the %s's new initial sequence number, the old one's end plus %s, proves that it came out of TIME_WAIT", role(f, w), count(recycled))
	}
	c := f.Client
	higher := prev.Nxt[c.Index()].Less(f.Endpoint(c).ISS)
	stamped := prev.Timestamps[c.Index()] && f.Endpoint(c).Timestamps
	switch {
	case w == c && proof == "" && stamped:
		return "the client's own host gave it up, as timestamps allow"
	case w == c:
		return "the client's own host gave it up" + proof
	case higher:
		return "the new SYN's sequence number lies above the old connection's" + proof
	case stamped:
		return "the new SYN's sequence number is lower, so its timestamp must have been newer" + proof
	}
	return "neither its sequence number nor a timestamp allowed that, so the " + role(f, tcp.Side(w)) + "'s TIME_WAIT must have been gone" + proof
}
