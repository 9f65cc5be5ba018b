package reassembly

import (
	"encoding/binary"
	"math/bits"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// reader reads the records of a log one after the other.
type reader struct {
	record          // the one that was read last
	raw      []byte // with room behind the log's end, for varint
	end, pos int
	first    int64 // the flow's, from which the log has distances
	firstRef tcp.PacketRef
	stood    [2]fsm.State // where the steps so far led each side
}

// read begins to read a flow's log. It is valid until the next log is read.
func (t *Table) read(e *entry) *reader {
	l := &t.reader
	l.end, l.pos = int(e.logLen), 0
	if room := l.end + 2*blockSize; room > len(l.raw) {
		l.raw = make([]byte, 2*room)
	}
	raw := l.raw
	for i := e.logHead; i != 0; {
		b := t.blocks.get(i)
		*(*[blockSize]byte)(raw) = b.octets
		i, raw = b.next, raw[blockSize:]
	}
	l.first, l.firstRef = e.first, e.firstRef
	l.stood[0], l.stood[1] = fsm.Closed, fsm.Closed
	return l
}

// next reads a record; it is false at the end of the log.
func (l *reader) next(e *entry) bool {
	if l.pos >= l.end {
		return false
	}
	kind := l.raw[l.pos+1]
	l.record.pos, l.who, l.kind, l.states = uint16(l.pos), l.raw[l.pos], kind&^(samePacket|wholeMicro), 0
	l.pos += 2
	switch {
	case l.on() == fsm.Revise:
		l.states = l.raw[l.pos]
		l.stood[l.side().Index()] = l.to()
		l.pos++
	case l.isStep():
		l.follow(&l.stood[l.side().Index()])
		if b := l.basis(); b == fsm.Presumed || b == presumedForGood {
			e.confirmed(&l.record)
		}
	}
	if kind&samePacket == 0 {
		l.packet(kind&wholeMicro != 0)
	}
	return true
}

// packet reads what a record says of its packet.
func (l *reader) packet(micro bool) {
	p := (*[longestRecord + 8]byte)(l.raw[l.pos:])
	at, n := varint(binary.LittleEndian.Uint64(p[1:]))
	ref, m := varint(binary.LittleEndian.Uint64(p[1+n:]))
	if n > 8 || m > 8 { // a flow of years, or over thousands of files
		at, n = binary.Varint(p[1:])
		ref, m = binary.Varint(p[1+n:])
	}
	if micro {
		at *= 1000
	}
	n += m
	l.flags, l.at, l.ref = p[0], l.first+at, l.firstRef+tcp.PacketRef(ref)
	l.number = binary.LittleEndian.Uint32(p[1+n:])
	l.pos += n + 5
}

// varint is binary.Varint for the eight octets of x, and says how many of them it
// took; 9 if they do not suffice. How long the numbers are follows no pattern, so
// that a loop over their octets would often be guessed wrong. Here the groups of
// seven bits are put together in pairs.
func varint(x uint64) (int64, int) {
	last := ^x & 0x8080808080808080
	x &= (last ^ (last - 1)) & 0x7f7f7f7f7f7f7f7f
	x = x&0x007f007f007f007f | x>>1&0x3f803f803f803f80
	x = x&0x00003fff00003fff | x>>2&0x0fffc0000fffc000
	x = x&0x000000000fffffff | x>>4&0x00fffffff0000000
	return int64(x>>1) ^ -int64(x&1), bits.TrailingZeros64(last)>>3 + 1
}

// story reads a flow's log into a slice that the next call overwrites.
func (t *Table) story(e *entry) []record {
	recs := t.scratch[:0]
	for l := t.read(e); l.next(e); {
		recs = append(recs, l.record)
	}
	t.scratch = recs
	return recs
}

// follow fills in the states of a step that its side took in state, and moves
// that on.
func (r *record) follow(state *fsm.State) {
	from := *state
	to, ok := fsm.Observe(from, r.on())
	if !ok {
		return
	}
	*state = to
	if r.on() == fsm.RecvSYN && from == fsm.Closed {
		from = fsm.Listen // a listener shows itself only by its answer
	}
	r.states = uint8(from)<<4 | uint8(to)
}

// confirmed gives a step that was presumed the basis that is known by now: if it
// is not marked any more as waiting for proof, it is a seen one.
func (e *entry) confirmed(r *record) {
	if r.basis() == presumedForGood {
		r.setBasis(fsm.Presumed)
		return
	}
	if waits := presumption(r.on()); waits != 0 && r.believed() && !e.end(r.side()).has(waits) {
		r.setBasis(fsm.Seen)
	}
}
