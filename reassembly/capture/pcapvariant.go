package capture

// pcapVariant is a layout of pcap records that shares its magic number with
// another. Two patches of 1999 and one maker of firewalls appended fields to
// the record header; the first patch and the firewalls kept the magic number.
type pcapVariant struct {
	format string
	header int
	fits   func(r *pcapReader, extra []byte) bool // the extra fields have probable values
}

// variantsOf lists the layouts that the magic number may stand for, the most
// probable first.
func variantsOf(magic uint32) []pcapVariant {
	patched := pcapVariant{"pcap-modified", 24, patchedFits}
	if magic == pcapModified {
		return []pcapVariant{patched, {"pcap-modified", 28, patchedFits}}
	}
	return []pcapVariant{{"pcap", 16, nil}, patched, {"pcap-nokia", 20, nokiaFits}}
}

// chooseVariant picks the first layout under which nothing speaks against the
// first three records. If there is none, or no leave to look (a pipe), it is
// the most probable one: a damaged file is more common than a rare layout.
func (r *pcapReader) chooseVariant(magic uint32, look bool) {
	variants := variantsOf(magic)
	best := variants[0]
	if look {
		for _, v := range variants {
			if r.fits(v) {
				best = v
				break
			}
		}
	}
	r.info.Format, r.header = best.format, best.header
}

// fits reports whether the first three records, or the first MiB of them, look
// right under a layout.
func (r *pcapReader) fits(v pcapVariant) bool {
	limit := recordLimit(r.link, r.info.SnapLen)
	for at, n := 0, 0; n < 3 && at < 1<<20; n++ {
		if !r.s.need(at + v.header) {
			return len(r.s.data) == at
		}
		h := r.s.data[at:]
		captured, wire := r.u32(h[8:]), r.u32(h[12:])
		if r.u32(h[4:]) >= 1e6 || captured > limit || r.info.SnapLen > 0 && captured > r.info.SnapLen ||
			wire > maxLongRecord || captured > wire || v.fits != nil && !v.fits(r, h[16:v.header]) {
			return false
		}
		at += v.header + int(captured)
		if !r.s.need(at) {
			return false
		}
	}
	return true
}

// patchedFits looks at interface index (4 bytes), protocol (2) and packet type
// (1). Protocols are Ethernet types and the few small numbers of Linux.
func patchedFits(r *pcapReader, extra []byte) bool {
	p := r.u16(extra[4:])
	known := p >= 0x600 || p <= 0x17 || p == 0x60 || p == 0x200 || p == 0x400
	return known && r.u32(extra) <= 10000 && extra[6] <= 4
}

// nokiaFits looks at four bytes whose meaning is unknown and of which only
// some values have been seen: 9 or b, fbf, b or d, 6 or 9, 0, 1 or 2 in hex.
func nokiaFits(r *pcapReader, extra []byte) bool {
	v := r.u32(extra)
	one, two, three, four := v>>28, v>>12&0xf, v>>8&0xf, v&0xf
	return v&0x0fff00f0 == 0x0fbf0000 && (one == 9 || one == 0xb) && (two == 0xb || two == 0xd) &&
		(three == 6 || three == 9) && (four == 1 || four == 2)
}
