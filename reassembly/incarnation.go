package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// incarnation decides to which connection of the four-tuple segment s belongs:
// it returns the entry that s is applied to, or 0 when s begins a new one and
// the old one has been finalised.
//
// The same ISN is the same attempt, however late. Another ISN begins a new
// connection at once where the old one has ended; on a live one the SYN is held
// until it is answered (RFC 9293 §3.10.7.4, RFC 5961 §4.2).
func (t *Table) incarnation(i uint32, at *Spot, s *tcp.Segment) uint32 {
	e := t.entries.get(i)
	switch s.Flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN) {
	case tcp.SYN:
		if t.isNewSYN(i, e, s) {
			t.reuse(i, s)
			return 0
		}
	case tcp.SYN | tcp.ACK:
		if e.has(flowPending) && t.answersPending(i, e, s) {
			return t.takeOver(i, at, s)
		}
		if isNewSYNACK(e, s) {
			t.reuse(i, s)
			return 0
		}
	default:
		if e.has(flowPending) && t.answersPending(i, e, s) {
			return t.takeOver(i, at, s)
		}
	}
	return i
}

// isNewSYN reports whether a SYN begins a new connection. One that might is
// held.
func (t *Table) isNewSYN(i uint32, e *entry, s *tcp.Segment) bool {
	d, p := e.end(s.From), e.end(s.From.Other())
	switch {
	case d.has(hasISN) && s.Seq == d.iss:
		return false
	case isLate(e, s):
		return false
	case over(e):
		return true
	case !d.has(sentAny) && p.has(sentSYN) && !p.has(wasEstablished):
		return false // both sides open at once, or a split handshake
	case p.state == fsm.SynSent && !d.has(sentSYN) && !d.has(sentSYNACK):
		return false // a split handshake: the server acknowledged the SYN before its own
	case p.has(sentSYNACK) && !d.has(sentAny) && s.Seq.Add(1) == p.ack:
		return false // its SYN-ACK was captured first
	case d.state == fsm.SynSent && !p.has(sentSYNACK):
		return true // the old attempt was given up
	case d.state == fsm.LastAck && p.state == fsm.TimeWait:
		return true // the last ACK of the close came: it would still repeat its FIN, and open nothing
	}
	t.hold(i, e, s)
	return false
}

// over reports whether a connection has ended on both sides.
func over(e *entry) bool {
	return ended(e.ends[0].state) && ended(e.ends[1].state)
}

func ended(s fsm.State) bool { return s == fsm.Closed || s == fsm.TimeWait }

// isNewSYNACK reports whether a SYN-ACK answers a SYN that was not captured.
func isNewSYNACK(e *entry, s *tcp.Segment) bool {
	d, p := e.end(s.From), e.end(s.From.Other())
	switch {
	case d.has(hasISN) && s.Seq == d.iss:
		return false
	case p.has(hasISN) && s.Ack.Sub(p.iss) > 0 && s.Ack.LessEq(p.nxt):
		return false // the SYN is this connection's: the server took another ISN
	case p.has(hasSeq) && s.Ack == p.iss.Add(1) || p.has(hasAck) && p.ack == s.Seq.Add(1):
		return false // captured late
	case isLate(e, s):
		return false
	}
	if p.packets == 0 && d.has(hasISN) {
		return d.has(sentFIN) || d.state == fsm.Closed // one direction alone: it begins only where the old one ended
	}
	return over(e) || !e.has(flowSYN|flowSYNACK)
}

// isLate reports a SYN or SYN-ACK that stands in the capture behind segments
// of the connection that it opened: its number fits, or its time says so.
func isLate(e *entry, s *tcp.Segment) bool {
	d := e.end(s.From)
	if !d.has(hasSeq) || d.has(hasISN) {
		return false
	}
	return s.Seq == d.iss || s.At < e.first && s.Seq.Less(d.nxt) && d.nxt.Sub(s.Seq) < maxJump
}

// maxPending bounds the SYNs held for one flow; further ones are repetitions.
const maxPending = 8

// maxHolding bounds the flows of a table for which SYNs are held. A SYN beyond
// that is believed to belong to the connection that is there.
const maxHolding = 256

// hold keeps a SYN on a live connection until it is answered.
func (t *Table) hold(i uint32, e *entry, s *tcp.Segment) {
	list := t.pending[i]
	if len(list) == 0 && len(t.pending) >= maxHolding {
		return
	}
	if len(list) > 0 && (list[0].Seq != s.Seq || list[0].From != s.From) {
		list = list[:0]
	}
	if len(list) < maxPending {
		list = append(list, *s)
	}
	t.pending[i] = list
	e.bits |= flowPending
}

// answersPending reports whether s shows that the held SYN was accepted or
// refused: it is acknowledged as a SYN is, or, where nothing was captured of the
// peer since, its sender goes on behind it.
func (t *Table) answersPending(i uint32, e *entry, s *tcp.Segment) bool {
	syn := &t.pending[i][0]
	if s.From == syn.From {
		return s.Flags&(tcp.SYN|tcp.RST|tcp.ACK) == tcp.ACK && s.Seq == syn.Seq.Add(1) &&
			t.spoke(e, s.From.Other()).ref < syn.Ref
	}
	if s.Flags&tcp.ACK == 0 || s.Flags&(tcp.SYN|tcp.RST) == 0 {
		return false
	}
	return s.Ack.Sub(syn.Seq) > 0 && s.Ack.LessEq(syn.End())
}

// takeOver moves the held SYNs to a new connection, which s goes on with, and
// finalises the old one. It returns the new entry.
func (t *Table) takeOver(i uint32, at *Spot, s *tcp.Segment) uint32 {
	list := append([]tcp.Segment(nil), t.pending[i]...)
	e := t.entries.get(i)
	d := e.end(list[0].From)
	d.packets -= uint32(len(list))
	d.syn -= uint8(len(list)) // a counter that spilled is far above maxPending
	t.reuse(i, &list[0])
	n := t.create(at, &list[0], false)
	for k := range list {
		t.apply(n, &list[k], false)
	}
	return n
}

// reuse ends a connection because syn opens another one on its tuple, and
// leaves what the new one must know of it in t.heir.
func (t *Table) reuse(i uint32, syn *tcp.Segment) {
	e := t.entries.get(i)
	t.expire(e, syn.At)
	t.heir = heir{t.previous(e, syn), e.incarnation}
	for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
		t.move(e, side, fsm.Reuse, fsm.Implied, syn)
	}
	t.finalise(i, EndReused, t.now)
}

// previous is the account that the next incarnation, which syn opens, keeps of e.
func (t *Table) previous(e *entry, syn *tcp.Segment) Previous {
	p := Previous{ID: e.firstRef, Final: t.now, Last: e.last(), Close: closeOf(e, t.knownResets(e), t.story(e))}
	recs := t.story(e)
	for i := range recs {
		if r := &recs[i]; r.kind == markBase+uint8(ChallengeACK) && r.side() != syn.From && r.at >= syn.At {
			p.ChallengedRef = r.ref
		}
	}
	for k := range e.ends {
		d := &e.ends[k]
		p.Nxt[k], p.TSVal[k], p.Timestamps[k] = d.nxt, d.tsval, d.has(hasTS)
		if d.state == fsm.TimeWait {
			p.TimeWaitSide = tcp.SideA + tcp.Side(k)
			p.Expires = d.timer
			t.replay(e, p.TimeWaitSide, func(r *record, _, to fsm.State) {
				if to == fsm.TimeWait {
					p.Entered, p.EnteredRef = r.at, r.ref
				}
			})
		}
	}
	return p
}
