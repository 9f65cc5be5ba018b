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
  rule, as far as the packets prove it.

Signature
  A close that left one side in TIME_WAIT, a SYN with another initial sequence
  number on the same four-tuple within 2MSL, and a SYN-ACK in answer. Linux
  leaves a proof: its new initial sequence number is the old connection's next
  one plus 65,537. Where the client had stood in TIME_WAIT and that proof is
  missing, the packets do not tell whether its own host gave the tuple up.

Look-alikes
  The same SYN again: a retransmission, however late.
  A SYN that is answered by an ACK of the old connection, or not at all: the
  reuse was refused or delayed.
  A tuple used again after 2MSL: nothing to remark.

What it usually is
  Many short connections to one service from one address, a client bound to a
  fixed port, or tcp_tw_reuse on a busy client. An address translator with few
  ports: it gives a port to the next connection while the host behind it still
  stands in TIME_WAIT.

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

// reuseReason says by which rule the tuple was given up, as far as the packets
// tell.
func reuseReason(f *reassembly.Flow) string {
	prev, w := &f.Prev, f.Prev.TimeWaitSide
	proof := ""
	if isn := f.Endpoint(w).ISS; isn.Sub(prev.Nxt[w.Index()]) == recycled {
		proof = fmt.Sprintf("; the %s's new initial sequence number, the old one's end plus %s, proves that it came out of TIME_WAIT", role(f, w), count(recycled))
	}
	c := f.Client
	if w == c {
		return ownReason(f, proof)
	}
	switch {
	case prev.Nxt[c.Index()].Less(f.Endpoint(c).ISS):
		return "the new SYN's sequence number lies above the old connection's" + proof
	case stampedAfter(f) > 0:
		return "the new SYN's sequence number is lower, but its timestamp is newer" + proof
	}
	return "neither its sequence number nor a timestamp allowed that, so the " + role(f, tcp.Side(w)) + "'s TIME_WAIT must have been gone" + proof
}

// ownReason is reuseReason where the client itself stood in TIME_WAIT. A Linux
// that gives up its own leaves the proof, whatever allowed it (tcp_twsk_unique in
// net/ipv4/tcp_ipv4.c). Without it the port may be the same and the host not.
func ownReason(f *reassembly.Flow, proof string) string {
	switch {
	case proof != "":
		return "the client's own host gave it up" + proof
	case stampedAfter(f) < 0:
		return "its timestamps went back, which speaks for another host behind that address, or for an address translator that gave the port to another connection"
	}
	return "nothing proves that the client's own host gave it up: an address translator may have given the port to another connection, or that host keeps TIME_WAIT for less than 2MSL"
}

// stampedAfter is above 0 where the new SYN's timestamp is newer than the last of
// the old connection, below 0 where it is older, and 0 where there is none or they
// are the same.
func stampedAfter(f *reassembly.Flow) int32 {
	c := f.Client.Index()
	if d := f.Endpoint(f.Client); f.Prev.Timestamps[c] && d.HasSYNTSVal {
		return int32(d.SYNTSVal - f.Prev.TSVal[c])
	}
	return 0
}
