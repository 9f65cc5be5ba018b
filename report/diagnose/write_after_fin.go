package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func writeAfterFIN() Rule {
	return Rule{
		ID:       "write-after-fin",
		Title:    "payload sent to a peer that had closed",
		Severity: Error,
		Doc:      writeAfterFINDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 9293 §3.10.4", "RFC 2525 §2.16"},
		Replaces: []string{"rst-after-fin", "abortive-close"},
		needs:    signReset,
		Check:    checkWriteAfterFIN,
	}
}

const writeAfterFINDoc = `What it means
  One side had closed, and the other side's host had acknowledged that. Payload
  of that side came all the same. The closer's socket takes no more and answers
  with an RST: what was written is lost, and the writer's next call fails with
  ECONNRESET or EPIPE.
  A FIN closes one direction only. Who receives one cannot know whether the
  other side called close() or shutdown(), and may go on sending. So it matters
  what the payload was:
  A new request, or more from a server long after the client had left: the
  writer used a connection that was over (error, the writer).
  An answer that was owed, or the rest of what was being sent: the closer did
  not wait for it (warning, the closer).
  The server's first payload, to a client that closed as soon as it had opened
  and sent nothing: a port check (info, the client). So is the answer to a
  goodbye: a few octets with which the client left, and a few that came back.

Signature
  FIN; payload from the other side in a segment that acknowledges the FIN; an
  RST by the closer within a round trip, whose sequence number is the one after
  its FIN, with no acknowledgement of the payload.
  A server owes an answer where the client's last payload came after its own
  last, and was not a few octets right before the FIN (a goodbye, the
  close_notify of TLS). It was still sending where it goes on within 3 s of the
  FIN, or after a pause no longer than it had been sending since the client's
  last payload. A client was still sending where it spoke last before the FIN,
  and goes on within 3 s of that. Whatever else a client writes is a new
  request.

Look-alikes
  A half-close in use: the closer used shutdown(), and acknowledges the payload.
  Payload that was already on its way when the FIN came: its acknowledgement
  number does not cover the FIN. That is the closer's doing: rst-unread-data.
  The same after the FIN_WAIT_2 timeout: late-close-reset.
  A goodbye of a few octets, such as the closing alert of TLS, that answers the
  closer's or comes together with the writer's own FIN: rst-after-fin. Where
  neither shows, what is as long as such an alert and comes at once after the
  FIN is possible at most.
  An RST of a device that had ended the connection for both: its time to live is
  not the closer's, the verdict says so, and it is likely at most.
  A server that notices only by its next event that a client has gone, seconds
  later: it looks like one that does not look at a FIN, so that is likely at
  most.

What it usually is
  Where the client writes: a pooled connection used again after the server had
  closed it for idleness. The request fails though the service is well. Where
  many such closes came in one moment, see rst-listener-closed.
  Where the client closed: a download that was cancelled, a client that was
  killed, or one whose time limit ran out. The finding says how long it waited
  and when the answer came: the server is slow, or the client's patience short.
  Right after the handshake: a monitoring check of a server that speaks first.
  Where the server closed while the client was sending: it refused the rest.

What to do
  Test a pooled connection before use (a readable socket that is idle means end
  of file), keep the pool's idle time below the server's, and repeat requests
  that are safe to repeat. Where answers come too late, look for what keeps the
  server, and compare that with the client's time limit. A port check needs
  nothing.

What would prove it
  On the writing side: the socket in CLOSE_WAIT before the write, and the error
  in its log after it.`

// lateWrite is what payload was that came after a FIN. It says whose doing it is
// that it met an RST: only what is new is the writer's.
type lateWrite uint8

const (
	lateNews   lateWrite = iota // nothing asked for it, and it was not begun before
	lateAnswer                  // the closer had asked for it, or waited for it
	lateRest                    // its sender was at it when the closer left
	lateWord                    // its sender's first, and the closer left right after the handshake
	lateBye                     // a few octets that answer a few with which the closer left
)

// stillSending is how soon after a FIN, or after the payload before it, what a
// side sends is more of the same, ns.
const stillSending = 3e9

// wroteLate tells what late payload was.
func wroteLate(f *reassembly.Flow, l *latePayload) lateWrite {
	s, o := f.Reset.By, f.Reset.By.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	before, from, closed := p.LastData, l.At, closedSince(f, s)
	if p.DataAfterPeerFIN > 0 {
		before = p.DataBeforePeerFIN
	}
	if m := firstMark(f, o, reassembly.DataAfterFIN, 0); m != nil {
		from = m.At
	}
	first := !f.Midstream && p.NxtAtPeerFIN == p.ISS.Add(1)
	atOnce := first && d.FINAt-opened(f) < leastIdle
	asked := d.LastData // 0 where it never did
	if s != f.Client {
		switch {
		case atOnce && from-closed < stillSending:
			return lateWord
		case before > asked && from-before < stillSending:
			return lateRest
		}
		return lateNews
	}
	mute := first && sentNothing(f, s)
	if asked == 0 {
		asked = opened(f)
	}
	soon, bye := from-closed < stillSending, saidGoodbye(f, s, before)
	switch {
	case mute && atOnce:
		return lateWord
	case bye && soon && l.octets <= alert && p.DataAfterPeerFIN <= 1:
		return lateBye
	case mute, d.LastData > before && !bye:
		return lateAnswer
	case soon, !bye && before != 0 && asked != 0 && from-before <= before-asked:
		return lateRest
	}
	return lateNews
}

// opened is when the server had opened its side, or when the flow began; 0
// where neither was seen.
func opened(f *reassembly.Flow) int64 {
	if f.Midstream {
		return 0
	}
	return max(f.Start, f.Handshake.SYNACK)
}

// atOnce reports that a side closed without having waited for anything after its
// last payload: two system calls take less than a millisecond.
func atOnce(d *reassembly.Endpoint) bool { return d.FINAt-d.LastData < 1e6 }

// sentNothing reports that a side's FIN was all that it sent after the handshake.
func sentNothing(f *reassembly.Flow, s tcp.Side) bool {
	d := f.Endpoint(s)
	return d.FINEnd == d.ISS.Add(2)
}

func checkWriteAfterFIN(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetWriter {
		return
	}
	r := &f.Reset
	s, o := r.By, r.By.Other()
	l, _ := findLatePayload(f)
	sure := Certain
	if r.Class != reassembly.ResetPassive || l.Ref == f.Endpoint(o).FINRef && f.Endpoint(o).DataAfterPeerFIN == 0 {
		sure = Likely // or its payload is missing
	}
	was := wroteLate(f, &l)
	who, on := s, onPayload
	switch {
	case was == lateNews && o == f.Client:
		who = o
		if l.At-closedSince(f, s) >= stillSending {
			on = onPackets // nothing that is missing could make it more of the same
		}
	case was == lateNews:
		who, sure = o, Likely
	case was == lateAnswer, was == lateRest, was == lateBye, was == lateWord && s != f.Client:
		sure = Likely
	}
	n := newFinding(f, app(f, who), sure, finEvidence(f, s), ackOfFINAndPayload(f, s), l.Evidence, rstEvidence(f))
	if l.octets <= alert && f.Until-l.At < breath {
		n.lower(f, Possible, reassembly.QualityEndsEarly) // its own FIN may follow
	}
	if on == onPayload && f.Midstream && f.Endpoint(s).LastDataRef == 0 {
		n.lower(f, Possible, reassembly.QualityMidstream) // what went before is not known
	}
	if was == lateNews && (mayBeRepeated(f, s, l.At) || mayBeGoodbye(f, &l)) {
		n.lower(f, Possible, 0)
	}
	n.Duration = r.At - f.Endpoint(s).FINAt
	if d := f.Endpoint(s); was == lateAnswer && d.LastDataRef != 0 && !atOnce(d) {
		n.Typical = d.FINAt - d.LastData
	}
	n.Severity = was.severity(s == f.Client)
	n.Verdict = was.words(f, &l)
	if ofDevice(f) {
		n.lower(f, Likely, 0) // its socket may have taken the payload
		n.Verdict += fmt.Sprintf(" (time to live %d, the %s's own %d: a device in front of it sent that, for which the connection was over)",
			r.TTL, role(f, s), f.Endpoint(s).TTL)
	}
	if n.rests(f, on) {
		emit(n)
	}
}

// severity is how much it matters that such payload met an RST of the client, or
// of the server.
func (w lateWrite) severity(ofClient bool) Severity {
	switch {
	case w == lateNews:
		return Error
	case w == lateWord && ofClient, w == lateBye:
		return Info
	}
	return Warning
}

// words tell what late payload was.
func (w lateWrite) words(f *reassembly.Flow, l *latePayload) string {
	s, o := f.Reset.By, f.Reset.By.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	what, after := octets(l.octets), Span(l.At-closedSince(f, s))
	switch {
	case w == lateWord && s == f.Client:
		return fmt.Sprintf("%s closed %s after it had opened the connection, having sent nothing: a port check; the server's first payload, %s, came %s later and met an RST",
			f.Addr(s), Span(d.FINAt-opened(f)), what, after)
	case w == lateWord:
		return fmt.Sprintf("%s closed %s after the connection had opened, before the client had sent anything: the client's first payload, %s, came %s later and met an RST",
			f.Addr(s), Span(d.FINAt-opened(f)), what, after)
	case w == lateBye:
		return fmt.Sprintf("%s sent %s and closed %s later, without waiting for an answer: that, %s, came %s after the FIN and met an RST",
			f.Addr(s), octets(d.LastDataLen), Span(d.FINAt-d.LastData), what, after)
	case w == lateAnswer && d.LastDataRef == 0:
		return fmt.Sprintf("%s stopped waiting %s after it had opened the connection, having sent nothing: the server's first payload, %s, came %s later and met an RST",
			f.Addr(s), Span(d.FINAt-opened(f)), what, after)
	case w == lateAnswer && atOnce(d):
		return fmt.Sprintf("%s closed as soon as it had sent its last payload, without waiting; the answer, %s, came %s later and met an RST",
			f.Addr(s), what, Span(l.At-d.LastData))
	case w == lateAnswer:
		return fmt.Sprintf("%s stopped waiting %s after its last payload; the answer, %s, came %s after that payload and met an RST",
			f.Addr(s), Span(d.FINAt-d.LastData), what, Span(l.At-d.LastData))
	case w == lateRest:
		had := ""
		if n := p.NxtAtPeerFIN.Sub(p.ISS) - 1; n > 0 && !f.Midstream {
			had = " after " + octets(uint32(n))
		}
		return fmt.Sprintf("%s stopped reading%s: it closed, and what the %s went on to send %s after that FIN, %s, met an RST",
			f.Addr(s), had, role(f, o), after, what)
	}
	return fmt.Sprintf("%s sent %s %s after the %s's FIN, which it had acknowledged, and got an RST: its application wrote to a connection that was over",
		f.Addr(o), what, after, role(f, s))
}

// delaysACK is for how long a host may wait with the acknowledgement of a FIN, ns,
// so that payload is the first to bring it (Linux: 40 ms, TCP_DELACK_MIN).
const delaysACK = 100e6

// mayBeRepeated reports that payload towards side s, whose FIN it is the first to
// acknowledge although a bare acknowledgement was due before, may have been sent
// before that FIN and been lost: a timer has had the time to repeat it once, and
// not so long that it would have done so again.
func mayBeRepeated(f *reassembly.Flow, s tcp.Side, at int64) bool {
	p := f.Endpoint(s.Other())
	spoke := max(p.DataBeforePeerFIN, f.Handshake.ACK, f.Handshake.SYNACK)
	since := at - closedSince(f, s)
	return onlyAcked(f, s) && since > delaysACK && since < stillSending && at-spoke >= patience(f)
}

// onlyAcked reports that a side's FIN was first acknowledged by payload itself:
// no bare acknowledgement says how far its sender had written by then.
func onlyAcked(f *reassembly.Flow, s tcp.Side) bool {
	m := firstMark(f, s.Other(), reassembly.DataAfterFIN, 0)
	return m != nil && m.Ref == f.Endpoint(s).FINAckRef
}

// ackOfFINAndPayload is the acknowledgement of a side's FIN, with the payload
// that came in the same segment.
func ackOfFINAndPayload(f *reassembly.Flow, s tcp.Side) Evidence {
	e := finAckEvidence(f, s)
	if m := firstMark(f, s.Other(), reassembly.DataAfterFIN, 0); onlyAcked(f, s) && m.Packet.Payload {
		e.says = asWritten
		e.What = fmt.Sprintf("%s, in a segment with %s of payload", ackWords(f, s.Other()), octets(m.Packet.Number))
	}
	return e
}

// firstAnswer reports that the server had never sent payload when it had
// acknowledged the client's FIN, though the client had.
func firstAnswer(f *reassembly.Flow) bool {
	c, d := f.Endpoint(f.Client), f.Endpoint(f.Server())
	asked := sentFIN(f, f.Client) && !f.Midstream && c.LastDataRef != 0 && c.LastData <= c.FINAt
	return asked && d.AckedPeerFIN && d.NxtAtPeerFIN == d.ISS.Add(1)
}
