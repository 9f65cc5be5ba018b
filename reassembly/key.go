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

// Spot is what finds the flow of a tuple: Table.Look makes it.
type Spot struct {
	hash uint64
	key  key // without the addresses when wide
	wide bool
}

// spot is the spot of a tuple. With a random seed, addresses that an attacker
// chose cannot pile up in one slot of the index.
func (t *Table) spot(tuple *tcp.Tuple) (p Spot) {
	p.key.ports, p.key.tag = uint32(tuple.PortA)<<16|uint32(tuple.PortB), tuple.Tag
	if p.wide = !isMapped(&tuple.AddrA) || !isMapped(&tuple.AddrB); p.wide {
		p.hash = tuple.Hash(t.opts.Seed)
		return p
	}
	p.key.a, p.key.b = binary.BigEndian.Uint32(tuple.AddrA[12:]), binary.BigEndian.Uint32(tuple.AddrB[12:])
	p.hash = p.key.hash(t.opts.Seed)
	return p
}

// hash mixes an IPv4 key with a seed.
func (k *key) hash(seed uint64) uint64 {
	return tcp.Mix(tcp.Mix(seed^(uint64(k.a)<<32|uint64(k.b)), 0xa0761d6478bd642f)^(uint64(k.ports)<<32|uint64(k.tag)), seed|1)
}

// newKey is the key of a flow that begins.
func (t *Table) newKey(p *Spot, tuple *tcp.Tuple) key {
	k := p.key
	if p.wide {
		k.a = t.wides.alloc()
		*t.wides.get(k.a) = addresses{tuple.AddrA, tuple.AddrB}
	}
	return k
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

// hashOf is the hash under which the index has a flow.
func (t *Table) hashOf(i uint32) uint64 {
	k, wide := t.keyAt(i)
	if !wide {
		return k.hash(t.opts.Seed)
	}
	var tuple tcp.Tuple
	t.putTuple(&tuple, *k, wide)
	return tuple.Hash(t.opts.Seed)
}

// find is the index of the flow of a tuple, 0 when there is none.
func (t *Table) find(at *Spot, tuple *tcp.Tuple) uint32 {
	slots := t.index.slots
	if len(slots) == 0 {
		return 0
	}
	mask := uint64(len(slots) - 1)
	for p := at.hash >> 32 & mask; slots[p] != 0; p = (p + 1) & mask {
		v := slots[p]
		if v>>32 != at.hash>>32 {
			continue
		}
		if k, wide := t.keyAt(uint32(v)); wide == at.wide && (*k == at.key || wide && t.isWide(k, &at.key, tuple)) {
			return uint32(v)
		}
	}
	return 0
}

// keyAt is the key of what an index names.
func (t *Table) keyAt(i uint32) (k *key, wide bool) {
	if i&openingBit != 0 {
		o := t.openings.get(i &^ openingBit)
		return &o.key, o.wide
	}
	e := t.entries.get(i)
	return &e.key, e.has(flowWide)
}

// isWide compares the key of an IPv6 flow with a tuple; want holds its ports
// and tag.
func (t *Table) isWide(k, want *key, tuple *tcp.Tuple) bool {
	w := t.wides.get(k.a)
	return k.ports == want.ports && k.tag == want.tag && w.a == tuple.AddrA && w.b == tuple.AddrB
}
