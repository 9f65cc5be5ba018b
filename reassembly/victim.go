package reassembly

// victim is the flow that is to give way to a new one.
type victim struct {
	flow uint32
	rank int64 // the lowest is taken
}

const (
	// neighbours is how many flows are compared, and within how many places they
	// are looked for: where connections gave way to a flood, or the reverse, nearly
	// all places of one kind are free.
	neighbours = 16
	nearby     = 64
)

// seek looks for neighbours in the next few of n places, from where hand stands,
// which moves on. Order and hand depend on the flows alone, not on how they are
// hashed. rank tells of a flow that is in use when it was last heard of; mark is
// set in what the index calls it.
func (v *victim) seek(hand *uint32, n, within, mark uint32, rank func(i uint32) (rank int64, used bool)) {
	for tries, seen := uint32(0), 0; tries < min(n, within) && seen < neighbours; tries++ {
		*hand = *hand%n + 1
		r, used := rank(*hand)
		if !used {
			continue
		}
		seen++
		if v.flow == 0 || r < v.rank {
			v.flow, v.rank = *hand|mark, r
		}
	}
}
