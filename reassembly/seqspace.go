package reassembly

import "github.com/lastack/lastack/reassembly/tcp"

// holes are the stretches of one direction that were passed over and not seen
// yet, oldest first. Beyond a few the oldest is given up: it counts as open
// until the receiver acknowledges what lies behind it.
type holes struct {
	list    [6]hole
	n       uint8
	gaveUp  bool
	givenUp tcp.Seq // the end of the furthest one given up
}

type hole struct {
	left, right tcp.Seq
	at          int64 // when it was noticed
}

// add notes a hole.
func (h *holes) add(left, right tcp.Seq, at int64) {
	if int(h.n) == len(h.list) {
		end := h.list[0].right
		if h.gaveUp {
			end = end.Max(h.givenUp)
		}
		h.gaveUp, h.givenUp = true, end
		copy(h.list[:], h.list[1:])
		h.n--
	}
	h.list[h.n] = hole{left, right, at}
	h.n++
}

// fill takes [left, right) out of the holes. It returns how many octets of it
// were missing until now, and when the youngest of those holes was noticed.
func (h *holes) fill(left, right tcp.Seq) (octets uint32, noticed int64) {
	old := *h
	h.n = 0
	for _, o := range old.list[:old.n] {
		l, r := o.left.Max(left), right
		if o.right.Less(r) {
			r = o.right
		}
		if !l.Less(r) {
			h.add(o.left, o.right, o.at)
			continue
		}
		octets += uint32(r.Sub(l))
		noticed = max(noticed, o.at)
		if o.left.Less(l) {
			h.add(o.left, l, o.at)
		}
		if r.Less(o.right) {
			h.add(r, o.right, o.at)
		}
	}
	return octets, noticed
}

// openBefore reports whether something before seq is missing that the receiver
// has not acknowledged.
func (h *holes) openBefore(seq, ack tcp.Seq) bool {
	if h.gaveUp && ack.Less(h.givenUp) {
		return true
	}
	for _, o := range h.list[:h.n] {
		if o.left.Less(seq) && ack.Less(o.right) {
			return true
		}
	}
	return false
}

// beyond reports whether something behind ack is missing. Each hole is asked: in a
// stream of 4 GB, the first may stand before ack again while the last does not.
func (h *holes) beyond(ack tcp.Seq) bool {
	for _, o := range h.list[:h.n] {
		if ack.Less(o.right) {
			return true
		}
	}
	return false
}

// below is how many missing octets stand before ack.
func (h *holes) below(ack tcp.Seq) (octets uint64) {
	for _, o := range h.list[:h.n] {
		r := o.right
		if ack.Less(r) {
			r = ack
		}
		if o.left.Less(r) {
			octets += uint64(r.Sub(o.left))
		}
	}
	return octets
}

// reordering is how soon after a hole was noticed its filling counts as
// reordering and not as a retransmission, ns: Wireshark's figure.
const reordering = 3e6

// maxJump bounds a hole: what lies further ahead is not this stream.
const maxJump = 1 << 30

// sequence keeps the account of the sender's sequence space. It reports
// whether the segment brought octets that had not been seen.
func (t *Table) sequence(e *entry, s *tcp.Segment) bool {
	d := e.end(s.From)
	if !d.has(hasSeq) {
		d.learn(s.Seq)
	}
	right := s.Seq.Add(s.Len)
	ahead := s.Seq.Sub(d.nxt)
	switch {
	case ahead == 0:
		if s.Len == 0 {
			return false
		}
		d.nxt = right
		t.take(e, s, s.Len)
		return true
	case ahead > 0:
		if t.probesUnseen(e, s) || ahead > maxJump {
			return false
		}
		if s.Len == 0 && s.Flags&tcp.FIN == 0 {
			t.runsAhead(e, s)
			return false
		}
		t.holesOf(t.extra(e))[s.From.Index()].add(d.nxt, s.Seq, s.At)
		d.nxt = right
		t.take(e, s, s.Len)
		return true
	}
	return t.behind(e, s, right)
}

// runsAhead notes a bare acknowledgement that stands beyond what was captured of
// its sender: that had sent more by then, within the window, payload or a FIN.
// Where that was lost before the tap it comes again.
func (t *Table) runsAhead(e *entry, s *tcp.Segment) {
	if p := e.end(s.From.Other()); p.has(hasEdge) && p.edge.Less(s.Seq) {
		return
	}
	if x := t.side(e, s.From); x.aheadAt == 0 || x.ahead.Less(s.Seq) {
		x.ahead, x.aheadAt = s.Seq, s.At
	}
}

// behind is sequence for a segment that begins before SND.NXT: a keepalive, a
// retransmission, or one that was overtaken.
func (t *Table) behind(e *entry, s *tcp.Segment, right tcp.Seq) bool {
	d := e.end(s.From)
	if fin := s.Flags&tcp.FIN != 0; !fin && (s.Len == 0 || s.Len == 1 && right == d.nxt && !awaited(e, s)) {
		if s.Seq.Add(1) == d.nxt {
			t.probe(e, s)
		}
		return false
	}
	var missing uint32
	var noticed int64
	if e.extra != 0 && t.extra(e).holes != 0 && !d.rejects(s) { // what the receiver drops fills no hole of its
		missing, noticed = t.holes.get(t.extra(e).holes)[s.From.Index()].fill(s.Seq, right)
	}
	repeated := uint32(d.nxt.Sub(s.Seq))
	if repeated > s.Len {
		repeated = s.Len
	}
	if missing > 0 && s.At-noticed <= max(reordering, e.rtt/2) {
		t.side(e, s.From).outOfOrder++
	} else {
		t.side(e, s.From).retransmits++
		t.repeats(e, s)
	}
	if d.nxt.Less(right) {
		d.nxt = right
	}
	if fresh := missing + s.Len - repeated; fresh > 0 {
		t.take(e, s, fresh)
		return true
	}
	return false
}

// awaited reports that the peer, which has room, has yet to acknowledge the last
// octet of s, and nothing that a host would repeat before it: then it is no probe,
// which is sent with nothing outstanding (RFC 9293 §3.8.4) or against a closed
// window, but payload again.
func awaited(e *entry, s *tcp.Segment) bool {
	d, p := e.end(s.From), e.end(s.From.Other())
	return p.has(hasAck) && !p.has(inZeroWindow) && (p.ack == s.Seq || d.dataLen == 1 && p.ack.Less(s.Seq))
}

// probe notes a segment at SND.NXT-1 with at most one octet.
func (t *Table) probe(e *entry, s *tcp.Segment) {
	t.side(e, s.From).keepalives++
	kind := KeepaliveProbe
	if e.end(s.From.Other()).has(inZeroWindow) {
		kind = WindowProbe
	}
	t.mark(e, kind, s)
}

// probesUnseen is probe behind payload that was not captured: SND.NXT is known
// from the peer's acknowledgement alone. It is false when s is no probe.
func (t *Table) probesUnseen(e *entry, s *tcp.Segment) bool {
	if !garbage(e.end(s.From.Other()), s) || s.Flags&tcp.FIN != 0 {
		return false
	}
	t.probe(e, s)
	return true
}

// garbage reports a segment that ends where the acknowledgements of its receiver
// p stand, or would with one octet: nothing that it bears is new. A keepalive
// probe may have one octet (RFC 9293 §3.8.4).
func garbage(p *end, s *tcp.Segment) bool {
	return p.has(hasAck) && s.Len <= 1 && s.Seq.Add(1) == p.ack
}

// repeats keeps the account of payload that comes again while the peer is
// silent. What that has acknowledged is none: only the acknowledgement was lost.
func (t *Table) repeats(e *entry, s *tcp.Segment) {
	d, p := e.end(s.From), e.end(s.From.Other())
	if s.Len == 0 || p.has(hasAck) && s.Seq.Add(s.Len).LessEq(p.ack) {
		return
	}
	x := t.side(e, s.From)
	if x.repeats == 0 {
		x.unansweredAt, x.unansweredRef = d.dataAt, d.dataRef
	}
	x.repeats++
	x.repeatAt, x.repeatRef = s.At, s.Ref
	if open := p.has(sentPlain) || !p.has(hasISN); open && x.repeats > 1 && s.At-x.unansweredAt > x.stalledUntil-x.stalledAt {
		x.stalledAt, x.stalledUntil = x.unansweredAt, s.At
	}
	if p.has(sentPlain) {
		return
	}
	if x.earlyRepeats == 0 {
		x.firstData, x.firstDataRef, x.firstDataLen = d.dataAt, d.dataRef, d.dataLen
	}
	x.earlyRepeats++
	x.lastEarlyRepeat = s.At
}

// firstPlain notes the first segment but SYN-ACKs of an endpoint whose peer had
// to repeat payload until then.
func (t *Table) firstPlain(e *entry, s *tcp.Segment) {
	if e.extra == 0 {
		return
	}
	if t.knownSide(t.extra(e), s.From.Other()).earlyRepeats > 0 {
		me := t.side(e, s.From)
		me.firstPlain, me.firstPlainRef = s.At, s.Ref
	}
}
