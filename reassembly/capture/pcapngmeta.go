package capture

import "encoding/binary"

// ngMaxIfaces bounds the interfaces of a section.
const ngMaxIfaces = 1 << 20

// ngMaxDrops is the highest drop count that is believed; writers put all ones
// where they do not know.
const ngMaxDrops = 1 << 48

// ngIface is one interface of a section.
type ngIface struct {
	link     uint16
	snap     uint32
	limit    uint32 // longest frame that is believed
	clock    ngClock
	reported uint64 // drops by the last Interface Statistics Block
	counted  uint64 // drops by the packets' own counts
}

// describe reads an Interface Description or an Interface Statistics Block.
func (r *ngReader) describe(typ uint32, total int) error {
	s := r.s
	what, least := "an interface description", 20
	if typ == ngStatistics {
		what, least = "an interface statistics block", 24
	}
	if total < least || total > ngMaxHeader {
		return r.afterFrame(nil, "%s claims %s bytes", what, grouped(uint64(total)))
	}
	if !s.need(total) {
		return r.cut(what)
	}
	b := s.data[:total]
	if !r.trailer(b[total-4:], total) {
		return r.afterFrame(nil, "%s has two different lengths", what)
	}
	s.take(total)
	if typ == ngStatistics {
		r.statistics(b[8 : total-4])
		return nil
	}
	if len(r.ifaces) == ngMaxIfaces {
		return r.afterFrame(nil, "a section has more than %d interfaces", ngMaxIfaces)
	}
	r.description(b[8 : total-4])
	return nil
}

// description reads an Interface Description Block without its frame.
func (r *ngReader) description(b []byte) {
	resolution, offset := byte(6), int64(0)
	for o := b[8:]; ; {
		code, v, rest := r.option(o)
		if code == 0 {
			break
		}
		switch {
		case code == 9 && len(v) >= 1: // if_tsresol
			resolution = v[0]
		case code == 14 && len(v) >= 8: // if_tsoffset
			offset = int64(r.u64(v))
		}
		o = rest
	}
	i := ngIface{link: r.u16(b), snap: r.u32(b[4:]), clock: newClock(resolution, offset)}
	i.limit = recordLimit(i.link, i.snap)
	r.ifaces = append(r.ifaces, i)
	r.addLinkType(i.link)
	if i.snap <= maxLongRecord {
		r.info.SnapLen = max(r.info.SnapLen, i.snap)
	}
}

// statistics reads an Interface Statistics Block without its frame. Its counts
// are those since the interface began.
func (r *ngReader) statistics(b []byte) {
	id := r.u32(b)
	if uint64(id) >= uint64(len(r.ifaces)) {
		return
	}
	i := &r.ifaces[id]
	end := uint64(r.u32(b[4:]))<<32 | uint64(r.u32(b[8:]))
	drops := uint64(0)
	for o := b[12:]; ; {
		code, v, rest := r.option(o)
		if code == 0 {
			break
		}
		switch {
		case len(v) < 8:
		case code == 3: // isb_endtime, the high half first whatever the byte order
			end = uint64(r.u32(v))<<32 | uint64(r.u32(v[4:]))
		case code == 5 || code == 7: // isb_ifdrop, isb_osdrop
			if n := r.u64(v); n < ngMaxDrops {
				drops, r.info.Counted = drops+n, true
			}
		}
		o = rest
	}
	r.end = max(r.end, i.clock.ns(end))
	r.addDrops(i, drops, i.counted)
}

// addDrops sets an interface's two accounts of its drops, of which the larger
// one counts.
func (r *ngReader) addDrops(i *ngIface, reported, counted uint64) {
	r.info.Drops -= max(i.reported, i.counted)
	i.reported, i.counted = reported, counted
	r.info.Drops += max(i.reported, i.counted)
}

// dropCount finds the option epb_dropcount, the packets lost since the one
// before.
func (r *ngReader) dropCount(o []byte) uint64 {
	for {
		code, v, rest := r.option(o)
		if code == 0 {
			return 0
		}
		if code == 4 && len(v) >= 8 {
			if n := r.u64(v); n < ngMaxDrops {
				return n
			}
		}
		o = rest
	}
}

// option splits the first option off; code 0 when there is none left, or none
// that is well-formed.
func (r *ngReader) option(o []byte) (code uint16, value, rest []byte) {
	if len(o) < 4 {
		return 0, nil, nil
	}
	code = r.u16(o)
	n := int(r.u16(o[2:]))
	padded := (n + 3) &^ 3
	if code == 0 || padded > len(o)-4 {
		return 0, nil, nil
	}
	return code, o[4 : 4+n], o[4+padded:]
}

func (r *ngReader) u64(b []byte) uint64 {
	if r.swap {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}
