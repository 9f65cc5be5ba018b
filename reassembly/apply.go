package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// apply works segment s into the connection that it belongs to.
func (t *Table) apply(i uint32, s *tcp.Segment, isCopy bool) {
	e := t.entries.get(i)
	if isCopy || s.Flags&tcp.RST != 0 {
		t.keepSpoken(e, s.From)
	}
	t.account(e, s)
	if isCopy {
		t.side(e, s.From).copies++
		e.bits |= flowCopies
		t.n.Duplicates++
		return
	}
	t.expire(e, s.At)
	closed := e.end(s.From).has(sentFIN)
	stray := false
	switch f := s.Flags; {
	case malformed(f):
		if f&tcp.SYN != 0 {
			e.bits |= flowSYN
		}
		t.mark(e, Malformed, s)
	case f&tcp.RST != 0:
		t.reset(e, s)
	case f&tcp.SYN != 0:
		t.open(e, s)
	default:
		stray = !t.ordinary(e, s)
	}
	d := e.end(s.From)
	if s.Flags&tcp.RST == 0 {
		d.ttl = s.TTL // a copy's may be that of another place
		t.speaks(e, s)
	}
	if s.Options&tcp.OptTimestamps != 0 && !stray {
		if d.tsval = s.TSVal; !closed {
			d.tsecr = s.TSEcr // the FIN's stays: it tells when the sender last heard of its peer
		}
		d.bits |= hasTS
	}
	t.settle(i, e)
}

// malformed reports flags that no TCP sends together, and that move no state
// (RFC 9293 §3.10.7.4: a segment without ACK is dropped; SYN with FIN or RST is
// a probe). The RST of FIN+RST counts as an RST.
func malformed(f tcp.Flags) bool {
	switch f & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK) {
	case 0, tcp.FIN, tcp.SYN | tcp.FIN, tcp.SYN | tcp.FIN | tcp.ACK:
		return true
	}
	return f.Has(tcp.SYN | tcp.RST)
}

// account counts what every captured segment counts for, copies included.
func (t *Table) account(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	if s.At < d.lastAt-stepBack {
		e.bits |= flowStepped
	}
	d.packets++
	d.lastAt, d.lastRef = max(d.lastAt, s.At), s.Ref
	if s.Flags&tcp.SYN != 0 {
		t.count(e, s.From, countSYN, &d.syn)
	}
	if s.Flags&tcp.FIN != 0 {
		t.count(e, s.From, countFIN, &d.fin)
	}
	if s.Flags&tcp.RST != 0 {
		t.count(e, s.From, countRST, &d.rst)
	}
	if s.Quality&tcp.Snapped != 0 {
		e.bits |= flowSnapped
	}
	if e.compat != 0 {
		t.compats.get(e.compat).Observe(s)
	}
}

// stepBack is how far a clock may step back before it is worth a word, ns.
const stepBack = 1e6

// ordinary works a segment in that has neither SYN nor RST: first what it
// proves of its sender, then what it does to its receiver, in the order of
// RFC 9293 §3.10.7.4 (ACK, payload, FIN). It is false for a stray one.
func (t *Table) ordinary(e *entry, s *tcp.Segment) bool {
	if s.Flags&tcp.FIN == 0 {
		e.bits |= flowPlain
	}
	d, p := e.end(s.From), e.end(s.From.Other())
	if kind := strayKind(e, s); kind != 0 {
		t.mark(e, kind, s)
		return false
	}
	if e.extra != 0 {
		t.disowns(e, s)
		t.challenges(e, s)
	}
	if d.state == fsm.Closed && d.has(sentAny) && !t.revive(e, s) {
		t.sequence(e, s) // it was on its way when its sender closed
		t.inFlightACK(e, s)
		if p.state == fsm.TimeWait {
			t.mark(e, Stray, s)
			t.meetsTimeWait(e, s)
		}
		return true
	}
	if !t.appear(e, s) {
		kind := Stray
		if s.Len == 0 && s.Flags&tcp.FIN == 0 {
			kind = ChallengeACK
		}
		t.mark(e, kind, s)
		return false
	}
	written := d.nxt
	before := d.dataAt
	fresh := t.sequence(e, s)
	t.deduceFIN(e, s)
	knew := d.has(ackedFIN)
	t.proves(e, s)
	if !knew && d.has(ackedFIN) {
		// Even a bare acknowledgement says how far its sender had written.
		d.nxtFIN = s.Seq.Max(written)
		if x := t.knownSide(t.known(e), s.From); x.aheadAt != 0 {
			d.nxtFIN = d.nxtFIN.Max(x.ahead)
		}
	}
	if s.Flags&tcp.FIN != 0 {
		t.sendsFIN(e, s)
	}
	if s.Len > 0 && d.has(ackedFIN) {
		t.writesAfterFIN(e, s, before)
	}
	if p.has(sentAny) || p.state != fsm.Closed {
		t.receives(e, s, fresh)
	} else if s.Tuple.Itself() {
		t.hearsItself(e, s)
	}
	t.keepRecent(e, s)
	if !d.has(sentPlain) {
		d.bits |= sentPlain
		t.firstPlain(e, s)
	}
	t.window(e, s)
	return true
}

// strayKind is the mark of a segment that its receiver must discard without
// effect: far outside the window, of an earlier connection, or a FIN that PAWS
// rejects (RFC 7323 §5.3). It is 0 for all others.
func strayKind(e *entry, s *tcp.Segment) MarkKind {
	d, p := e.end(s.From), e.end(s.From.Other())
	if isEarlier(d, s) {
		if p.has(hasEdge) && p.has(hasAck) && p.ack.LessEq(s.Seq) && s.Seq.Less(p.edge) {
			return StrayInWindow
		}
		return Stray
	}
	if !d.has(hasSeq) || !p.has(hasEdge) {
		return 0
	}
	// The peer's acknowledgement and window bound what it takes. A few windows
	// more leave room for updates that the capture missed.
	reach := int32(1) << 30
	if d.has(hasISN) && p.has(hasISN) {
		reach = max(1<<20, min(reach, 4*65535<<p.scale()))
	}
	if off := s.Seq.Sub(p.edge); off > reach || off < -(1<<30) {
		return Stray
	}
	if s.Flags&tcp.FIN != 0 && !d.has(sentFIN) && d.rejects(s) {
		return Stray
	}
	return 0
}

// pawsWindow is how much older than TS.Recent a timestamp may be, in ticks:
// Linux lets pass what was overtaken by one (TCP_PAWS_WINDOW in net/tcp.h).
const pawsWindow = 1

// rejects reports whether PAWS makes the receiver drop a segment of d: its
// timestamp is older than TS.Recent (RFC 7323 §5.3).
func (d *end) rejects(s *tcp.Segment) bool {
	return d.has(hasRecent) && s.Options&tcp.OptTimestamps != 0 && int32(s.TSVal-d.recent) < -pawsWindow
}

// keepRecent follows the receiver's TS.Recent: only a segment that covers what
// was acknowledged last counts (RFC 7323 §4.3).
func (t *Table) keepRecent(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	if s.Options&tcp.OptTimestamps == 0 || !p.has(hasAck) || d.rejects(s) ||
		p.ack.Less(s.Seq) || s.End().Less(p.ack) {
		return
	}
	d.recent = s.TSVal
	d.bits |= hasRecent
}

// isEarlier reports a segment of an earlier connection of the four-tuple: it
// ends before this one's initial sequence number, or its timestamp is older
// than that of the SYN. The timestamp counts only once a later segment had a
// newer one than the SYN: a proxy may have answered the SYN with its own clock.
func isEarlier(d *end, s *tcp.Segment) bool {
	if !d.has(hasISN) {
		return false
	}
	// A long stream comes to stand before its initial number again.
	short := uint32(d.nxt-d.iss) < maxJump
	if off := s.End().Sub(d.iss); short && (off < 0 && off > -maxJump || off == 0 && s.Len > 0) {
		return true
	}
	steady := d.has(hasTSSYN) && d.has(sentPlain) && int32(d.tsval-d.tsSYN) >= 0
	return steady && s.Options&tcp.OptTimestamps != 0 && int32(s.TSVal-d.tsSYN) < 0 && int32(s.TSVal-d.tsval) < 0
}

// scale is the shift of its window, 0 unless its SYN announced one.
func (d *end) scale() uint8 {
	if d.has(hasWScale) {
		return min(d.wscale, 14) // RFC 7323 §2.3
	}
	return 0
}

// appear makes the sender of s an endpoint if this is the first thing seen of
// it. It is false when s cannot belong to the connection that is opening: the
// answer of an older one.
func (t *Table) appear(e *entry, s *tcp.Segment) bool {
	d, p := e.end(s.From), e.end(s.From.Other())
	opening := p.has(sentSYN) && p.has(hasISN)
	fits := opening && s.Ack.Sub(p.iss) > 0 && (s.Ack.LessEq(p.nxt) || p.has(wasEstablished))
	switch {
	case d.state == fsm.SynSent:
		return t.appearClient(e, s)
	case d.has(sentAny):
		return true
	case opening:
		if !fits {
			return false
		}
		// Its SYN-ACK was not captured.
		d.learn(s.Seq)
		d.bits |= sentAny
		t.answered(e, s)
		t.move(e, s.From, fsm.RecvACKOfSYN, fsm.Implied, s)
	case p.has(sentSYNACK):
		if s.Ack.Sub(p.iss) <= 0 || p.nxt.Less(s.Ack) {
			return false
		}
		if !d.has(hasSeq) {
			d.learn(s.Seq)
		}
		d.bits |= sentAny
		t.move(e, s.From, fsm.SendSYN, fsm.Implied, s)
		t.move(e, s.From, fsm.RecvSYNACK, fsm.Implied, s)
	default:
		d.learn(s.Seq)
		d.bits |= sentAny
		t.move(e, s.From, fsm.Pickup, fsm.Implied, s)
	}
	return true
}

// appearClient is appear for an endpoint in SYN_SENT that goes on without a
// SYN-ACK having been seen, or after one that was presumed lost.
func (t *Table) appearClient(e *entry, s *tcp.Segment) bool {
	p := e.end(s.From.Other())
	if p.has(hasISN) && (s.Ack.Sub(p.iss) <= 0 || p.nxt.Less(s.Ack)) {
		return false
	}
	t.move(e, s.From, fsm.RecvSYNACK, fsm.Implied, s)
	return true
}

// learn takes the first sequence number of an endpoint whose SYN was not seen.
func (d *end) learn(seq tcp.Seq) {
	if d.has(hasSeq) {
		return
	}
	d.iss, d.nxt = seq-1, seq
	d.bits |= hasSeq
}

// windowSize is the window that s advertises, scaled (RFC 7323 §2.3).
func windowSize(e *entry, s *tcp.Segment) uint32 {
	size := uint32(s.Window)
	if d := e.end(s.From); s.Flags&tcp.SYN == 0 && d.has(hasWScale) && e.end(s.From.Other()).has(hasWScale) {
		size <<= d.scale()
	}
	return size
}

// window keeps the right edge of what the sender of s is ready to take.
func (t *Table) window(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	size := windowSize(e, s)
	if edge := s.Ack.Add(size); s.Flags&tcp.ACK != 0 {
		if d.has(hasEdge) {
			edge = edge.Max(d.edge)
		}
		d.edge = edge
		d.bits |= hasEdge
	}
	if size == 0 && s.Flags&(tcp.SYN|tcp.FIN) == 0 {
		t.side(e, s.From).zeroWindows++
		if !d.has(inZeroWindow) {
			d.bits |= inZeroWindow
			t.mark(e, ZeroWindow, s)
		}
		return
	}
	d.bits &^= inZeroWindow
}

// settle starts or stops the retention of a flow that packets have ended.
func (t *Table) settle(i uint32, e *entry) {
	done := over(e) && !e.ends[0].has(timedOut) && !e.ends[1].has(timedOut)
	if !done {
		e.bits &^= flowDone
		return
	}
	e.bits |= flowDone
	if !e.has(flowInWheel) {
		if t.wheel.crowded(t.index.count) {
			t.wheel.compact(t)
		}
		t.wheel.add(i, e, t.retain)
	}
}
