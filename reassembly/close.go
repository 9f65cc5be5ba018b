package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// proves draws from a segment what its sender must have received.
func (t *Table) proves(e *entry, s *tcp.Segment) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	if p.has(hasSeq) && p.has(sentAny) && p.nxt.Less(s.Ack) {
		if s.Ack.Sub(p.nxt) > p.unseenLimit(d) {
			return // it acknowledges what cannot have been sent
		}
		t.unseen(e, s)
	}
	if !d.has(hasAck) || d.ack.Less(s.Ack) {
		if e.extra != 0 {
			t.closesGap(e, s)
		}
		d.ack = s.Ack
		d.bits |= hasAck
	}
	if d.has(presumedAny) || d.state == fsm.SynRcvd {
		t.proveOpening(e, s)
	}
	if !p.has(sentFIN) {
		return
	}
	if s.Ack.Less(p.finEnd) {
		t.disprovesFIN(e, s)
		return
	}
	switch {
	case d.has(presumedFIN):
		t.confirm(e, side, fsm.RecvFIN)
	case !d.has(gotFIN) && t.move(e, side, fsm.RecvFIN, fsm.Seen, s):
		d.bits |= gotFIN
	}
	d.bits |= ackedFIN
	switch { // the peer's FIN carried the acknowledgement of its own
	case !p.has(finAcksPeer):
	case d.has(presumedACKOfFIN):
		t.confirm(e, side, fsm.RecvACKOfFIN)
	case d.has(sentFIN) && !d.has(finAcked):
		d.bits |= finAcked
		t.move(e, side, fsm.RecvACKOfFIN, fsm.Seen, s)
	}
}

// disprovesFIN takes back that the sender of s received its peer's FIN, which had
// ample time to arrive: it acknowledges less, so the FIN or something before it was
// lost. A bare acknowledgement says how things stand. Payload may have waited in a
// queue before the tap, and proves that only later, and if it is new.
func (t *Table) disprovesFIN(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if s.Flags&tcp.FIN != 0 || !d.has(presumedFIN) || d.has(ackedFIN) || s.Ack.Less(d.ack) {
		return
	}
	ample := t.patience(e)
	if s.Len > 0 {
		if d.dataRef != s.Ref || d.nxt != s.End() {
			return // of old, or overtaken
		}
		ample = max(10*e.rtt, longestQueue)
	}
	if r := t.latest(e, s.From, fsm.RecvFIN); r != nil && s.At-r.at > ample && t.retract(e, s.From, fsm.RecvFIN, s) {
		d.bits &^= gotFIN
	}
}

// longestQueue is how long payload may stand in a full queue between its sender and
// the tap, ns.
const longestQueue = 2e9

// closesGap notes that new octets of the peer are acknowledged, among them
// perhaps some that the capture does not hold.
func (t *Table) closesGap(e *entry, s *tcp.Segment) {
	d, side := e.end(s.From), s.From.Other()
	x := t.extra(e)
	if d.has(hasAck) && x.holes != 0 {
		if h := &t.holes.get(x.holes)[side.Index()]; h.below(s.Ack) > h.below(d.ack) {
			t.gap(e, side)
		}
	}
	if r := t.knownSide(x, side); r.repeats != 0 {
		r.repeats = 0
	}
}

// proveOpening confirms the steps of the handshake that were presumed.
func (t *Table) proveOpening(e *entry, s *tcp.Segment) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	if d.has(presumedSYNACK) && p.iss.Less(s.Ack) {
		t.confirm(e, side, fsm.RecvSYNACK)
	}
	switch {
	case d.has(presumedACKOfSYN):
		t.confirm(e, side, fsm.RecvACKOfSYN)
	case d.state == fsm.SynRcvd && (s.Len > 0 || s.Flags&tcp.FIN != 0 || p.iss.Add(1).Less(s.Ack)):
		t.move(e, side, fsm.RecvACKOfSYN, fsm.Implied, s) // its ACK was not captured
	}
}

// unseenLimit is how far d's acknowledgement may run ahead of what was captured
// of p and still be believed: while p is opening one window, since more cannot
// have been sent; later the largest window there is (RFC 7323 §2.3), since a
// capture loses packets by the burst.
func (p *end) unseenLimit(d *end) int32 {
	if p.state == fsm.SynRcvd && !p.has(wasEstablished) {
		return 65535 << d.scale()
	}
	return 65535 << 14
}

// unseen counts an acknowledgement of octets that the capture does not hold.
func (t *Table) unseen(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if d.has(hasAck) && !d.ack.Less(s.Ack) {
		return
	}
	e.bits |= flowLoss
	t.n.AckedUnseen++
	t.gap(e, s.From.Other())
	t.side(e, s.From.Other()).unseenAt = s.At
}

// deduceFIN infers a FIN that was not captured: its peer, closing or closed
// itself, acknowledges exactly one number more than was seen.
func (t *Table) deduceFIN(e *entry, s *tcp.Segment) {
	side := s.From.Other()
	d, p := e.end(s.From), e.end(side)
	fin := s.Flags&tcp.FIN != 0
	if d.has(guessedFIN) && (d.finEnd.Less(s.End()) || s.End() == d.finEnd && s.Len > 0 && !fin) {
		t.undeduce(e, s)
	}
	closing := fin && !d.has(sentFIN) || s.Len == 0 && d.has(sentFIN) && d.has(finAcked)
	if !closing || p.has(sentFIN) || !p.has(sentAny) || s.Ack != p.nxt.Add(1) {
		return
	}
	if d.has(hasAck) && d.ack == s.Ack && t.knownSide(t.known(e), side).unseenAt < d.dataAt {
		return // it went on writing after that octet: rather payload that was not captured
	}
	if !t.move(e, side, fsm.SendFIN, fsm.Implied, s) {
		return
	}
	p.bits |= sentFIN | guessedFIN
	if d.has(sentFIN) && p.has(ackedFIN) {
		p.bits |= finAcksPeer
	}
	p.finEnd = s.Ack
	e.bits |= flowLoss
}

// undeduce takes a deduced FIN back: its supposed sender went on behind it.
func (t *Table) undeduce(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	d.bits &^= guessedFIN | sentFIN | finAcked | finAcksPeer
	p.bits &^= gotFIN | ackedFIN | finAcksPeer
	t.retract(e, s.From.Other(), fsm.RecvFIN, s)
	t.retract(e, s.From, fsm.RecvACKOfFIN, s)
	t.retract(e, s.From, fsm.SendFIN, s)
}

// sendsFIN works a FIN in as far as it concerns its sender.
func (t *Table) sendsFIN(e *entry, s *tcp.Segment) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	end := s.End()
	switch {
	case d.has(sentFIN) && end == d.finEnd && d.has(guessedFIN):
		d.bits &^= guessedFIN
		return
	case d.has(sentFIN) && end == d.finEnd:
		t.repeatsFIN(e, s)
		return
	case d.has(sentFIN), end.Less(d.nxt):
		t.mark(e, Stray, s) // a FIN at another place: a violation, or an injection
		return
	}
	acks := p.has(sentFIN) && !s.Ack.Less(p.finEnd)
	crossing := d.has(gotFIN) && !acks
	if crossing {
		// It had not received the peer's FIN when it sent its own, whatever the
		// order in the capture: the acknowledgement number decides. One that was
		// sent long ago does not come any more.
		if r := t.latest(e, side, fsm.RecvFIN); r != nil {
			crossing = s.At-r.at <= t.patience(e)
		}
		t.retract(e, side, fsm.RecvFIN, s)
		d.bits &^= gotFIN
	}
	if !t.move(e, side, fsm.SendFIN, fsm.Seen, s) {
		return
	}
	e.bits |= flowFINSeen
	d.bits |= sentFIN
	if acks {
		d.bits |= finAcksPeer
	}
	d.finEnd, d.nxt = end, end.Max(d.nxt)
	if crossing && t.move(e, side, fsm.RecvFIN, fsm.Presumed, s) {
		d.bits |= gotFIN
	}
}

// repeatsFIN works the same FIN again in: a retransmission, since copies of
// frames were put aside. It disproves what was presumed of its first copy.
func (t *Table) repeatsFIN(e *entry, s *tcp.Segment) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	if d.has(hasAck) && s.Ack.Less(d.ack) {
		t.mark(e, Stray, s) // overtaken on its way: a repetition would acknowledge as much
		return
	}
	t.side(e, side).finRepeats++
	t.mark(e, FINAgain, s)
	if d.has(finAcked) {
		t.disproveFINACK(e, s)
	}
	if p.has(presumedFIN) && !p.has(ackedFIN) && t.retract(e, side.Other(), fsm.RecvFIN, s) {
		p.bits &^= gotFIN
	}
	if timerEvent(d.state) == fsm.Timeout {
		d.timer = max(d.timer, s.At+int64(t.opts.Profile.FIN)/2)
	}
}

// disproveFINACK takes back that the sender of s received an acknowledgement of
// its FIN, since it repeats the FIN; and the peer's FIN with it, unless it
// acknowledges that.
func (t *Table) disproveFINACK(e *entry, s *tcp.Segment) {
	side := s.From
	d, p := e.end(side), e.end(side.Other())
	latest := t.latest(e, side, fsm.RecvACKOfFIN)
	if latest != nil && s.At-latest.at <= t.flight(e) {
		return
	}
	d.bits &^= finAcked
	if latest == nil {
		return
	}
	got := t.latest(e, side, fsm.RecvFIN)
	crossing := got != nil && s.At-got.at <= t.flight(e)
	if got == nil || d.has(ackedFIN) || crossing && !p.has(finAcksPeer) {
		t.retract(e, side, fsm.RecvACKOfFIN, s)
		return
	}
	if !t.retract(e, side, fsm.RecvFIN, s, fsm.RecvACKOfFIN) {
		return
	}
	d.bits &^= gotFIN
	// A FIN of the peer that may have crossed this one acknowledges it, too.
	if crossing && t.move(e, side, fsm.RecvACKOfFIN, fsm.Presumed, s) && t.move(e, side, fsm.RecvFIN, fsm.Presumed, s) {
		d.bits |= gotFIN | finAcked
	}
}

// writesAfterFIN notes payload towards a peer that has closed its side. What
// was sent before and only comes again is no write after the FIN, and the octet
// of a keepalive probe no payload. before is when it had last sent new payload.
func (t *Table) writesAfterFIN(e *entry, s *tcp.Segment, before int64) {
	d := e.end(s.From)
	if garbage(e.end(s.From.Other()), s) {
		return
	}
	if s.Seq.Add(s.Len).LessEq(d.nxtFIN) {
		t.mark(e, RepeatAfterFIN, s)
		return
	}
	x := t.side(e, s.From)
	if x.dataAfterFIN == 0 {
		x.afterFINSeq, x.dataBeforeFIN = s.Seq, before
	}
	x.dataAfterFIN++
	d.bits |= dataAfterFIN
	t.mark(e, DataAfterFIN, s)
}

// receives is what an ordinary segment does to its receiver, if it arrives.
// fresh says that it brought octets not seen before.
func (t *Table) receives(e *entry, s *tcp.Segment, fresh bool) {
	side := s.From.Other()
	d, p := e.end(s.From), e.end(side)
	waiting := p.state == fsm.TimeWait
	t.receivesACK(e, s)
	fin := s.Flags&tcp.FIN != 0
	switch {
	case waiting && p.state == fsm.TimeWait:
		t.meetsTimeWait(e, s)
	case d.has(sentFIN) && !p.has(gotFIN) && (fin || fresh) && t.finInOrder(e, s.From) && !t.repeatsInVain(e, s.From):
		if t.move(e, side, fsm.RecvFIN, fsm.Presumed, s) {
			p.bits |= gotFIN
		}
	}
}

// repeatsInVain reports that a side has repeated its FIN so often, with no
// acknowledgement, that to presume the arrival of the next copy would only be to take
// it back again.
func (t *Table) repeatsInVain(e *entry, side tcp.Side) bool {
	const often = 3
	return t.knownSide(t.known(e), side).finRepeats >= often
}

// hearsItself is receives for a socket that is connected to itself: it receives
// what it sends, and the other end stays empty.
func (t *Table) hearsItself(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if d.state == fsm.SynRcvd && d.iss.Less(s.Ack) {
		t.move(e, s.From, fsm.RecvACKOfSYN, fsm.Seen, s)
	}
	switch {
	case !d.has(sentFIN) || d.has(finAcked):
	case !s.Ack.Less(d.finEnd):
		d.bits |= gotFIN | ackedFIN | finAcked
		t.confirm(e, s.From, fsm.RecvFIN)
		t.move(e, s.From, fsm.RecvACKOfFIN, fsm.Seen, s)
	case !d.has(gotFIN) && t.move(e, s.From, fsm.RecvFIN, fsm.Presumed, s):
		d.bits |= gotFIN
	}
}

// finInOrder reports whether nothing is missing before the FIN of a side: the
// receiver takes a FIN only in sequence.
func (t *Table) finInOrder(e *entry, side tcp.Side) bool {
	d, p := e.end(side), e.end(side.Other())
	if e.extra == 0 || t.extra(e).holes == 0 {
		return true
	}
	ack := p.ack
	if !p.has(hasAck) {
		ack = d.iss
	}
	return !t.holes.get(t.extra(e).holes)[side.Index()].openBefore(d.finEnd, ack)
}

// receivesACK is the ACK part of receives (RFC 9293 §3.10.7.4, fifth).
func (t *Table) receivesACK(e *entry, s *tcp.Segment) {
	side := s.From.Other()
	d, p := e.end(s.From), e.end(side)
	if p.state == fsm.SynRcvd && p.iss.Less(s.Ack) && s.Ack.LessEq(p.nxt) {
		if e.rtt > 0 {
			e.rtt = plausibleRTT(e.rtt + s.At - p.lastAt)
		}
		t.move(e, side, fsm.RecvACKOfSYN, fsm.Presumed, s)
	}
	if d.has(sentFIN) && d.ack == s.Ack && e.extra != 0 {
		t.stillReads(e, s)
	}
	if !p.has(sentFIN) || s.Ack.Less(p.finEnd) || p.nxt.Less(s.Ack) && !p.has(guessedFIN) {
		return
	}
	switch {
	case !p.has(finAcked):
		p.bits |= finAcked
		t.move(e, side, fsm.RecvACKOfFIN, fsm.Presumed, s)
	case t.knownSide(t.known(e), side).finRepeats > 0 && s.Len == 0 && s.Flags&tcp.FIN == 0:
		t.mark(e, FINAckedAgain, s)
	}
}

// inFlightACK notes that a FIN was acknowledged by a segment whose sender is
// CLOSED by now: it had received the FIN before.
func (t *Table) inFlightACK(e *entry, s *tcp.Segment) {
	p := e.end(s.From.Other())
	if p.has(sentFIN) && !s.Ack.Less(p.finEnd) && s.Ack.LessEq(p.nxt) {
		p.bits |= finAcked
		e.end(s.From).bits |= ackedFIN
	}
}

// stillReads notes that an endpoint acknowledges payload that was sent after
// its own FIN: it had used shutdown(), not close().
func (t *Table) stillReads(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	if d.has(halfAlive) || !p.has(dataAfterFIN) {
		return
	}
	if t.side(e, s.From.Other()).afterFINSeq.Less(s.Ack) {
		d.bits |= halfAlive
		t.mark(e, DataAck, s)
	}
}
