package diagnose

import (
	"fmt"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func finUnanswered() Rule {
	return Rule{
		ID:       "fin-unanswered",
		Title:    "FIN acknowledged and never answered",
		Severity: Error,
		Doc:      finUnansweredDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.10.4", "RFC 1122 §4.2.2.13"},
		Replaces: []string{"rst-after-fin"},
		needs:    signHalfClosed,
		Check: func(c *Context, f *reassembly.Flow, emit func(Finding)) {
			checkUnanswered(c, f, tcp.SideA, emit)
			checkUnanswered(c, f, tcp.SideB, emit)
		},
	}
}

const finUnansweredDoc = `What it means
  One side closed. The other side's kernel acknowledged the FIN, and its
  application never closed its own end. The closer stands in FIN_WAIT_2, the
  other side in CLOSE_WAIT, which nothing ends but the application: there is no
  timer on CLOSE_WAIT.

Signature
  FIN from one side, an acknowledgement that covers it, then neither FIN nor RST
  from the other side while the capture goes on. "Never" is not claimed, only
  "not within" the time that the capture ran after the acknowledgement:
  possible below 3 s, likely from there, certain from 60 s with both directions
  captured without gaps. Where the capture ends right after the acknowledgement
  it says no more than that.

Look-alikes
  A half-close in use: the closer used shutdown() and goes on reading, payload
  still flows. Named only after 60 s without any, and then as possible.
  A FIN whose acknowledgement is not in the capture: that is fin-unacked, or,
  when the FIN is not repeated either, a gap in the capture (possible at most).
  A FIN of the other side that the capture lost: acknowledged beyond what was
  seen, and the capture is marked.
  A slow application that answers after the capture ended.
  A new connection on the same addresses and ports: a host that still holds the
  old one in CLOSE_WAIT answers a SYN with an acknowledgement of that. Where it
  accepts or refuses the SYN, something had removed the socket unseen: a FIN or
  an RST that was lost, a restart, another host behind the address. Likely at
  most then, unless the blamed side spoke a minute after the FIN and sent none.
  An RST of the closer without ACK: it gave nothing up, it has no such socket
  any more and answers a segment. Where that is not in the capture it may be the
  FIN that is missing: possible at most.
  A FIN behind payload that was lost: the receiver takes it only when that has
  come, and the sender repeats that first. Silent while the receiver stands
  below the FIN.
  A FIN that was sent and lost before the tap, each time that it was repeated:
  the closer stands in FIN_WAIT_2 as it would without one, and no packet tells
  the two apart. Below certain the verdict says "no FIN passed the tap". A
  capture on the blamed host tells.
  Payload of the other side that the closer never acknowledges and that comes
  again: its FIN waits behind that. Possible at most.
  A closer that reads nothing any more: the other side's FIN stands behind
  payload, and the closer's window holds both back (close-behind-zero-window).
  Silent while the other side probes that window.
  A FIN that a device on the way did not hand on. Where both sides of an address
  translation are captured and the other side shows the FIN or an RST, the
  finding is possible at most and names that packet.

What it usually is
  An application that leaves a connection behind: a response body or a result
  set not closed on an error path, a pool that never checks idle connections, a
  worker that hangs on something else, or waits for a lock, while the peer
  hangs up.

What to do
  Find the process with "ss -tanp state close-wait" on the blamed host, and make
  it close on end of file and on every error path. Keep a pool's idle time below
  the peer's.
  Sysctls do not help. Keepalive does not either: it clears the TCP state once
  the peer is gone and leaves the file descriptor open. tcp_tw_reuse and
  tcp_fin_timeout concern other states.
  A few hundred are enough to stop a service, long before ports or descriptors
  run out: each pins a slot of a pool, a worker or a transaction.
  CLOSE_WAIT does not come from a crash or a network that went away: without a
  received FIN there is no CLOSE_WAIT.

What would prove it
  On the blamed host: the socket in CLOSE_WAIT, and a stack trace of the process
  that holds it. Recv-Q counts the FIN as one: 1 says that the end of file was
  never read, more that data was left unread as well, and 0 that the application
  read to the end and still did not close.`

// Spans of silence after the acknowledgement of a FIN, ns.
const (
	unansweredLikely  = 3e9
	unansweredCertain = 60e9
)

// checkUnanswered asks whether the FIN of side s was acknowledged and not
// answered.
func checkUnanswered(c *Context, f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	o := s.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	if !sentFIN(f, s) || p.FINRef != 0 || !p.Sent || d.Ack == p.Nxt.Add(1) {
		return // the last: it acknowledged one number more than was captured, the answer
	}
	state, until := stood(f, o)
	if state != fsm.CloseWait || answered(c, f, o) || heldBack(f, o) {
		return
	}
	if p.DataAfterPeerFIN > 0 && until-p.LastData < unansweredCertain {
		return // a half-close in use
	}
	since := d.FINAckAt
	unseen := !d.FINAcked || d.FINAckRef == 0 || d.FINAckAt > until
	inferred := unseen || d.FINAckAt-closedSince(f, s) > patience(f)
	if inferred {
		since = closedSince(f, s)
	}
	replaced := replacedBy(f, o)
	if replaced != nil && p.LastAt < replaced.At && p.LastAt-since-c.Leaps.within(since, p.LastAt) >= unansweredCertain {
		until, replaced = p.LastAt, nil // so long it lived, by its own word
	}
	span := until - since - c.Leaps.within(since, until)
	if span < patience(f) && until != f.Until {
		return // where the capture ends at the acknowledgement it is possible, and says so
	}
	if unseen && (d.FINRepeats > 0 || belowFIN(f, s)) || inferred && span < max(unansweredLikely, 9*f.RTT) {
		return
	}
	if closerGone(f, s) && mayHaveClosed(f, o) && span < int64(c.Profile.FinWait2) {
		return // so soon a socket goes after both FINs: the other one stands before the capture
	}
	n := newFinding(f, app(f, o), unansweredSure(span), finEvidence(f, s), finAckEvidence(f, s))
	n.Duration, n.Censored = span, until == f.Until
	if f.Reset.Ref != 0 {
		n.Evidence = append(n.Evidence, rstEvidence(f))
	}
	if replaced != nil {
		n.Evidence = append(n.Evidence, Evidence{Ref: replaced.Ref, At: replaced.At, Side: replaced.Packet.From,
			What: "a new connection begins: the old socket is gone"})
		n.lower(f, Likely, 0)
	}
	weakenUnanswered(f, s, span, unseen, inferred, &n)
	if n.rests(f, onSilence) {
		gone := replaced != nil
		n.grade = func(f *reassembly.Flow, span int64, sure Confidence) string {
			if gone {
				return replacedVerdict(f, s, span, inferred)
			}
			return unansweredVerdict(f, s, span, inferred, sure)
		}
		emit(n)
	}
}

// weakenUnanswered lowers a finding on a FIN of side s by what may be missing.
func weakenUnanswered(f *reassembly.Flow, s tcp.Side, span int64, unseen, inferred bool, n *Finding) {
	o := s.Other()
	if span < unansweredCertain {
		n.LoweredBy |= f.Quality & (reassembly.QualityEndsEarly | reassembly.QualityEvicted)
	}
	switch {
	case closerGone(f, s) && f.Reset.InAnswerTo == 0:
		n.lower(f, Possible, reassembly.QualityCaptureLoss) // what the RST answers may be the FIN
	case unseen, f.Endpoint(o).DataAfterPeerFIN > 0, waitsBehind(f, o):
		// The capture lost the acknowledgement, and may have lost the answer; or
		// the half-close is in use, and the application still at work; or the FIN
		// waits behind payload.
		n.lower(f, Possible, 0)
	case mayHaveClosed(f, o):
		n.lower(f, Possible, reassembly.QualityMidstream)
	case inferred, restarted(f, o):
		n.lower(f, Likely, 0) // the latter's host had no such socket any more when it opened another connection
	}
}

// replacedBy is the step that ended a side's connection because another one took
// its addresses and ports, or nil. A host answers a SYN from the port of a socket
// in CLOSE_WAIT with an acknowledgement of that (RFC 9293 §3.10.7.4), and opens
// nothing: something had removed the socket before.
func replacedBy(f *reassembly.Flow, s tcp.Side) *reassembly.Step {
	for i := len(f.Steps) - 1; i >= 0; i-- {
		if st := &f.Steps[i]; st.Side == s {
			if st.On == fsm.Reuse {
				return st
			}
			break
		}
	}
	return nil
}

// waitsBehind reports that payload of a side comes again and is not acknowledged,
// or did not even pass the tap, where it has sent further since: a FIN would wait
// behind it.
func waitsBehind(f *reassembly.Flow, s tcp.Side) bool {
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	return p.SentAck && (d.Repeats > 0 && p.Ack.Less(d.Nxt) || d.AheadAt != 0 && p.Ack.Less(d.Ahead))
}

// belowFIN reports that the peer of side s stands before its FIN for want of
// payload: that comes again, or the peer still acknowledges less. Then it has not
// taken the FIN, and a sender repeats the earliest octets first (RFC 6298 §5.4).
func belowFIN(f *reassembly.Flow, s tcp.Side) bool {
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	return p.SentAck && p.Ack.Less(d.FINEnd) && (d.Repeats > 0 || p.LastAt-closedSince(f, s) > patience(f))
}

// closerGone reports that the RST which ended the flow answers a segment, as a
// host does that has no such socket any more: the closer did not send it of
// itself.
func closerGone(f *reassembly.Flow, s tcp.Side) bool {
	r := &f.Reset
	return r.Ref != 0 && r.By == s && r.Class != reassembly.ResetActive && (r.InAnswerTo != 0 || !r.HasACK)
}

// answered reports that side o answered a FIN by an RST of its own, or that the
// closer's RST has another cause: payload of o, or a late FIN.
func answered(c *Context, f *reassembly.Flow, o tcp.Side) bool {
	if f.Reset.Ref == 0 {
		return false
	}
	if f.Reset.By == o {
		return true
	}
	switch c.reset {
	case resetNone, resetAfterFIN, resetForged:
		return false
	}
	return true
}

// unansweredSure grades by how long the capture ran without an answer.
func unansweredSure(span int64) Confidence {
	switch {
	case span >= unansweredCertain:
		return Certain
	case span >= unansweredLikely:
		return Likely
	}
	return Possible
}

// unansweredVerdict is the sentence. What the application did follows from a FIN
// that was not sent; less than certain is that none was, and not only that none
// passed the tap.
func unansweredVerdict(f *reassembly.Flow, s tcp.Side, span int64, inferred bool, sure Confidence) string {
	o := s.Other()
	fact := ackedWords(f, s, inferred)
	if f.Reset.Ref == 0 && span < unansweredLikely {
		if f.GoesOn {
			return fmt.Sprintf("%s %s and has not sent its own in the %s since: the socket is in CLOSE_WAIT, and whether the application closes it is still to be seen",
				f.Addr(o), fact, Span(span))
		}
		later := "right after"
		if span >= 1e6 {
			later = Span(span) + " later"
		}
		return fmt.Sprintf("%s %s and had not sent its own when the capture ended %s: the socket was in CLOSE_WAIT, and whether the application closes it was not seen",
			f.Addr(o), fact, later)
	}
	gone := goneWords(f, s)
	if sure != Certain {
		lost := "unless one was lost before the tap"
		if waitsBehind(f, o) {
			lost = fmt.Sprintf("unless one waits behind its payload, which the %s does not acknowledge", role(f, s))
		}
		return fmt.Sprintf("%s %s, and no FIN of its own passed the tap within %s%s: %s, its application has not closed the socket (CLOSE_WAIT)",
			f.Addr(o), strings.TrimSuffix(fact, ","), Span(span), gone, lost)
	}
	return fmt.Sprintf("%s %s and did not send its own within %s%s: its application has not closed the socket (CLOSE_WAIT)",
		f.Addr(o), fact, Span(span), gone)
}

// replacedVerdict is the sentence where a new connection shows that the socket was
// gone, and nothing shows what removed it.
func replacedVerdict(f *reassembly.Flow, s tcp.Side, span int64, inferred bool) string {
	o := s.Other()
	return fmt.Sprintf("%s %s, and no FIN of its own passed the tap within %s, when the socket was gone and a new connection took its addresses and ports (%s): "+
		"unless a FIN or an RST was lost before the tap, its application had not closed the socket (CLOSE_WAIT)",
		f.Addr(o), strings.TrimSuffix(ackedWords(f, s, inferred), ","), Span(span), frame(replacedBy(f, o).Ref))
}

// ackedWords tells of the acknowledgement of the FIN of side s. Where that is
// inferred it says from what: a FIN that is not repeated although the capture runs
// on must have been acknowledged.
func ackedWords(f *reassembly.Flow, s tcp.Side, inferred bool) string {
	d := f.Endpoint(s)
	fact := fmt.Sprintf("acknowledged the %s's FIN after %s", role(f, s), Span(d.FINAckAt-d.FINAt))
	if inferred {
		fact = fmt.Sprintf("must have acknowledged the %s's FIN, which was not repeated then,", role(f, s))
	}
	if f.Endpoint(s.Other()).DataAfterPeerFIN > 0 {
		fact += ", went on sending for a while"
	}
	return fact
}

// goneWords says how the closer's RST ended the wait, as a phrase that begins
// with a comma; "" where none did.
func goneWords(f *reassembly.Flow, s tcp.Side) string {
	switch {
	case f.Reset.Ref == 0:
		return ""
	case !closerGone(f, s):
		return fmt.Sprintf(", when the %s gave up with an RST", role(f, s))
	case f.Reset.InAnswerTo != 0:
		return fmt.Sprintf(", when an RST answered %s because the %s's socket was gone", frame(f.Reset.InAnswerTo), role(f, s))
	}
	return fmt.Sprintf(", when the %s's RST answered a segment that is not in the capture, perhaps that FIN", role(f, s))
}
