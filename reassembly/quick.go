package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	quickSender   = hasSeq | hasAck | hasEdge | sentAny | sentPlain
	quickReceiver = hasSeq | hasAck | hasEdge | sentAny
	// quickNever are what the whole path must look at.
	quickNever = presumedAny | inZeroWindow | sentFIN | guessedFIN | finAcked | gotFIN | ackedFIN | spokeApart
)

// busy reports that something waits in extra for an acknowledgement of the side
// with index i that goes beyond ack, or for any segment.
func (t *Table) busy(x *extra, i int, ack tcp.Seq) bool {
	if x.resets != 0 || x.challengeAt != 0 || x.sides[i] != 0 && t.sides.get(x.sides[i]).repeats != 0 {
		return true
	}
	return x.holes != 0 && t.holes.get(x.holes)[i].beyond(ack)
}

// quick works in what most segments of most flows are: payload in order, or an
// acknowledgement, between two endpoints in ESTABLISHED of whom nothing else is
// known that it could change; and the ordinary segments that open and close a
// connection, see turn. It is false, having done nothing, for any other. Tests
// hold it to what apply does.
func (t *Table) quick(n uint32, e *entry, s *tcp.Segment) bool {
	if s.Flags&(tcp.SYN|tcp.RST|tcp.ACK) != tcp.ACK || e.bits&(flowPending|flowDone) != 0 {
		return false
	}
	i := s.From.Index()
	d, p := &e.ends[i], &e.ends[1-i]
	switch {
	case s.Seq != d.nxt, p.nxt.Less(s.Ack), d.has(hasAck) && s.Ack.Less(d.ack), s.Window == 0, s.At < d.lastAt:
		return false
	}
	// In the window, and not of an earlier connection (strayKind).
	if off := s.Seq.Sub(p.edge); off > 0 || off < -maxJump {
		return false
	}
	if s.Options&tcp.OptTimestamps != 0 && d.has(hasTSSYN) && int32(s.TSVal-d.tsSYN) < 0 && int32(s.TSVal-d.tsval) < 0 {
		return false
	}
	switch {
	case s.Flags&tcp.FIN != 0, d.state != fsm.Established, p.state != fsm.Established,
		d.bits&(quickSender|quickNever) != quickSender, p.bits&(quickReceiver|sentFIN) != quickReceiver:
		if !ordinaryTurn(e, s, d, p) {
			return false
		}
		t.turn(n, e, s, d, p)
		t.turns++
		return true
	case e.extra != 0 && t.busy(t.extra(e), 1-i, d.ack):
		return false
	}
	if s.Len > 0 {
		d.nxt = s.End()
		t.take(e, s, s.Len)
	}
	d.ack = s.Ack
	e.bits |= flowPlain
	t.passes(e, s, d, p)
	return true
}

// passes keeps the account of a segment that goes a short way. Of what it echoes,
// the FIN's stays.
func (t *Table) passes(e *entry, s *tcp.Segment, d, p *end) {
	if s.Options&tcp.OptTimestamps != 0 {
		if p.has(hasAck) && !d.rejects(s) && !p.ack.Less(s.Seq) && !s.End().Less(p.ack) {
			d.recent = s.TSVal
			d.bits |= hasRecent
		}
		d.tsval = s.TSVal
		if !d.has(sentFIN) || s.Flags&tcp.FIN != 0 {
			d.tsecr = s.TSEcr
		}
		d.bits |= hasTS
	}
	edge := s.Ack.Add(windowSize(e, s))
	if d.has(hasEdge) {
		edge = edge.Max(d.edge)
	}
	d.edge = edge
	d.bits |= hasEdge
	d.packets++
	d.lastAt, d.lastRef, d.ttl = s.At, s.Ref, s.TTL
	if s.Quality&tcp.Snapped != 0 {
		e.bits |= flowSnapped
	}
	if e.compat != 0 {
		t.compats.get(e.compat).Observe(s)
	}
}

const (
	turnBoth  = hasSeq | sentAny
	turnNever = guessedFIN | timedOut
)

// ordinaryTurn reports whether a segment that quick has looked at is one of those that
// open and close a connection ordinarily: the third of the handshake, a FIN in
// order, the acknowledgements of both FINs. Then all that ordinary looks for
// beside what it proves and does is known to be absent: much of it would have
// left something in extra.
func ordinaryTurn(e *entry, s *tcp.Segment, d, p *end) bool {
	fin := s.Flags&tcp.FIN != 0
	switch {
	case e.extra != 0, d.bits&(turnBoth|turnNever) != turnBoth, p.bits&(turnBoth|turnNever|hasEdge) != turnBoth|hasEdge,
		d.state < fsm.SynRcvd,
		d.has(sentFIN) && (fin || s.Len > 0), // comes again
		p.has(sentFIN) && s.Len > 0,          // writes to who has closed
		fin && d.rejects(s):
		return false
	}
	side, _ := due(e, s.At)
	return side == 0
}

// turn works in a segment of which ordinaryTurn is true, in the order of ordinary.
func (t *Table) turn(n uint32, e *entry, s *tcp.Segment, d, p *end) {
	fresh := s.Len > 0
	if fresh {
		d.nxt = s.Seq.Add(s.Len)
		t.take(e, s, s.Len)
	}
	knew := d.has(ackedFIN)
	t.proves(e, s)
	if !knew && d.has(ackedFIN) {
		d.nxtFIN = d.nxt
	}
	if s.Flags&tcp.FIN != 0 {
		t.count(e, s.From, countFIN, &d.fin)
		t.sendsFIN(e, s)
	} else {
		e.bits |= flowPlain
	}
	t.receives(e, s, fresh)
	d.bits |= sentPlain
	t.passes(e, s, d, p)
	t.settle(n, e)
}
