package reassembly

import (
	"encoding/binary"

	"github.com/lastack/lastack/reassembly/tcp"
)

// key is a tuple as flows keep it: IPv4 addresses in four octets each, IPv6
// addresses in a table of their own, where a is their index and wide is set.
type key struct {
	a, b  uint32
	ports uint32
	tag   uint32 // with wide
}

// addresses are those of an IPv6 tuple.
type addresses struct{ a, b [16]byte }

// mappedPrefix are octets 4 to 11 of an IPv4 address in its mapped form, after
// four of zeros.
const mappedPrefix = 0xffff << 32

// isMapped reports an IPv4 address in its mapped form.
func isMapped(a *[16]byte) bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint64(a[8:])&^0xffffffff == mappedPrefix
}

// narrow is the key of an IPv4 tuple; it is false for others, whose key lacks
// the addresses.
func narrow(t *tcp.Tuple) (k key, ok bool) {
	k.ports, k.tag = uint32(t.PortA)<<16|uint32(t.PortB), t.Tag
	if !isMapped(&t.AddrA) || !isMapped(&t.AddrB) {
		return k, false
	}
	k.a, k.b = binary.BigEndian.Uint32(t.AddrA[12:]), binary.BigEndian.Uint32(t.AddrB[12:])
	return k, true
}

// newKey is the key of a flow that begins.
func (t *Table) newKey(tuple *tcp.Tuple) (k key, wide bool) {
	k, ok := narrow(tuple)
	if ok {
		return k, false
	}
	k.a = t.wides.alloc()
	*t.wides.get(k.a) = addresses{tuple.AddrA, tuple.AddrB}
	return k, true
}

// putTuple puts what a key was made of where it is to stand: a result would be
// copied, and the copy would wait for the parts.
func (t *Table) putTuple(out *tcp.Tuple, k key, wide bool) {
	out.PortA, out.PortB, out.Tag = uint16(k.ports>>16), uint16(k.ports), k.tag
	if wide {
		w := t.wides.get(k.a)
		out.AddrA, out.AddrB = w.a, w.b
		return
	}
	clear(out.AddrA[:8])
	clear(out.AddrB[:8])
	binary.BigEndian.PutUint64(out.AddrA[8:], mappedPrefix|uint64(k.a))
	binary.BigEndian.PutUint64(out.AddrB[8:], mappedPrefix|uint64(k.b))
}

// find is the index of the flow of a tuple, 0 when there is none.
func (t *Table) find(hash uint64, tuple *tcp.Tuple) uint32 {
	slots := t.index.slots
	if len(slots) == 0 {
		return 0
	}
	want, is4 := narrow(tuple)
	mask := uint64(len(slots) - 1)
	for p := hash >> 32 & mask; slots[p] != 0; p = (p + 1) & mask {
		v := slots[p]
		if v>>32 != hash>>32 {
			continue
		}
		if k, wide := t.keyAt(uint32(v)); wide != is4 && (k == want || wide && t.isWide(k, want, tuple)) {
			return uint32(v)
		}
	}
	return 0
}

// keyAt is the key of what an index names.
func (t *Table) keyAt(i uint32) (k key, wide bool) {
	if i&openingBit != 0 {
		o := t.openings.get(i &^ openingBit)
		return o.key, o.wide
	}
	e := t.entries.get(i)
	return e.key, e.has(flowWide)
}

// isWide compares the key of an IPv6 flow with a tuple; want holds its ports
// and tag.
func (t *Table) isWide(k, want key, tuple *tcp.Tuple) bool {
	w := t.wides.get(k.a)
	return k.ports == want.ports && k.tag == want.tag && w.a == tuple.AddrA && w.b == tuple.AddrB
}
