package capture

import "encoding/binary"

// snoopMagic begins a file of Solaris' snoop (RFC 1761).
const snoopMagic = "snoop\x00\x00\x00"

// snoopReader reads snoop files, whose fields are all big-endian.
type snoopReader struct {
	*parser
	link uint16
}

// surveyorTrailer is how much padding a record has at least when the file is
// of Shomiti's Surveyor, which gives the data link types other meanings.
const surveyorTrailer = 16

func newSnoop(p *parser) (*snoopReader, error) {
	if !p.s.need(16) {
		return nil, headerCut(p, "snoop")
	}
	version, dataLink := p.u32(p.s.data[8:]), p.u32(p.s.data[12:])
	if version < 2 || version > 5 {
		return nil, &openError{name: p.info.Name, text: "is a snoop file of version " +
			grouped(uint64(version)) + ", which cannot be read"}
	}
	p.s.take(16)
	surveyor := false
	if p.s.need(24) {
		h := p.s.data
		surveyor = uint64(p.u32(h[8:])) >= 24+uint64(p.u32(h[4:]))+surveyorTrailer
	}
	link, ok := snoopLinkType(dataLink, surveyor)
	if !ok {
		return nil, &openError{name: p.info.Name, text: "is a snoop file of data link type " +
			grouped(uint64(dataLink)) + ", which cannot be read"}
	}
	p.info.Format = "snoop"
	p.addLinkType(link)
	return &snoopReader{p, link}, nil
}

// snoopLinkType maps the data link types of RFC 1761 §4, of the registry that
// succeeded it and of Surveyor to LINKTYPE_ values.
func snoopLinkType(t uint32, surveyor bool) (uint16, bool) {
	switch t {
	case 0, 4: // IEEE 802.3, Ethernet
		return 1, true
	case 2: // token ring
		return 6, true
	case 8: // FDDI
		return 10, true
	}
	if surveyor {
		switch t {
		case 10, 12, 19: // faster Ethernets
			return 1, true
		case 11, 13, 14: // token rings
			return 6, true
		}
		return 0, false
	}
	switch t {
	case 9, 14: // other, software loopback: address family first
		return 0, true
	case 16: // fibre channel
		return 122, true
	case 18: // classical IP over ATM, with SunATM's header
		return 123, true
	case 0x80000005: // Solaris' ipnet
		return 226, true
	}
	return 0, false
}

func (r *snoopReader) next(f *Frame) error {
	s := r.s
	if !s.need(24) {
		return r.over("")
	}
	h := s.data
	wire, captured, record := r.u32(h), r.u32(h[4:]), r.u32(h[8:])
	limit := maxRecord(r.link)
	switch {
	case captured > limit || wire > limit:
		return r.badFrame("claims %s captured bytes of %s", grouped(uint64(captured)), grouped(uint64(wire)))
	case uint64(record) < 24+uint64(captured) || record > 2*limit:
		return r.badFrame("claims %s captured bytes in a record of %s", grouped(uint64(captured)), grouped(uint64(record)))
	}
	if !s.need(int(record)) {
		return r.cut("")
	}
	h = s.data
	r.info.Counted = true
	r.info.Drops = uint64(binary.BigEndian.Uint32(h[12:]))
	f.Iface, f.LinkType, f.WireLen = 0, r.link, wire
	f.Data = h[24 : 24+captured : 24+captured]
	r.emit(f, int64(r.u32(h[16:]))*1e9+int64(r.u32(h[20:]))*1000, int(record))
	return nil
}
