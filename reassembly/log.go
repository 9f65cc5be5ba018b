package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// record is a step or a mark in a flow's log, 24 octets.
type record struct {
	at     int64
	ref    tcp.PacketRef
	number uint32 // Packet.Number
	kind   uint8  // a step's fsm.Event, or markBase + MarkKind
	states uint8  // a step's from and to
	who    uint8  // side, sender, basis and the two bits below
	flags  uint8  // the low eight of the segment
}

const (
	markBase = 64

	whoSide    = 0x03
	whoSender  = 0x0c
	whoBasis   = 0x70
	whoRetired = 0x80 // disproved: shown, but no longer believed
)

// A record with basis 0 is tentative: a server's step that its answer will
// confirm, kept at the place of the SYN. It is not shown.
func (r *record) isStep() bool     { return r.kind < markBase && r.who&whoBasis != 0 }
func (r *record) believed() bool   { return r.isStep() && r.who&whoRetired == 0 }
func (r *record) side() tcp.Side   { return tcp.Side(r.who & whoSide) }
func (r *record) sender() tcp.Side { return tcp.Side(r.who & whoSender >> 2) }
func (r *record) basis() fsm.Basis { return fsm.Basis(r.who & whoBasis >> 4) }
func (r *record) on() fsm.Event    { return fsm.Event(r.kind) }
func (r *record) from() fsm.State  { return fsm.State(r.states >> 4) }
func (r *record) to() fsm.State    { return fsm.State(r.states & 15) }

func (r *record) setBasis(b fsm.Basis) { r.who = r.who&^whoBasis | uint8(b)<<4 }

// packet is what a ladder shows of the packet behind the record.
func (r *record) packet() Packet {
	return Packet{From: r.sender(), Flags: tcp.Flags(r.flags), Number: r.number}
}

// newRecord fills what comes from the segment; s is nil for a timer's step.
func newRecord(kind uint8, side tcp.Side, basis fsm.Basis, s *tcp.Segment) record {
	r := record{kind: kind, who: uint8(side) | uint8(basis)<<4}
	if s == nil {
		return r
	}
	r.at, r.ref, r.flags = s.At, s.Ref, uint8(s.Flags)
	r.who |= uint8(s.From) << 2
	switch {
	case s.Flags&tcp.FIN != 0:
		r.number = uint32(s.Seq.Add(s.Len))
	case s.Flags&(tcp.SYN|tcp.RST) != 0:
		r.number = uint32(s.Seq)
	case s.Len > 0:
		r.number = s.Len
	default:
		r.number = uint32(s.Ack)
	}
	return r
}

// block is a stretch of a log. Most flows need two or three.
type block struct {
	recs [5]record
	n    uint32
	next uint32
}

// A flow's log is bounded: beyond these, marks are only counted elsewhere, and
// steps are no longer taken back (so that no more than the machine's few
// forward moves can follow).
const (
	maxMarks = 64
	maxSteps = 120
)

func (t *Table) append(e *entry, r record) {
	var b *block
	if e.logTail != 0 {
		b = t.blocks.get(e.logTail)
	}
	if b == nil || int(b.n) == len(b.recs) {
		i := t.blocks.alloc()
		*t.blocks.get(i) = block{}
		if b != nil {
			b.next = i
		} else {
			e.logHead = i
		}
		e.logTail = i
		b = t.blocks.get(i)
	}
	b.recs[b.n] = r
	b.n++
}

// records calls visit for each record in order, until it is false.
func (t *Table) records(e *entry, visit func(r *record) bool) {
	for i := e.logHead; i != 0; {
		b := t.blocks.get(i)
		for k := range b.recs[:b.n] {
			if !visit(&b.recs[k]) {
				return
			}
		}
		i = b.next
	}
}

func (t *Table) freeLog(e *entry) {
	for i := e.logHead; i != 0; {
		next := t.blocks.get(i).next
		t.blocks.release(i)
		i = next
	}
	e.logHead, e.logTail = 0, 0
}

// mark notes a packet that is evidence.
func (t *Table) mark(e *entry, kind MarkKind, s *tcp.Segment) {
	if e.marks >= maxMarks {
		return
	}
	e.marks++
	t.append(e, newRecord(markBase+uint8(kind), s.From, 0, s))
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
	r := newRecord(uint8(on), side, basis, s)
	from := d.state
	if on == fsm.RecvSYN && from == fsm.Closed {
		from = fsm.Listen // a listener shows itself only by its answer
	}
	r.states = uint8(from)<<4 | uint8(to)
	t.append(e, r)
	e.steps++
	if basis == fsm.Presumed {
		d.bits |= presumption(on)
	}
	t.enter(e, side, to, r.at)
	return true
}

// latest is the last believed step of a side on an event, or nil.
func (t *Table) latest(e *entry, side tcp.Side, on fsm.Event) (found *record) {
	t.records(e, func(r *record) bool {
		if r.believed() && r.side() == side && r.on() == on {
			found = r
		}
		return true
	})
	return found
}

// confirm turns the presumed step of a side on an event into a seen one.
func (t *Table) confirm(e *entry, side tcp.Side, on fsm.Event) {
	e.end(side).bits &^= presumption(on)
	if r := t.latest(e, side, on); r != nil && r.basis() == fsm.Presumed {
		r.setBasis(fsm.Seen)
	}
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
	wrong.who |= whoRetired
	d.bits &^= presumption(on)
	for _, also := range with {
		if r := t.latest(e, side, also); r != nil {
			r.who |= whoRetired
			d.bits &^= presumption(also)
		}
	}
	to := t.replay(e, side, nil)
	if to == d.state {
		return true
	}
	r := newRecord(uint8(fsm.Revise), side, fsm.Revised, s)
	r.states = uint8(d.state)<<4 | uint8(to)
	t.append(e, r)
	e.steps++
	t.enter(e, side, to, s.At)
	return true
}

// replay walks a side's believed steps from CLOSED and returns the state that
// they lead to. visit, if any, sees each step that moves, with both states.
func (t *Table) replay(e *entry, side tcp.Side, visit func(r *record, from, to fsm.State)) fsm.State {
	w := walk{side: side, state: fsm.Closed}
	t.records(e, func(r *record) bool {
		if from, to, ok := w.step(r); ok && visit != nil {
			visit(r, from, to)
		}
		return true
	})
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

// story copies a flow's log into a slice that the next call overwrites.
func (t *Table) story(e *entry) []record {
	t.scratch = t.scratch[:0]
	t.records(e, func(r *record) bool {
		t.scratch = append(t.scratch, *r)
		return true
	})
	return t.scratch
}
