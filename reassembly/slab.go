package reassembly

import "math/bits"

// slab keeps values of one size in chunks and hands out indexes from 1, so
// that what refers to them needs no pointer and the collector has nothing to
// mark. T must hold no pointers.
type slab[T any] struct {
	chunks []*[chunkSize]T
	// free has a bit for each value of a chunk that was given back, and some the
	// chunks that have such values: when millions of flows end, what is free must
	// not cost memory of its own.
	free []uint64
	some []uint32
	next uint32
}

// A chunk holds 64 values: small enough that 64 partitions of a short capture
// cost little, large enough that a chunk's own header does not matter.
const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
	// fewChunks are left as the system gives them: most of a chunk may never be
	// used, and costs nothing until it is touched.
	fewChunks = 4
)

// get is the value with index i; i comes from alloc.
func (s *slab[T]) get(i uint32) *T {
	return &s.chunks[(i-1)>>chunkBits][(i-1)&(chunkSize-1)]
}

// alloc returns the index of a value, which is as its last user left it.
func (s *slab[T]) alloc() uint32 {
	if n := len(s.some); n > 0 {
		c := s.some[n-1]
		at := bits.TrailingZeros64(s.free[c])
		if s.free[c] &= s.free[c] - 1; s.free[c] == 0 {
			s.some = s.some[:n-1]
		}
		return c<<chunkBits + uint32(at) + 1
	}
	if int(s.next) == len(s.chunks)*chunkSize {
		chunk := new([chunkSize]T)
		if len(s.chunks) >= fewChunks {
			clear(chunk[:]) // memory that is read first and written later faults twice
		}
		s.chunks = append(s.chunks, chunk)
		s.free = append(s.free, 0)
	}
	s.next++
	return s.next
}

// release gives i back.
func (s *slab[T]) release(i uint32) {
	c := (i - 1) >> chunkBits
	if s.free[c] == 0 {
		s.some = append(s.some, c)
	}
	s.free[c] |= 1 << ((i - 1) & (chunkSize - 1))
}
