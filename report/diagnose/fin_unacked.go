package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func finUnacked() Rule {
	return Rule{
		ID:       "fin-unacked",
		Title:    "FIN that nobody acknowledged",
		Severity: Warning,
		Doc:      finUnackedDoc,
		RFC:      []string{"RFC 9293 §3.8.1", "RFC 9293 §3.8.3", "RFC 1122 §4.2.3.5"},
		needs:    marked(reassembly.FINAgain),
		Check: func(c *Context, f *reassembly.Flow, emit func(Finding)) {
			checkUnacked(c, f, tcp.SideA, emit)
			checkUnacked(c, f, tcp.SideB, emit)
		},
	}
}

const finUnackedDoc = `What it means
  One side repeated its FIN, and no acknowledgement that covers it came. The
  socket stands in FIN_WAIT_1, CLOSING or LAST_ACK until its host gives up, and
  it gives up without a word: no RST.

Signature
  The same FIN again and again, with growing gaps, and no segment of the other
  side whose acknowledgement covers it. Linux repeats an orphan's FIN nine
  times (about 0.2, 0.4, 0.9 ... 54 s after the first) and forgets the socket
  after about 108 s. What is claimed ends with the last repetition: that one
  proves that its sender had seen no acknowledgement. An ICMP error that
  answered the FIN names who returns it.

Look-alikes
  A FIN that is not repeated: then its acknowledgement existed and the capture
  does not hold it. A repetition that stops early says the same, unless the host
  had given up; it is possible at most.
  Copies of one frame (a mirror port, the "any" interface), put aside before.
  A FIN that was acknowledged and comes again: last-ack-lost, ack-of-fin-lost.
  A peer that is alive and acknowledges less: what was sent after that, payload
  before the FIN or the FIN alone, was lost, and the verdict says so. When it
  goes on with the connection, the RST that it meets leaves nothing unread.
  Payload that was on its way when the application closed: rst-unread-data. The
  FIN was then not repeated for a second.

What it usually is
  The peer or its network is gone: a host that crashed, a firewall or NAT that
  forgot the connection and drops in silence, a route that changed.

What to do
  Capture near the other end at the same time: the FIN arrives there or it does
  not. Look for a stateful device on the way with a short idle time.
  The sysctl tcp_orphan_retries bounds the repetitions once the application has
  closed. Its default is no ban on them: on Linux tcp_orphan_retries=0 means 8
  for a peer that can be reached.

What would prove it
  A capture at the other end that shows the FIN arriving and no answer leaving
  (the host), or no FIN arriving (the path).`

// checkUnacked asks whether the FIN of side s was repeated and not
// acknowledged.
func checkUnacked(c *Context, f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	if !sentFIN(f, s) || d.FINAcked || d.FINRepeats == 0 || !p.Sent {
		return
	}
	met := neverHeardFIN(c, f) && f.Reset.By == s
	if f.Reset.Ref != 0 && !met && !unexplainedReset(c, f, s) {
		return
	}
	if p.SentAck && d.FINEnd.LessEq(p.Ack) {
		return // what the peer acknowledges lies beyond: the FIN is an old one
	}
	if _, lost := findLostACK(f, s); lost {
		return // it was acknowledged, and that passed the tap
	}
	last := lastMark(f, s, reassembly.FINAgain)
	if last == nil {
		return
	}
	sure := unackedSure(c, f, s, last.At)
	if sure == 0 {
		return
	}
	n := newFinding(f, Unknown, sure, finEvidence(f, s),
		Evidence{Ref: last.Ref, At: last.At, Side: s, What: fmt.Sprintf("the same FIN again, the last of %d repetitions", d.FINRepeats)})
	n.Duration, n.Censored = last.At-d.FINAt, f.Reset.Ref == 0
	n.Verdict = fmt.Sprintf("%s repeated its FIN %s within %s and no acknowledgement of it came: %s",
		f.Addr(s), times(d.FINRepeats), Span(n.Duration), whyUnacked(f, s, met, &n))
	if n.rests(f, onSilence) {
		emit(n)
	}
}

// whyUnacked tells what became of the peer of side s, whose FIN was not
// acknowledged, and puts down who that leaves to blame, with its packets. Met is
// that the peer sent payload, which met an RST.
func whyUnacked(f *reassembly.Flow, s tcp.Side, met bool, n *Finding) string {
	d, o := f.Endpoint(s), s.Other()
	p := f.Endpoint(o)
	if f.Reset.Ref != 0 && !met {
		n.prove(rstEvidence(f))
		return fmt.Sprintf("then the %s sent an RST of its own; whether the FINs or their acknowledgements were lost, or it ignored them, cannot be told from here",
			role(f, o))
	}
	if icmp, by, said := returned(f, s, d.FINAt); said != "" {
		n.Who = by
		n.prove(icmp)
		return said
	}
	if p.LastAt <= d.FINAt {
		return "a host that is gone and a path that drops look the same from here"
	}
	n.Who = Path
	why := fmt.Sprintf("%s is alive and acknowledges only up to %d, so what %s sent after that must have been lost on the way",
		f.Addr(o), rel(f, s, p.Ack), f.Addr(s))
	if met {
		n.prove(Evidence{Ref: p.LastDataRef, At: p.LastData, Side: o, says: asLastPayload}, rstEvidence(f))
		why += fmt.Sprintf("; it went on with the connection and sent payload %s after the FIN, which an RST answered", Span(p.LastData-d.FINAt))
	}
	return why
}

// unexplainedReset reports that the RST of a flow is the peer's of side s, which
// answered none of its FINs, and that no other rule has a word for it: before it
// the FIN was unacknowledged as without it.
func unexplainedReset(c *Context, f *reassembly.Flow, s tcp.Side) bool {
	r := &f.Reset
	return r.By == s.Other() && !r.AfterFIN && r.InAnswerTo == 0 && c.reset == resetNone
}

// neverHeardFIN reports that the RST of a flow answers payload that the peer sent
// when the FIN had been repeated for some time, and that does not acknowledge it:
// the peer went on with a connection of whose end it had not heard.
func neverHeardFIN(c *Context, f *reassembly.Flow) bool {
	r := &f.Reset
	s := r.By
	if r.Ref == 0 || !r.AfterFIN || r.InAnswerTo == 0 {
		return false
	}
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	if !sentFIN(f, s) || d.FINAcked || r.InAnswerTo != p.LastDataRef || d.FINEnd.LessEq(p.Ack) {
		return false
	}
	last := lastMark(f, s, reassembly.FINAgain)
	return last != nil && last.At < p.LastData && unackedSure(c, f, s, last.At) != 0
}

// unackedSure grades by how long the FIN was repeated, 0 for too short to say
// anything. A repetition that stopped long before the host would have given up
// suggests that an acknowledgement came which the capture does not hold.
func unackedSure(c *Context, f *reassembly.Flow, s tcp.Side, last int64) Confidence {
	d := f.Endpoint(s)
	span := last - d.FINAt
	gap := last - previousFIN(f, s, last)
	until := f.Until
	if f.Reset.Ref != 0 {
		until = f.Reset.At
	}
	stopped := until-last > 3*gap+patience(f)
	// The last repetition is due at half of the time after which the host
	// gives up, since each gap is twice the one before.
	gaveUp := span >= int64(c.Profile.FIN)*45/100
	switch {
	case d.FINRepeats >= 4 && gaveUp:
		return Certain
	case stopped && d.FINRepeats >= 3:
		return Possible
	case stopped || d.FINRepeats < 2 || span < 1e9:
		return 0
	case d.FINRepeats >= 3 && span >= 3e9:
		return Likely
	}
	return Possible
}

// previousFIN is when the copy before the last one was sent.
func previousFIN(f *reassembly.Flow, s tcp.Side, last int64) int64 {
	at := f.Endpoint(s).FINAt
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == reassembly.FINAgain && m.Side == s && m.At < last {
			at = m.At
		}
	}
	return at
}
