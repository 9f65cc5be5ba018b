package capture

import (
	"encoding/binary"
	"math/bits"
)

// Block types of pcapng that are not skipped.
const (
	ngSection    = 0x0a0d0d0a
	ngInterface  = 1
	ngPacket     = 2 // obsolete
	ngSimple     = 3
	ngStatistics = 5
	ngEnhanced   = 6
)

const (
	ngByteOrder = 0x1a2b3c4d
	// ngMaxBlock bounds a block of any type, ngMaxOptions what may follow a
	// packet in its block, ngMaxHeader the blocks that describe something.
	ngMaxBlock   = maxLongRecord + 256<<10
	ngMaxOptions = 1 << 20
	ngMaxHeader  = 16 << 20
)

// ngReader reads pcapng. Frame numbers count the packet blocks and the other
// blocks that Wireshark lists.
type ngReader struct {
	*parser
	ifaces []ngIface // of the current section
	base   int       // how many interfaces the sections before it had
}

// isPcapng reports whether b begins a Section Header Block.
func isPcapng(b []byte) bool {
	return binary.LittleEndian.Uint32(b) == ngSection && len(b) >= 12 &&
		(binary.LittleEndian.Uint32(b[8:]) == ngByteOrder || binary.BigEndian.Uint32(b[8:]) == ngByteOrder)
}

// newPcapng reads the first Section Header Block.
func newPcapng(p *parser) (*ngReader, error) {
	p.info.Format = "pcapng"
	r := &ngReader{parser: p}
	if err := r.section(); err != nil {
		if d, ok := err.(*Damage); ok && !d.cut {
			return nil, &openError{name: p.info.Name, text: "cannot be read as pcapng: " + d.Text}
		}
		return nil, headerCut(p, "pcapng")
	}
	return r, nil
}

func (r *ngReader) next(f *Frame) error {
	if r.plain(f) {
		return nil
	}
	s := r.s
	for {
		if !s.need(12) {
			if len(s.data) >= 4 && isPacket(r.u32(s.data)) {
				return r.over("")
			}
			return r.over("a block")
		}
		typ := r.u32(s.data)
		total := roundUp(r.u32(s.data[4:]))
		var err error
		switch {
		case typ == ngSection:
			err = r.section()
		case total < 12 || total > ngMaxBlock:
			err = r.afterFrame(nil, "a block of type 0x%x claims %s bytes", typ, grouped(total))
		case isPacket(typ):
			return r.packet(f, typ, int(total))
		case typ == ngInterface || typ == ngStatistics:
			err = r.describe(typ, int(total))
		default:
			err = r.pass(typ, int64(total))
		}
		if err != nil {
			return err
		}
	}
}

func isPacket(typ uint32) bool {
	return typ == ngEnhanced || typ == ngPacket || typ == ngSimple
}

// roundUp rounds a block's length up to four, for some writers leave the
// padding out.
func roundUp(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }

// trailer compares the length at the end of a block with that at its begin.
func (r *ngReader) trailer(b []byte, total int) bool {
	return roundUp(r.u32(b)) == uint64(total)
}

// section reads a Section Header Block, which sets the byte order for itself
// and what follows.
func (r *ngReader) section() error {
	s := r.s
	const what = "a section header"
	if !s.need(12) {
		return r.cut(what)
	}
	switch uint32(ngByteOrder) {
	case binary.LittleEndian.Uint32(s.data[8:]):
		r.swap = false
	case binary.BigEndian.Uint32(s.data[8:]):
		r.swap = true
	default:
		return r.afterFrame(nil, "%s has no byte order mark", what)
	}
	total := roundUp(r.u32(s.data[4:]))
	if total < 28 || total > ngMaxHeader {
		return r.afterFrame(nil, "%s claims %s bytes", what, grouped(total))
	}
	size := int(total)
	if !s.need(size) {
		return r.cut(what)
	}
	if !r.trailer(s.data[size-4:], size) {
		return r.afterFrame(nil, "%s has two different lengths", what)
	}
	if major := r.u16(s.data[12:]); major != 1 {
		return r.afterFrame(nil, "%s is of version %d.%d, which is unknown,", what, major, r.u16(s.data[14:]))
	}
	s.take(size)
	r.base += len(r.ifaces)
	r.ifaces = r.ifaces[:0]
	return nil
}

// plain takes the next block if it is what nearly all are: an Enhanced Packet
// Block, little-endian, without options, whole in memory and as it should be.
// It reports false, with nothing taken, when it is not; packet then looks
// closer.
func (r *ngReader) plain(f *Frame) bool {
	d := r.s.data
	if len(d) < 32 || r.swap || binary.LittleEndian.Uint32(d) != ngEnhanced {
		return false
	}
	total, id := binary.LittleEndian.Uint32(d[4:]), binary.LittleEndian.Uint32(d[8:])
	captured := binary.LittleEndian.Uint32(d[20:])
	end := 28 + uint64(captured)
	if uint64(len(d)) < uint64(total) || uint64(total) != (end+3)&^3+4 || uint64(id) >= uint64(len(r.ifaces)) {
		return false
	}
	i := &r.ifaces[id]
	if captured > i.limit || binary.LittleEndian.Uint32(d[total-4:]) != total {
		return false
	}
	f.Iface, f.LinkType, f.WireLen = r.base+int(id), i.link, binary.LittleEndian.Uint32(d[24:])
	f.Data = d[28:end:end]
	ts := uint64(binary.LittleEndian.Uint32(d[12:]))<<32 | uint64(binary.LittleEndian.Uint32(d[16:]))
	r.emit(f, i.clock.ns(ts), int(total))
	return true
}

// packet reads one of the three packet blocks.
func (r *ngReader) packet(f *Frame, typ uint32, total int) error {
	s := r.s
	fixed := 28 // octets before the data
	if typ == ngSimple {
		fixed = 12
	}
	if total < fixed+4 {
		return r.badFrame("is in a block of %d bytes", total)
	}
	if !s.need(fixed) {
		return r.cut("")
	}
	id, captured, wire := r.packetHead(typ)
	if int(id) >= len(r.ifaces) {
		return r.badFrame("is of interface %d, and its section has %d", id, len(r.ifaces))
	}
	i := &r.ifaces[id]
	if captured > i.limit {
		return r.badFrame("claims %s captured bytes", grouped(uint64(captured)))
	}
	end := fixed + int(captured)
	options := total - 4 - (end+3)&^3
	if options < 0 || options > ngMaxOptions {
		return r.badFrame("claims %s captured bytes in a block of %s", grouped(uint64(captured)), grouped(uint64(total)))
	}
	if !s.need(total) {
		return r.cut("")
	}
	b := s.data[:total]
	if !r.trailer(b[total-4:], total) {
		return r.badFrame("is in a block with two different lengths")
	}
	f.Iface, f.LinkType, f.WireLen = r.base+int(id), i.link, wire
	f.Data = b[fixed:end:end]
	if typ == ngSimple {
		r.emitUntimed(f, total)
		return nil
	}
	if options > 0 || typ == ngPacket {
		r.packetDrops(i, typ, b[total-4-options:total-4])
	}
	r.emit(f, i.clock.ns(uint64(r.u32(b[12:]))<<32|uint64(r.u32(b[16:]))), total)
	return nil
}

// packetHead reads the fixed part of a packet block, which is there.
func (r *ngReader) packetHead(typ uint32) (id, captured, wire uint32) {
	b := r.s.data
	switch typ {
	case ngSimple: // which is of the section's first interface
		wire = r.u32(b[8:])
		captured = wire
		if len(r.ifaces) > 0 && r.ifaces[0].snap > 0 {
			captured = min(wire, r.ifaces[0].snap)
		}
		return 0, captured, wire
	case ngPacket:
		id = uint32(r.u16(b[8:]))
	default:
		id = r.u32(b[8:])
	}
	return id, r.u32(b[20:]), r.u32(b[24:])
}

// packetDrops adds the drops that a packet block tells of: an Enhanced Packet
// Block in its options, the obsolete Packet Block in a field of its own.
func (r *ngReader) packetDrops(i *ngIface, typ uint32, options []byte) {
	drops := uint64(0)
	if typ == ngPacket {
		if n := r.u16(r.s.data[10:]); n != 0xffff { // which stands for unknown
			drops = uint64(n)
		}
	} else {
		drops = r.dropCount(options)
	}
	if drops > 0 {
		r.info.Counted = true
		r.addDrops(i, i.reported, i.counted+drops)
	}
}

// pass skips a block that holds no packet, and counts it as a frame if
// Wireshark does.
func (r *ngReader) pass(typ uint32, total int64) error {
	s := r.s
	least, numbered := ngListed(typ)
	what := "a block"
	if numbered {
		what = ""
		if total < least {
			return r.badFrame("is a block of type 0x%x and %d bytes", typ, total)
		}
	}
	if !s.skip(total-4) || !s.need(4) {
		return r.cut(what)
	}
	if !r.trailer(s.data, int(total)) {
		return r.afterFrame(nil, "a block of type 0x%x has two different lengths", typ)
	}
	s.take(4)
	if numbered {
		r.number++
		r.info.Others++
	}
	return nil
}

// ngListed reports whether Wireshark (4.0) lists a block that holds no packet
// among the frames, and how long such a block must be.
func ngListed(typ uint32) (least int64, ok bool) {
	switch typ {
	case 0xbad, 0x40000bad: // Custom Block
		return 16, true
	case 9: // systemd journal entry
		return 35, true
	case 0x204: // sysdig events
		return 36, true
	case 0x216, 0x221:
		return 40, true
	}
	return 0, false
}

// ngClock turns an interface's timestamps into nanoseconds since 1970:
// ts * mul >> shift / div + offset.
type ngClock struct {
	mul, div uint64
	shift    uint
	offset   int64
}

// newClock understands the options if_tsresol and if_tsoffset (seconds).
func newClock(resolution byte, offset int64) ngClock {
	const maxSeconds = maxTime / 1_000_000_000
	c := ngClock{mul: 1, div: 1, offset: min(max(offset, -maxSeconds), maxSeconds) * 1_000_000_000}
	exp := int(resolution & 0x7f)
	switch {
	case resolution&0x80 != 0:
		c.mul, c.shift = 1e9, uint(exp)
	case exp <= 9:
		for ; exp < 9; exp++ {
			c.mul *= 10
		}
	default:
		for ; exp > 9 && c.div < 1e19; exp-- {
			c.div *= 10
		}
		if exp > 9 { // finer than what 64 bits can hold a nanosecond of
			c.mul = 0
		}
	}
	return c
}

// ns is the time in nanoseconds, within ±maxTime. A timestamp that as the
// unsigned number it should be lies beyond, and as a signed one does not, is
// the latter: some writers shift times to before 1970.
func (c *ngClock) ns(ts uint64) int64 {
	v, ok := c.scale(ts)
	if !ok && int64(ts) < 0 {
		if v, ok = c.scale(-ts); ok {
			return clampTime(c.offset - int64(v))
		}
	}
	return clampTime(int64(v) + c.offset)
}

// scale turns ticks into nanoseconds, at most maxTime; ok is false when there
// are more.
func (c *ngClock) scale(ticks uint64) (ns uint64, ok bool) {
	hi, lo := bits.Mul64(ticks, c.mul)
	if c.shift > 0 {
		hi, lo = shiftRight(hi, lo, c.shift)
	}
	if c.div > 1 {
		lo /= c.div
	}
	if hi > 0 || lo > maxTime {
		return maxTime, false
	}
	return lo, true
}

// shiftRight shifts 128 bits. Shifts by 64 and more give 0 in Go, as is
// needed.
func shiftRight(hi, lo uint64, n uint) (uint64, uint64) {
	if n >= 64 {
		return 0, hi >> (n - 64)
	}
	return hi >> n, lo>>n | hi<<(64-n)
}
