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

// busy reports that something waits in extra for a segment's acknowledgement of
// the side with index i, or for any segment.
func (x *extra) busy(i int) bool {
	return x.holes|x.resets != 0 || x.challengeAt != 0 || x.sides[i].repeats != 0
}

// quick works in what most segments of most flows are: payload in order, or an
// acknowledgement, between two endpoints in ESTABLISHED of whom nothing else is
// known that it could change. It is false, having done nothing, for any other.
// Tests hold it to what apply does.
func (t *Table) quick(e *entry, s *tcp.Segment) bool {
	if s.Flags&(tcp.SYN|tcp.FIN|tcp.RST|tcp.ACK) != tcp.ACK || e.bits&(flowPending|flowDone) != 0 {
		return false
	}
	i := s.From.Index()
	if e.extra != 0 && t.extra(e).busy(1-i) {
		return false
	}
	d, p := &e.ends[i], &e.ends[1-i]
	switch {
	case d.state != fsm.Established || p.state != fsm.Established,
		d.bits&(quickSender|quickNever) != quickSender, p.bits&(quickReceiver|sentFIN) != quickReceiver,
		s.Seq != d.nxt, p.nxt.Less(s.Ack), s.Ack.Less(d.ack), s.Window == 0, s.At < d.lastAt:
		return false
	}
	// In the window, and not of an earlier connection (strayKind).
	if off := s.Seq.Sub(p.edge); off > 0 || off < -maxJump {
		return false
	}
	stamped := s.Options&tcp.OptTimestamps != 0
	if stamped {
		if d.has(hasTSSYN) && int32(s.TSVal-d.tsSYN) < 0 && int32(s.TSVal-d.tsval) < 0 {
			return false
		}
		if !d.rejects(s) && !p.ack.Less(s.Seq) && !s.End().Less(p.ack) {
			d.recent = s.TSVal
			d.bits |= hasRecent
		}
		d.tsval, d.tsecr = s.TSVal, s.TSEcr
		d.bits |= hasTS
	}
	if s.Len > 0 {
		d.nxt = s.End()
		t.take(e, s, s.Len)
	}
	d.ack = s.Ack
	d.edge = s.Ack.Add(windowSize(e, s)).Max(d.edge)
	d.packets++
	d.lastAt, d.lastRef, d.ttl = s.At, s.Ref, s.TTL
	e.bits |= flowPlain
	if s.Quality&tcp.Snapped != 0 {
		e.bits |= flowSnapped
	}
	if e.compat != 0 {
		t.compats.get(e.compat).Observe(s)
	}
	return true
}
