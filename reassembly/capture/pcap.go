package capture

import "encoding/binary"

// The magic numbers of pcap, as they read in the byte order of the writer.
const (
	pcapMicro    = 0xa1b2c3d4
	pcapNano     = 0xa1b23c4d
	pcapModified = 0xa1b2cd34 // records with an interface, protocol and type
	pcapIxiaNano = 0x1c0001ac // Ixia: the file header is 4 bytes longer
	pcapIxia     = 0x1c0001ab
)

// fileHeader is the length of pcap's file header.
const fileHeader = 24

// pcapReader reads pcap. Frame numbers are the count of records.
type pcapReader struct {
	*parser
	header  int // length of a record's header
	unit    int64
	lengths lengthOrder
	link    uint16
	limit   uint32 // longest record that is believed
	padding int    // bytes before each frame that are not of it
}

// lengthOrder says which of a record's two lengths comes first: the captured
// one since version 2.3; before, and in some files marked 2.3, the other.
type lengthOrder uint8

const (
	capturedFirst lengthOrder = 1 + iota
	capturedLast
	capturedSmaller
)

// isPcap reports whether b begins with a magic number of pcap and whether the
// file is big-endian.
func isPcap(b []byte) (magic uint32, swap, ok bool) {
	magic = binary.LittleEndian.Uint32(b)
	for range 2 {
		switch magic {
		case pcapMicro, pcapNano, pcapModified, pcapIxia, pcapIxiaNano:
			return magic, swap, true
		}
		magic, swap = binary.BigEndian.Uint32(b), true
	}
	return 0, false, false
}

// newPcap reads the file header. Only in a regular file may records be looked
// at to tell variants apart that share a magic number: a pipe's first frames
// must not wait for the next ones.
func newPcap(p *parser, magic uint32, regular bool) (*pcapReader, error) {
	size := fileHeader
	if magic == pcapIxia || magic == pcapIxiaNano {
		size += 4
	}
	if !p.s.need(size) {
		return nil, headerCut(p, "pcap")
	}
	h := p.s.data
	major, minor := p.u16(h[4:]), p.u16(h[6:])
	r := &pcapReader{parser: p, header: 16, unit: 1000, lengths: capturedFirst}
	switch {
	case major == 2 && minor < 3, major == 543: // DG/UX
		r.lengths = capturedLast
	case major == 2 && minor == 3:
		r.lengths = capturedSmaller
	case major < 2:
		return nil, &openError{name: p.info.Name, text: "is pcap of a version before 2.0, which cannot be read"}
	}
	r.link = uint16(p.u32(h[20:])) // the upper half holds flags and a checksum's length
	p.info.SnapLen = p.u32(h[16:])
	p.s.take(size)

	p.info.Format = "pcap"
	switch {
	case magic == pcapNano || magic == pcapIxiaNano:
		p.info.Format, r.unit = "pcap-ns", 1
	case magic == pcapMicro && major == 2 && minor == 2 && r.isAIX():
		p.info.Format, r.unit = "pcap-aix", 1
	case magic == pcapModified, magic == pcapMicro && r.lengths == capturedFirst:
		r.chooseVariant(magic, regular)
	}
	if p.info.SnapLen > maxLongRecord {
		p.info.SnapLen = 0
	}
	r.limit = recordLimit(r.link, p.info.SnapLen)
	p.addLinkType(r.link)
	return r, nil
}

// isAIX reports whether the link type is an interface type of RFC 1573, as
// AIX's tcpdump writes, and turns it into a LINKTYPE_ value. These files have
// nanoseconds, and FDDI frames begin with three bytes of padding.
func (r *pcapReader) isAIX() bool {
	switch r.link {
	case 6:
		r.link = 1
	case 9:
		r.link = 6
	case 15:
		r.link, r.padding = 10, 3
	case 24:
		r.link = 0
	default:
		return false
	}
	return true
}

func (r *pcapReader) next(f *Frame) error {
	s := r.s
	if !s.need(r.header) {
		return r.over("")
	}
	h := s.data
	captured, wire := r.recordLengths(h)
	if captured > r.limit {
		return r.badFrame("claims %s captured bytes", grouped(uint64(captured)))
	}
	size := r.header + int(captured)
	if !s.need(size) {
		return r.cut("")
	}
	h = s.data
	at := int64(r.u32(h))*1e9 + int64(r.u32(h[4:]))*r.unit
	f.Iface, f.LinkType, f.WireLen = 0, r.link, wire
	f.Data = h[r.header:size:size]
	if r.padding > 0 {
		pad := min(r.padding, len(f.Data))
		f.Data = f.Data[pad:]
		f.WireLen -= min(uint32(pad), f.WireLen)
	}
	r.emit(f, at, size)
	return nil
}

// recordLengths returns the captured and the original length of a record.
func (r *pcapReader) recordLengths(h []byte) (captured, wire uint32) {
	captured, wire = r.u32(h[8:]), r.u32(h[12:])
	if r.lengths == capturedLast || r.lengths == capturedSmaller && captured > wire {
		return wire, captured
	}
	return captured, wire
}
