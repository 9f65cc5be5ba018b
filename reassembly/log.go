package reassembly

import (
	"encoding/binary"
	"math"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// record is a step or a mark in a flow's log, as it is worked with. encode says
// how it lies in memory.
type record struct {
	at     int64
	ref    tcp.PacketRef
	number uint32 // Packet.Number
	pos    uint16 // of its who in the log, for patch
	kind   uint8  // a step's fsm.Event, or markBase + MarkKind
	states uint8  // a step's from and to; in the log only of a Revise
	who    uint8  // side, sender, basis and the two bits beside them
	flags  uint8  // the low eight of the segment
}

const (
	markBase = 64

	whoPayload = 0x01 // number is the length of a payload
	whoSide    = 0x02 // the bit of tcp.SideB that tcp.SideA lacks
	whoSender  = 0x0c
	whoBasis   = 0x70
	whoRetired = 0x80 // disproved: shown, but no longer believed
)

// presumedForGood is the basis of a presumed step after which another one on the
// same event was presumed: whether that waits for proof says nothing of this one.
const presumedForGood fsm.Basis = 7

// A record with basis 0 is tentative: a server's step that its answer will
// confirm, kept at the place of the SYN. It is not shown.
func (r *record) isStep() bool     { return r.kind < markBase && r.who&whoBasis != 0 }
func (r *record) believed() bool   { return r.isStep() && r.who&whoRetired == 0 }
func (r *record) side() tcp.Side   { return tcp.SideA + tcp.Side(r.who&whoSide>>1) }
func (r *record) sender() tcp.Side { return tcp.Side(r.who & whoSender >> 2) }
func (r *record) basis() fsm.Basis { return fsm.Basis(r.who & whoBasis >> 4) }
func (r *record) on() fsm.Event    { return fsm.Event(r.kind) }
func (r *record) from() fsm.State  { return fsm.State(r.states >> 4) }
func (r *record) to() fsm.State    { return fsm.State(r.states & 15) }

func (r *record) setBasis(b fsm.Basis) { r.who = r.who&^whoBasis | uint8(b)<<4 }

// is reports a believed step of a side on an event.
func (r *record) is(side tcp.Side, on fsm.Event) bool {
	return r.on() == on && r.side() == side && r.believed()
}

// whoOf is the who of a record whose packet has no payload.
func whoOf(side, sender tcp.Side, basis fsm.Basis) uint8 {
	return uint8(side)&whoSide | uint8(sender)<<2 | uint8(basis)<<4
}

// brings is the who of a record that segment s brings.
func brings(side tcp.Side, basis fsm.Basis, s *tcp.Segment) uint8 {
	who := whoOf(side, s.From, basis)
	if hasLength(s) {
		who |= whoPayload
	}
	return who
}

// hasLength reports that Packet.Number of a segment is its payload's length.
func hasLength(s *tcp.Segment) bool {
	return s.Len > 0 && s.Flags&(tcp.FIN|tcp.SYN|tcp.RST) == 0
}

// numberOf is Packet.Number of a segment.
func numberOf(s *tcp.Segment) uint32 {
	switch {
	case hasLength(s):
		return s.Len
	case s.Flags&tcp.FIN != 0:
		return uint32(s.Seq.Add(s.Len))
	case s.Flags&(tcp.SYN|tcp.RST) != 0:
		return uint32(s.Seq)
	}
	return uint32(s.Ack)
}

// block is a stretch of a log. An ordinary flow fills two.
type block struct {
	octets [blockSize]byte
	next   uint32
}

// blockSize is chosen by what ordinary flows need in all: about 35 octets for
// the handshake, 90 at the end.
const blockSize = 48

// stepped counts a step. Beyond the maximum none is taken back.
func (e *entry) stepped() {
	if e.steps < math.MaxUint8 {
		e.steps++
	}
}

// A flow's log is bounded: beyond these, marks are only counted elsewhere, and
// steps are no longer taken back (so that no more than the machine's few
// forward moves can follow).
const (
	maxMarks = 64
	maxSteps = 120
)

// A record in the log: who, kind (with the two bits below); for a Revise the
// states, which all other steps lead on to by themselves; and, unless it is of
// the same packet as the record before it, flags, the time and the packet as
// signed distances from the flow's first, in groups of seven bits, and the
// number. So a step costs 2 octets or about 14.
const (
	samePacket = 0x80 // in kind
	wholeMicro = 0x20 // in kind: the time's distance is in us, as most captures have it

	longestRecord = 3 + 1 + 2*binary.MaxVarintLen64 + 4
)

// Events and kinds of marks leave those two bits free: else this does not compile.
const (
	_ = uint(wholeMicro - fsm.Events)
	_ = uint(wholeMicro - int(markKinds))
)

// note adds a step or a mark that segment s brings.
func (t *Table) note(e *entry, kind uint8, side tcp.Side, basis fsm.Basis, s *tcp.Segment) {
	who := brings(side, basis, s)
	if t.logged == (logged{e, s.Ref, s.At, s.From}) {
		t.write(e, []byte{who, kind | samePacket})
		return
	}
	t.logged = logged{e, s.Ref, s.At, s.From}
	buf := [longestRecord]byte{who, kind}
	t.write(e, buf[:t.encode(e, &buf, 2, s)])
}

// noteRevise adds the step that takes one back: unlike others it names its states.
func (t *Table) noteRevise(e *entry, side tcp.Side, from, to fsm.State, s *tcp.Segment) {
	buf := [longestRecord]byte{brings(side, fsm.Revised, s), uint8(fsm.Revise), uint8(from)<<4 | uint8(to)}
	t.logged = logged{e, s.Ref, s.At, s.From}
	t.write(e, buf[:t.encode(e, &buf, 3, s)])
}

// noteTimer adds the step of a timer, which no packet brings.
func (t *Table) noteTimer(e *entry, r *record) {
	buf := [longestRecord]byte{r.who, r.kind}
	t.logged = logged{}
	t.write(e, buf[:t.encode(e, &buf, 2, &tcp.Segment{At: r.at})])
}

// encode puts what a record says of its packet behind the first n octets. It
// returns how many there are then.
func (t *Table) encode(e *entry, buf *[longestRecord]byte, n int, s *tcp.Segment) int {
	at := s.At - e.first
	if micro := at / 1000; micro*1000 == at {
		buf[1] |= wholeMicro
		at = micro
	}
	buf[n] = uint8(s.Flags)
	n++
	n += binary.PutVarint(buf[n:], at)
	n += binary.PutVarint(buf[n:], int64(s.Ref-e.firstRef))
	binary.LittleEndian.PutUint32(buf[n:], numberOf(s))
	return n + 4
}

// logged is the packet of the record that was added last: what the same packet
// brings next need not name it again.
type logged struct {
	entry  *entry
	ref    tcp.PacketRef
	at     int64
	sender tcp.Side
}

// write puts octets at the end of a log.
func (t *Table) write(e *entry, p []byte) {
	at := int(e.logLen) % blockSize
	e.logLen += uint16(len(p))
	for len(p) > 0 {
		if at == 0 {
			t.grow(e)
		}
		b := t.blocks.get(e.logTail)
		n := copy(b.octets[at:], p)
		p = p[n:]
		at = (at + n) % blockSize
	}
}

// grow adds a block to a log.
func (t *Table) grow(e *entry) {
	i := t.blocks.alloc()
	t.blocks.get(i).next = 0
	if e.logHead == 0 {
		e.logHead = i
	} else {
		t.blocks.get(e.logTail).next = i
	}
	e.logTail = i
}

// settleBasis fixes what is known by now of the steps of a side on an event,
// because the mark of what waits for proof is to stand for another step.
func (t *Table) settleBasis(e *entry, side tcp.Side, on fsm.Event) {
	recs := t.story(e)
	for i := range recs {
		r := &recs[i]
		if !r.is(side, on) || r.basis() != fsm.Presumed && r.basis() != fsm.Seen {
			continue
		}
		if r.basis() == fsm.Presumed {
			r.setBasis(presumedForGood)
		}
		t.patch(e, r)
	}
}

// patch writes what changed of a record's who back into the log.
func (t *Table) patch(e *entry, r *record) {
	i := e.logHead
	for range int(r.pos) / blockSize {
		i = t.blocks.get(i).next
	}
	t.blocks.get(i).octets[int(r.pos)%blockSize] = r.who
}

// retire marks a step as disproved.
func (t *Table) retire(e *entry, r *record) {
	r.who |= whoRetired
	t.patch(e, r)
}

func (t *Table) freeLog(e *entry) {
	for i := e.logHead; i != 0; {
		next := t.blocks.get(i).next
		t.blocks.release(i)
		i = next
	}
	e.logHead, e.logTail, e.logLen = 0, 0, 0
}

// mark notes a packet that is evidence.
func (t *Table) mark(e *entry, kind MarkKind, s *tcp.Segment) {
	if e.marks >= maxMarks {
		return
	}
	e.marks++
	t.note(e, markBase+uint8(kind), s.From, 0, s)
}

// move applies an event to one endpoint, and notes the step if it moves it.
// It is false when the event does not move the endpoint's state.
func (t *Table) move(e *entry, side tcp.Side, on fsm.Event, basis fsm.Basis, s *tcp.Segment) bool {
	d := e.end(side)
	to, ok := fsm.Observe(d.state, on)
	if !ok {
		return false
	}
	if to == d.state {
		return true
	}
	if basis == fsm.Presumed && d.met&meeting(on) != 0 {
		t.settleBasis(e, side, on)
	}
	t.note(e, uint8(on), side, basis, s)
	e.stepped()
	if basis == fsm.Presumed {
		d.bits |= presumption(on)
		d.met |= meeting(on)
	}
	t.enter(e, side, to, s.At)
	return true
}

// latest is the last believed step of a side on an event. The record is valid
// until the log is read again.
func (t *Table) latest(e *entry, side tcp.Side, on fsm.Event) *record {
	recs := t.story(e)
	for i := len(recs) - 1; i >= 0; i-- {
		if recs[i].is(side, on) {
			return &recs[i]
		}
	}
	return nil
}

// confirm turns the presumed step of a side on an event into a seen one.
func (t *Table) confirm(e *entry, side tcp.Side, on fsm.Event) {
	e.end(side).bits &^= presumption(on)
}

// retract takes the last step of a side on an event back, because s disproves
// it, and the last on each further event with it: the state becomes what the
// other steps lead to, and the return is a step of its own. It is false when
// there is nothing to take back.
func (t *Table) retract(e *entry, side tcp.Side, on fsm.Event, s *tcp.Segment, with ...fsm.Event) bool {
	wrong := t.latest(e, side, on)
	if wrong == nil || e.steps >= maxSteps {
		return false
	}
	d := e.end(side)
	t.retire(e, wrong)
	t.forget(e, side, on)
	for _, also := range with {
		if r := t.latest(e, side, also); r != nil {
			t.retire(e, r)
			t.forget(e, side, also)
		}
	}
	to := t.replay(e, side, nil)
	if to == d.state {
		return true
	}
	t.noteRevise(e, side, d.state, to, s)
	e.stepped()
	t.enter(e, side, to, s.At)
	return true
}

// forget says that what waits for proof on an event is disproved.
func (t *Table) forget(e *entry, side tcp.Side, on fsm.Event) {
	d := e.end(side)
	if waits := presumption(on); d.has(waits) {
		t.settleBasis(e, side, on)
		d.bits &^= waits
	}
}

// replay walks a side's believed steps from CLOSED and returns the state that
// they lead to. visit, if any, sees each step that moves, with both states.
func (t *Table) replay(e *entry, side tcp.Side, visit func(r *record, from, to fsm.State)) fsm.State {
	w := walk{side: side, state: fsm.Closed}
	recs := t.story(e)
	for i := range recs {
		if from, to, ok := w.step(&recs[i]); ok && visit != nil {
			visit(&recs[i], from, to)
		}
	}
	return w.state
}

// walk follows one side through a log.
type walk struct {
	side  tcp.Side
	state fsm.State
}

// step takes the next record; it is false when that moves nothing.
func (w *walk) step(r *record) (from, to fsm.State, ok bool) {
	if !r.believed() || r.side() != w.side || r.on() == fsm.Revise {
		return 0, 0, false
	}
	from = w.state
	to, ok = fsm.Observe(from, r.on())
	if !ok || to == from {
		return 0, 0, false
	}
	w.state = to
	return from, to, true
}
