package reassembly

// tally remembers how often the tuples of finalised flows were used, so that
// their incarnations are numbered through. It is bounded: of twice the limit
// the older half is forgotten.
type tally struct {
	young, old counts
	limit      int // of young
}

// tallyMax is where counting ends.
const tallyMax = 1<<12 - 1

// used is the number of flows that a tuple had, 0 when none is remembered.
func (y *tally) used(hash uint64) uint16 {
	if n := y.young.get(hash); n > 0 {
		return n
	}
	return y.old.get(hash)
}

// note says that the n-th flow of a tuple is gone.
func (y *tally) note(hash uint64, n uint16) {
	if y.young.count >= y.limit {
		spare := y.old.slots
		clear(spare)
		y.old, y.young = y.young, counts{slots: spare}
	}
	y.young.set(hash, min(n, tallyMax))
}

// counts holds a number for each hash, in 8 octets: 52 bits of the hash and 12
// of the number.
type counts struct {
	slots []uint64
	count int
}

func (c *counts) get(hash uint64) uint16 {
	if c.count == 0 {
		return 0
	}
	if p := &c.slots[c.place(hash)]; *p != 0 {
		return uint16(*p & tallyMax)
	}
	return 0
}

func (c *counts) set(hash uint64, n uint16) {
	if (c.count+1)*4 > len(c.slots)*3 {
		c.grow()
	}
	p := &c.slots[c.place(hash)]
	if *p == 0 {
		c.count++
	}
	*p = hash&^tallyMax | uint64(n)
}

// home is the slot where the search for a hash begins.
func (c *counts) home(hash uint64) uint64 {
	if len(c.slots) == 0 {
		return 0
	}
	return c.slots[hash>>20&uint64(len(c.slots)-1)]
}

// place is where the hash stands, or would.
func (c *counts) place(hash uint64) uint64 {
	mask := uint64(len(c.slots) - 1)
	p := hash >> 20 & mask
	for c.slots[p] != 0 && c.slots[p]|tallyMax != hash|tallyMax {
		p = (p + 1) & mask
	}
	return p
}

func (c *counts) grow() {
	old := c.slots
	c.slots = make([]uint64, max(minSlots, 2*len(old)))
	for _, v := range old {
		if v != 0 {
			c.slots[c.place(v)] = v
		}
	}
}
