package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// rstVerdict is what the receiver of an RST does with it.
type rstVerdict uint8

const (
	rstIgnored  rstVerdict = 1 + iota // dropped in silence
	rstInexact                        // in the window: it draws a challenge ACK
	rstAccepted                       // it ends the connection
)

// reset works an RST in. Its payload, if any, is a diagnostic text and no part
// of the stream (RFC 9293 §3.5.3).
func (t *Table) reset(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	t.suspects(e, s)
	switch t.judgeRST(e, s) {
	case rstIgnored:
		t.mark(e, RSTIgnored, s)
		return
	case rstInexact:
		t.mark(e, RSTInexact, s)
		t.provokes(e, s)
		return
	}
	t.mark(e, RSTSent, s)
	if answersBadACK(d, s) {
		return
	}
	r := t.describeRST(e, s)
	t.rstProves(e, s, r.Class)
	lone := !d.has(sentAny) && p.state == fsm.Closed && !sawFIN(d, p)
	moved := t.move(e, s.From, fsm.SendRST, fsm.Seen, s)
	if moved {
		d.bits |= aborted
	}
	if t.move(e, s.From.Other(), fsm.RecvRST, fsm.Presumed, s) {
		moved = true
	}
	x := t.resetsOf(t.extra(e))
	if (moved || lone) && !resetStands(x, t.story(e)) {
		x.reset, x.resetSeq, x.effective = r, s.Seq.Max(d.nxt), true
	}
}

// rstProves draws from an RST what its sender had received before. One without
// ACK answers a segment that met no socket (RFC 9293 §3.5.2): what that segment
// was presumed to have moved, it did not.
func (t *Table) rstProves(e *entry, s *tcp.Segment, class ResetClass) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	answer := s.Flags&tcp.ACK == 0
	switch {
	case d.has(presumedSYNACK) && answer:
		t.retract(e, side, fsm.RecvSYNACK, s)
	case d.has(presumedACKOfSYN) && answer && class == ResetPassive:
		t.retract(e, side, fsm.RecvACKOfSYN, s)
	case d.has(presumedFIN) && p.has(sentFIN) && !answer && !s.Ack.Less(p.finEnd):
		t.confirm(e, side, fsm.RecvFIN)
		d.bits |= ackedFIN
	case d.has(presumedFIN) && answer && !d.has(ackedFIN) && s.Seq == t.spoke(e, side.Other()).ack:
		if t.retract(e, side, fsm.RecvFIN, s) {
			d.bits &^= gotFIN
		}
	}
}

// sawFIN reports whether either side has shown a FIN: an RST after that is a
// remark on a connection that is over, not its end.
func sawFIN(d, p *end) bool { return d.has(sentFIN) || p.has(sentFIN) }

// judgeRST decides by sequence and acknowledgement number (RFC 9293 §3.10.7.3
// and §3.10.7.4, RFC 5961 §3.2). What the receiver expects is known up to what
// is in flight: from its last acknowledgement to the highest octet sent.
func (t *Table) judgeRST(e *entry, s *tcp.Segment) rstVerdict {
	d, p := e.end(s.From), e.end(s.From.Other())
	if p.state == fsm.SynSent {
		if s.Flags&tcp.ACK != 0 && s.Ack.Sub(p.iss) > 0 && s.Ack.LessEq(p.nxt) {
			return rstAccepted
		}
		return rstIgnored
	}
	if !p.has(hasAck) {
		if !d.has(hasSeq) || s.Seq.Sub(d.iss) >= 0 && s.Seq.LessEq(d.nxt) {
			return rstAccepted
		}
		return rstIgnored
	}
	if p.state == fsm.TimeWait && d.has(sentFIN) {
		// RCV.NXT is known, and only it will do (Linux, tcp_timewait_state_process).
		if s.Seq == d.finEnd {
			return rstAccepted
		}
		return rstIgnored
	}
	low, high := p.ack, p.ack
	if d.has(hasSeq) {
		high = d.nxt.Max(p.ack)
	}
	switch {
	case low.LessEq(s.Seq) && s.Seq.LessEq(high):
		return rstAccepted
	case d.has(sentFIN) && s.Seq.Add(1) == d.finEnd:
		return rstAccepted // Linux: RCV.NXT-1 once the FIN was taken (tcp_reset_check)
	case high.Less(s.Seq) && (s.Seq.LessEq(p.edge) || !d.has(hasSeq)):
		if e.has(flowLoss) || !d.has(sentAny) {
			return rstAccepted // what stands before it was not captured
		}
		return rstInexact
	}
	return rstIgnored
}

// answersBadACK reports an RST that an opening endpoint sends to a segment that
// it cannot accept, and that leaves it as it is: it has the sequence number
// that the segment acknowledged, and no ACK (RFC 9293 §3.10.7.3, §3.5.2).
func answersBadACK(d *end, s *tcp.Segment) bool {
	if s.Flags&tcp.ACK != 0 {
		return false
	}
	switch d.state {
	case fsm.SynSent, fsm.SynRcvd:
		return s.Seq != d.iss && s.Seq != d.iss.Add(1) && s.Seq != d.nxt
	}
	return false
}

// describeRST keeps what the rules need of an RST, as things stood before it.
func (t *Table) describeRST(e *entry, s *tcp.Segment) Reset {
	d, p := e.end(s.From), e.end(s.From.Other())
	own, peer := t.spoke(e, s.From), t.spoke(e, s.From.Other())
	r := Reset{
		By: s.From, At: s.At, Ref: s.Ref, Class: classOfRST(d, s), HasACK: s.Flags&tcp.ACK != 0,
		HeardAt: own.at, HeardRef: own.ref, PeerAt: peer.at, TTL: s.TTL, SenderState: d.state, PeerState: p.state, AfterFIN: d.has(sentFIN),
	}
	passive := !r.HasACK && s.Seq == peer.ack || r.HasACK && s.Window == 0 && s.Ack == peer.end
	if passive && peer.ref != 0 && s.At-peer.at <= max(2*e.rtt, 500e6) {
		r.InAnswerTo, r.AnswerAt = peer.ref, peer.at
	}
	r.Shut, r.PeerShut = d.has(inZeroWindow), p.has(inZeroWindow)
	r.leaves(d, p, s)
	if ahead := s.Ack.Sub(p.nxt); r.HasACK && p.has(hasSeq) && ahead > 0 && ahead <= p.unseenLimit(d) {
		r.AckedUnseen = uint32(ahead)
	}
	return r
}

// leaves notes what of the peer's payload an RST by d leaves unanswered. The
// peer's FIN may still be on its way when all payload has been acknowledged. What
// d's own last payload answered it acknowledged, whichever the tap saw first.
func (r *Reset) leaves(d, p *end, s *tcp.Segment) {
	ack, end := d.ack, p.nxt
	if p.has(sentFIN) && end == p.finEnd {
		end--
	}
	crossed := d.has(hasAck) && ack.Less(end)
	if p.dataAt == 0 || p.dataAt <= d.dataAt && !crossed || !r.HasACK && !d.has(hasAck) {
		return
	}
	if r.HasACK && (!d.has(hasAck) || ack.Less(s.Ack)) {
		ack = s.Ack
	}
	left := end.Sub(ack)
	if left > 0 && r.HasACK {
		r.Unacked = uint32(left)
	}
	// One that never answered anything leaves what it acknowledged unanswered, too.
	if left <= 0 || d.dataAt == 0 && p.has(hasISN) && p.iss.Add(1).Less(ack) {
		r.UnreadAt, r.UnreadRef = p.dataAt, p.dataRef
	}
}

// classOfRST tells an abort from the answer of a host without a socket by the
// header, as Linux fills it (net/ipv4/tcp_output.c tcp_send_active_reset,
// net/ipv4/tcp_ipv4.c tcp_v4_send_reset): the answer has no window, no options
// and IP ID 0.
func classOfRST(d *end, s *tcp.Segment) ResetClass {
	v4 := s.Tuple.Is4()
	bare := s.Options&tcp.OptAny == 0
	switch {
	case s.Window == 0 && bare && (!v4 || s.IPID == 0):
		return ResetPassive
	case s.Flags&tcp.ACK != 0 && s.Window != 0 && (!v4 || s.IPID != 0) && !(d.has(hasTS) && bare):
		return ResetActive
	}
	return ResetUnknown
}

// suspects remembers the first RST of a live endpoint: if that goes on as if it
// had sent none, somebody else did.
func (t *Table) suspects(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if !d.has(sentAny) || d.state == fsm.Closed || answersBadACK(d, s) {
		return
	}
	q := made(&t.suspicions, &t.resetsOf(t.extra(e)).suspicion)
	if q.Ref == 0 {
		q.Reset, q.ts = t.describeRST(e, s), d.tsval
		// An RST that somebody else made up may have any timestamp.
		if ahead := int32(s.TSVal - d.tsval); s.Options&tcp.OptTimestamps != 0 && ahead >= 0 && int64(ahead) <= (s.At-q.HeardAt)/1e6+fastTicks {
			q.ts = s.TSVal
		}
	}
}

const (
	// fastTicks is how much further than by one tick in a millisecond a host's
	// timestamps may have gone between two segments.
	fastTicks = 100
	// latestOvertaken is how long after an RST what was sent before it may arrive,
	// ns.
	latestOvertaken = 10e9
)

// disowns notes that the named sender of an RST goes on after it: later than
// anything that was in flight, and than what its timestamps say was sent before.
func (t *Table) disowns(e *entry, s *tcp.Segment) {
	i := t.extra(e).resets
	if i == 0 {
		return
	}
	q := t.suspected(t.resets.get(i))
	late := q.open() && q.By == s.From && s.At-q.At > t.patience(e)
	if late && !q.overtook(e.end(s.From), s) {
		q.deny(s)
	}
}

// overtook reports that the suspect RST was sent after segment s of the same
// sender d, by their timestamps: s took longer.
func (q *suspicion) overtook(d *end, s *tcp.Segment) bool {
	return d.has(hasTS) && s.Options&tcp.OptTimestamps != 0 && int32(s.TSVal-q.ts) <= 0 && s.At-q.At < latestOvertaken
}

// deny notes that s disproves the RST.
func (q *suspicion) deny(s *tcp.Segment) {
	q.ProofAt, q.ProofRef, q.ProofSide = s.At, s.Ref, s.From
}

// provokes remembers a segment that draws a challenge ACK.
func (t *Table) provokes(e *entry, s *tcp.Segment) {
	x := t.extra(e)
	x.challengeAt, x.challengeFrom = s.At, s.From
}

// challenges marks the bare ACK that answers such a segment: it acknowledges
// nothing new and comes within the time of an answer.
func (t *Table) challenges(e *entry, s *tcp.Segment) {
	x := t.extra(e)
	if x.challengeAt == 0 || s.From == x.challengeFrom || s.Len > 0 || s.Flags&tcp.FIN != 0 {
		return
	}
	if d := e.end(s.From); s.At-x.challengeAt <= max(2*e.rtt, 500e6) && s.Ack.LessEq(d.ack) {
		t.mark(e, ChallengeACK, s)
	}
	x.challengeAt = 0
}
