package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// open works a SYN or a SYN-ACK in.
func (t *Table) open(e *entry, s *tcp.Segment) {
	if s.Flags&tcp.ACK == 0 {
		t.sendsSYN(e, s)
	} else {
		e.bits |= flowSYNACK
		t.sendsSYNACK(e, s)
	}
	t.window(e, s)
}

// sendsSYN works a SYN without ACK in.
func (t *Table) sendsSYN(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	switch {
	case d.has(sentSYN) && s.Seq == d.iss:
		t.repeatsSYN(e, s)
		return
	case isLate(e, s):
		d.takeLate(s)
		d.bits |= sentSYN
		e.bits |= flowSYN
		e.client, e.role = s.From, RoleSYN
		return
	case d.has(sentAny) && d.state != fsm.Closed && p.state != fsm.SynSent || e.has(flowPending):
		t.mark(e, SYNOnLive, s)
		t.provokes(e, s)
		return
	}
	e.bits |= flowSYN
	if e.role != RoleSYN {
		e.client, e.role = s.From, RoleSYN
	}
	if d.has(wasEstablished) {
		t.startOver(e, s)
	}
	d.startAt(s)
	d.bits |= sentSYN
	t.move(e, s.From, fsm.SendSYN, fsm.Seen, s)
	switch {
	case p.state == fsm.SynSent:
		t.move(e, s.From.Other(), fsm.RecvSYN, fsm.Presumed, s)
	case p.has(sentSYNACK) && d.nxt.Sub(p.ack) >= 0 && p.ack.Sub(d.iss) > 0:
		t.move(e, s.From, fsm.RecvSYNACK, fsm.Presumed, s) // the answer was captured first
	case !p.has(sentAny):
		t.tentative(e, s)
	}
}

// tentative notes the server's step on a SYN, which its answer will confirm: a
// listener that stays silent shows no state.
func (t *Table) tentative(e *entry, s *tcp.Segment) {
	t.note(e, uint8(fsm.RecvSYN), s.From.Other(), 0, s)
}

// startAt takes the initial sequence number from a SYN or SYN-ACK. Payload on
// the SYN (RFC 7413) counts as sent.
func (d *end) startAt(s *tcp.Segment) {
	d.iss, d.nxt = s.Seq, s.End()
	d.bits |= hasSeq | hasISN | sentAny
	d.takeSYN(s)
	if s.Len > 0 {
		d.octets += s.Len // not yet 2^32
		d.dataAt, d.dataRef, d.dataLen = s.At, s.Ref, s.Len
	}
}

// takeLate takes the initial sequence number from a SYN or SYN-ACK that stands
// behind its own connection's segments.
func (d *end) takeLate(s *tcp.Segment) {
	d.iss = s.Seq
	d.bits |= hasISN
	d.takeSYN(s)
}

// takeSYN notes the options that stand only in a SYN.
func (d *end) takeSYN(s *tcp.Segment) {
	if s.Options&tcp.OptWindowScale != 0 {
		d.wscale = s.WScale
		d.bits |= hasWScale
	}
	if s.Options&tcp.OptTimestamps != 0 {
		d.tsSYN = s.TSVal
		d.bits |= hasTSSYN
	}
}

// repeatsSYN works the same SYN again in.
func (t *Table) repeatsSYN(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	t.side(e, s.From).retransmits++
	if d.nxt.Less(s.End()) {
		d.nxt = s.End()
	}
	t.mark(e, SYNAgain, s)
	if d.state == fsm.Closed {
		t.revive(e, s)
	}
	if d.has(presumedSYNACK) {
		if r := t.latest(e, s.From, fsm.RecvSYNACK); r != nil && s.At-r.at > t.flight(e) {
			t.retract(e, s.From, fsm.RecvSYNACK, s) // its SYN-ACK did not arrive
		}
	}
	if d.state == fsm.SynSent {
		d.timer = max(d.timer, s.At+int64(t.opts.Profile.SYN)/2)
	}
	if !p.has(sentAny) && e.marks < maxMarks {
		t.tentative(e, s)
	}
}

// sendsSYNACK works a SYN-ACK in.
func (t *Table) sendsSYNACK(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	fits := p.has(hasISN) && s.Ack.Sub(p.iss) > 0 && s.Ack.LessEq(p.nxt)
	switch {
	case d.has(sentSYNACK) && s.Seq == d.iss:
		t.repeatsSYNACK(e, s)
		return
	case isLate(e, s):
		d.takeLate(s)
		d.bits |= sentSYNACK
		if e.role != RoleSYN {
			e.client, e.role = s.From.Other(), RoleSYNACK
		}
		return
	case d.has(sentSYN) && p.has(sentSYNACK) && s.Seq == d.iss && fits:
		t.crosses(e, s)
		return
	case d.has(sentSYNACK) && !undecided(p), d.has(wasEstablished) && !d.has(sentSYNACK) && !(fits && undecided(p)):
		t.mark(e, Stray, s)
		return
	case d.has(sentSYNACK):
		// Another ISN for the same SYN: the server forgot, or two answer. The
		// last one stands until the client chooses.
		t.mark(e, SYNACKAgain, s)
		if x := t.known(e); x.resets != 0 {
			if q := t.suspected(t.resets.get(x.resets)); q.open() && q.By == s.From {
				q.Reset = Reset{} // it began anew: the RST was its own
			}
		}
		d.startAt(s)
		d.ack = s.Ack
		t.reaches(e, s, fits)
		return
	}
	if e.role != RoleSYN && e.role != RoleSYNACK {
		e.client, e.role = s.From.Other(), RoleSYNACK
	}
	if d.has(wasEstablished) || d.has(sentFIN) {
		t.startOver(e, s)
	}
	d.startAt(s)
	d.bits |= sentSYNACK | hasAck
	d.ack = s.Ack
	switch d.state {
	case fsm.SynSent: // simultaneous open
		t.move(e, s.From, fsm.RecvSYN, fsm.Seen, s)
	case fsm.SynRcvd:
		t.confirm(e, s.From, fsm.RecvSYN)
	case fsm.Closed:
		t.answered(e, s)
	}
	t.reaches(e, s, fits)
}

// crosses works in the second SYN-ACK of a simultaneous open (RFC 9293 figure 7):
// its sender had the peer's SYN, and has its SYN-ACK or is about to.
func (t *Table) crosses(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	d.bits |= sentSYNACK | hasAck
	d.ack = s.Ack
	if d.has(presumedSYN) {
		t.confirm(e, s.From, fsm.RecvSYN)
	} else if d.state == fsm.SynSent {
		t.move(e, s.From, fsm.RecvSYN, fsm.Seen, s)
	}
	t.reaches(e, s, true)
}

// undecided reports that an opener has not shown which SYN-ACK it took.
func undecided(p *end) bool {
	return !p.has(sentAny) || p.has(presumedSYNACK) || p.state == fsm.SynSent || p.state == fsm.Closed
}

// startOver takes everything back that was believed of the sender of s: its
// SYN-ACK, or its SYN in a split handshake, shows that it begins only now.
func (t *Table) startOver(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if e.steps >= maxSteps {
		return
	}
	recs := t.story(e)
	for i := range recs {
		if r := &recs[i]; r.believed() && r.side() == s.From {
			t.retire(e, r)
		}
	}
	if d.state != fsm.Closed {
		t.noteRevise(e, s.From, d.state, fsm.Closed, s)
		e.stepped()
	}
	d.state = fsm.Closed
	d.bits &= hasTS
	side := s.From.Other()
	for _, on := range [...]fsm.Event{fsm.RecvFIN, fsm.RecvACKOfFIN} {
		t.retract(e, side, on, s)
	}
	e.end(side).bits &^= gotFIN | ackedFIN | finAcked
}

// reaches is what a SYN-ACK does to the opener.
func (t *Table) reaches(e *entry, s *tcp.Segment, fits bool) {
	side := s.From.Other()
	p := e.end(side)
	switch {
	case fits && t.move(e, side, fsm.RecvSYNACK, fsm.Presumed, s):
	case p.has(hasISN) && !fits:
		t.mark(e, BadSYNACK, s)
	default:
		if !p.has(hasSeq | hasISN) {
			p.iss = s.Ack - 1 // what it acknowledges is a SYN that was not captured
		}
		t.mark(e, SYNACKSent, s)
	}
}

// answered makes the sender of s the server that received the last SYN: its
// step stands at that SYN, where the kernel took it.
func (t *Table) answered(e *entry, s *tcp.Segment) {
	if !t.whole {
		if at, ok := t.confirmTentative(e, s.From); ok {
			t.receivedSYN(e, s, at)
			return
		}
	}
	var last *record
	recs := t.story(e)
	for i := range recs {
		r := &recs[i]
		switch {
		case r.kind >= markBase || r.side() != s.From:
		case r.isStep():
			last = nil // an earlier start that was taken back: the order must hold
		case r.on() == fsm.RecvSYN:
			last = r
		}
	}
	if last == nil {
		t.move(e, s.From, fsm.RecvSYN, fsm.Implied, s)
		return
	}
	last.setBasis(fsm.Seen)
	t.patch(e, last)
	t.receivedSYN(e, s, last.at)
}

// receivedSYN is what follows from s being the answer to a SYN of an instant.
func (t *Table) receivedSYN(e *entry, s *tcp.Segment, syn int64) {
	e.stepped()
	e.rtt = plausibleRTT(s.At - syn)
	t.enter(e, s.From, fsm.SynRcvd, s.At)
}

// confirmTentative makes a tentative step of a side a seen one, and returns the
// time of its SYN, where nothing else stands in the log, as nearly always. It is
// false, having done nothing, where more does.
func (t *Table) confirmTentative(e *entry, side tcp.Side) (syn int64, ok bool) {
	if e.steps != 1 || e.marks != 0 || e.logLen > blockSize {
		return 0, false
	}
	log := t.blocks.get(e.logHead).octets[:e.logLen]
	last := log[len(log)-2:]
	if last[0] != whoOf(side, side.Other(), 0) || last[1] != uint8(fsm.RecvSYN)|samePacket {
		return 0, false
	}
	l := t.read(e)
	l.next(e)
	if l.pos != len(log)-2 {
		return 0, false // the end of a number that looks like it
	}
	last[0] |= uint8(fsm.Seen) << 4
	return l.at, true
}

// plausibleRTT is rtt, or 0 when a clock that stepped made it up.
func plausibleRTT(rtt int64) int64 {
	if rtt < 0 || rtt > 60*second {
		return 0
	}
	return rtt
}

// repeatsSYNACK works the same SYN-ACK again in: the third segment did not
// arrive, or the listener ignored it (RFC 9293 §3.10.7.4; a full accept queue).
func (t *Table) repeatsSYNACK(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	t.side(e, s.From).retransmits++
	t.mark(e, SYNACKAgain, s)
	if t.echoesPayload(e, s) {
		t.mark(e, SYNACKEchoes, s)
	}
	if d.state == fsm.Closed && !t.revive(e, s) {
		return
	}
	if d.has(presumedACKOfSYN) {
		if r := t.latest(e, s.From, fsm.RecvACKOfSYN); r != nil && s.At-r.at > t.flight(e) {
			t.ignoredThird(e, s)
		}
	}
	if d.state == fsm.SynRcvd {
		d.timer = max(d.timer, s.At+int64(t.opts.Profile.SYNACK)/2)
	}
	t.reachesAgain(e, s)
}

// echoesPayload reports that a repeated SYN-ACK echoes the timestamp of the opener's
// last segment, which was payload that had come again: it had that, and did not take
// it (RFC 7323 §3.2). The value must be newer than that of the SYN, which a SYN-ACK
// echoes anyway.
func (t *Table) echoesPayload(e *entry, s *tcp.Segment) bool {
	side := s.From.Other()
	p := e.end(side)
	return s.Options&tcp.OptTimestamps != 0 && p.has(hasTSSYN) && s.TSEcr == p.tsval && int32(p.tsval-p.tsSYN) > 0 &&
		t.knownSide(t.known(e), side).lastEarlyRepeat == t.spoke(e, side).at
}

// ignoredThird takes back that the sender of s received the third segment, and a
// FIN that came with it or behind it.
func (t *Table) ignoredThird(e *entry, s *tcp.Segment) {
	if d := e.end(s.From); !d.has(presumedFIN) {
		t.retract(e, s.From, fsm.RecvACKOfSYN, s)
	} else if t.retract(e, s.From, fsm.RecvACKOfSYN, s, fsm.RecvFIN) {
		d.bits &^= gotFIN
	}
}

// reachesAgain is what a repeated SYN-ACK tells of the opener. One repetition
// may be for an answer that was lost; an opener that is silent through more has
// received none. Its SYN, if it comes again too, asks for another.
func (t *Table) reachesAgain(e *entry, s *tcp.Segment) {
	side := s.From.Other()
	p := e.end(side)
	switch {
	case p.has(presumedSYNACK):
		if r := t.latest(e, side, fsm.RecvSYNACK); t.knownSide(t.known(e), s.From).retransmits > 1 && r != nil && s.At-r.at > t.patience(e) {
			t.retract(e, side, fsm.RecvSYNACK, s)
		}
	case p.state == fsm.SynSent && t.knownSide(t.known(e), side).retransmits > 0 && s.Ack.Sub(p.iss) > 0 && s.Ack.LessEq(p.nxt):
		t.move(e, side, fsm.RecvSYNACK, fsm.Presumed, s)
	}
}

// flight is how long a segment may still be on its way when its answer's
// repetition passes the tap, ns: within it, a repetition disproves nothing.
func (t *Table) flight(e *entry) int64 {
	const unknown = 10e6
	if e.rtt <= 0 {
		return unknown
	}
	return max(e.rtt, 1e6)
}
