package capture

// pcapVariant is a layout of pcap records that shares its magic number with
// another. Two patches of 1999 and one maker of firewalls appended fields to
// the record header; the first patch and the firewalls kept the magic number.
type pcapVariant struct {
	format string
	header int
	doubts func(r *pcapReader, extra []byte) int // improbable values in the extra fields
}

// variantsOf lists the layouts that the magic number may stand for, the most
// probable first.
func variantsOf(magic uint32) []pcapVariant {
	patched := pcapVariant{"pcap-modified", 24, patchedDoubts}
	if magic == pcapModified {
		return []pcapVariant{patched, {"pcap-modified", 28, patchedDoubts}}
	}
	return []pcapVariant{{"pcap", 16, noDoubts}, patched, {"pcap-nokia", 20, nokiaDoubts}}
}

// chooseVariant picks the layout under which the first three records look
// best, as Wireshark does. Without leave to look (a pipe) it is the first.
func (r *pcapReader) chooseVariant(magic uint32, look bool) {
	variants := variantsOf(magic)
	best := variants[0]
	if look {
		least := -1
		for _, v := range variants {
			n := r.doubts(v)
			if least < 0 || n < least {
				best, least = v, n
			}
			if n == 0 {
				break
			}
		}
	}
	r.info.Format, r.header = best.format, best.header
}

// doubts counts what speaks against a layout in the first three records.
func (r *pcapReader) doubts(v pcapVariant) int {
	n, at := 0, 0
	limit := maxRecord(r.link)
	for range 3 {
		if !r.s.need(at + v.header) {
			if len(r.s.data) > at {
				n++
			}
			return n
		}
		h := r.s.data[at:]
		captured, wire := r.u32(h[8:]), r.u32(h[12:])
		for _, odd := range []bool{
			r.u32(h[4:]) >= 1e6,
			captured > limit,
			captured > r.info.SnapLen,
			wire > maxLongRecord,
			captured > wire,
		} {
			if odd {
				n++
			}
		}
		n += v.doubts(r, h[16:v.header])
		if captured > limit {
			return n
		}
		at += v.header + int(captured)
		if !r.s.need(at) {
			return n + 1
		}
	}
	return n
}

func noDoubts(*pcapReader, []byte) int { return 0 }

// patchedDoubts looks at interface index (4 bytes), protocol (2) and packet
// type (1).
func patchedDoubts(r *pcapReader, extra []byte) int {
	n := 0
	if r.u32(extra) > 10000 {
		n++
	}
	switch protocol := r.u16(extra[4:]); {
	case protocol >= 0x600, protocol <= 0x17, protocol == 0x60, protocol == 0x200, protocol == 0x400:
	default:
		n++
	}
	if extra[6] > 4 {
		n++
	}
	return n
}

// nokiaDoubts looks at four bytes whose meaning is unknown and of which only
// some values have been seen: 9 or b, fbf, b or d, 6 or 9, 0, 1 or 2 in hex.
func nokiaDoubts(r *pcapReader, extra []byte) int {
	v := r.u32(extra)
	one, two, three, four := v>>28, v>>12&0xf, v>>8&0xf, v&0xf
	if v&0x0fff00f0 == 0x0fbf0000 && (one == 9 || one == 0xb) && (two == 0xb || two == 0xd) &&
		(three == 6 || three == 9) && (four == 1 || four == 2) {
		return 0
	}
	return 1
}
