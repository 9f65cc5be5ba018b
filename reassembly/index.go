package reassembly

// index finds entries by hash: open addressing with linear probing over slots
// of 8 octets, each the upper half of a hash and an entry's index. A Go map of
// pointers costs twice the memory and a mark phase of half a second at two
// million flows; this costs the collector nothing.
type index struct {
	slots []uint64
	count int
}

const minSlots = 64

func pack(hash uint64, i uint32) uint64 { return hash&^0xffffffff | uint64(i) }

// find calls same for each entry whose hash agrees, until it is true.
func (x *index) find(hash uint64, same func(i uint32) bool) uint32 {
	if len(x.slots) == 0 {
		return 0
	}
	mask := uint64(len(x.slots) - 1)
	for p := hash >> 32 & mask; x.slots[p] != 0; p = (p + 1) & mask {
		if v := x.slots[p]; v>>32 == hash>>32 && same(uint32(v)) {
			return uint32(v)
		}
	}
	return 0
}

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
	for _, v := range old {
		if v != 0 {
			x.put(v)
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

// tally counts how often a tuple was seen, in 8 octets each: 52 bits of its
// hash and a count of 12 bits that stays at its maximum. It outlives the
// entries, so that the incarnations of a tuple are numbered through.
type tally struct {
	slots []uint64
	count int
	limit int // above it everything is forgotten
}

const tallyMax = 1<<12 - 1

// next is 1 for a tuple's first flow, 2 for its second, and so on.
func (y *tally) next(hash uint64) uint32 {
	if (y.count+1)*4 > len(y.slots)*3 {
		y.grow()
	}
	key := hash | tallyMax
	mask := uint64(len(y.slots) - 1)
	p := hash >> 20 & mask
	for ; y.slots[p] != 0; p = (p + 1) & mask {
		if v := y.slots[p]; v|tallyMax == key {
			if v&tallyMax < tallyMax {
				y.slots[p] = v + 1
			}
			return uint32(y.slots[p] & tallyMax)
		}
	}
	y.slots[p] = hash&^tallyMax | 1
	y.count++
	return 1
}

func (y *tally) grow() {
	old := y.slots
	if y.count >= y.limit {
		clear(old)
		y.count = 0
		return
	}
	y.slots = make([]uint64, max(minSlots, 2*len(old)))
	mask := uint64(len(y.slots) - 1)
	for _, v := range old {
		if v == 0 {
			continue
		}
		p := v >> 20 & mask
		for y.slots[p] != 0 {
			p = (p + 1) & mask
		}
		y.slots[p] = v
	}
}
