package reassembly

// index finds flows by hash: open addressing with linear probing over slots
// of 8 octets, each the upper half of a hash and the index of an entry or an opening. A Go map of
// pointers costs twice the memory and a mark phase of half a second at two
// million flows; this costs the collector nothing.
type index struct {
	slots []uint64
	count int
}

const minSlots = 64

func pack(hash uint64, i uint32) uint64 { return hash&^0xffffffff | uint64(i) }

// insert adds an entry that is not in the index.
func (x *index) insert(hash uint64, i uint32) {
	if (x.count+1)*4 > len(x.slots)*3 {
		x.grow()
	}
	x.put(pack(hash, i))
	x.count++
}

func (x *index) put(v uint64) {
	mask := uint64(len(x.slots) - 1)
	p := v >> 32 & mask
	for x.slots[p] != 0 {
		p = (p + 1) & mask
	}
	x.slots[p] = v
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]uint64, max(minSlots, 2*len(old)))
	clear(x.slots) // as in slab.alloc
	for _, v := range old {
		if v != 0 {
			x.put(v)
		}
	}
}

// first is what stands where the search for a hash begins, if it has that hash;
// else 0.
func (x *index) first(hash uint64) uint32 {
	if v := x.home(hash); v>>32 == hash>>32 {
		return uint32(v)
	}
	return 0
}

// home is the slot where the search for a hash begins.
func (x *index) home(hash uint64) uint64 {
	if len(x.slots) == 0 {
		return 0
	}
	return x.slots[hash>>32&uint64(len(x.slots)-1)]
}

// replace puts entry n in the place of entry i.
func (x *index) replace(hash uint64, i, n uint32) {
	mask := uint64(len(x.slots) - 1)
	for p := hash >> 32 & mask; x.slots[p] != 0; p = (p + 1) & mask {
		if uint32(x.slots[p]) == i {
			x.slots[p] = pack(hash, n)
			return
		}
	}
}

// remove takes entry i out and closes the gap, so that no tombstones pile up.
func (x *index) remove(hash uint64, i uint32) {
	mask := uint64(len(x.slots) - 1)
	p := hash >> 32 & mask
	for uint32(x.slots[p]) != i {
		if x.slots[p] == 0 {
			return
		}
		p = (p + 1) & mask
	}
	x.count--
	for q := (p + 1) & mask; ; q = (q + 1) & mask {
		v := x.slots[q]
		if v == 0 {
			break
		}
		// v may move to the gap at p unless its home lies in (p, q].
		if home := v >> 32 & mask; (q-home)&mask >= (q-p)&mask {
			x.slots[p] = v
			p = q
		}
	}
	x.slots[p] = 0
}
