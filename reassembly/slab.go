package reassembly

// slab keeps values of one size in chunks and hands out indexes from 1, so
// that what refers to them needs no pointer and the collector has nothing to
// mark. T must hold no pointers.
type slab[T any] struct {
	chunks []*[chunkSize]T
	free   []uint32
	next   uint32
}

// A chunk holds 64 values: small enough that 64 partitions of a short capture
// cost little, large enough that a chunk's own header does not matter.
const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
)

// get is the value with index i; i comes from alloc.
func (s *slab[T]) get(i uint32) *T {
	return &s.chunks[(i-1)>>chunkBits][(i-1)&(chunkSize-1)]
}

// alloc returns the index of a value, which is as its last user left it.
func (s *slab[T]) alloc() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if int(s.next) == len(s.chunks)*chunkSize {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.next++
	return s.next
}

// release gives i back.
func (s *slab[T]) release(i uint32) { s.free = append(s.free, i) }
