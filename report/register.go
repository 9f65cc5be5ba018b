package report

import (
	"iter"
	"math/bits"
	"slices"
)

// register holds values by key, by open addressing in one piece of memory: what
// every flow looks up is one line of the cache away. The caller hashes, with a
// seed, since addresses are chosen by attackers. The zero value is empty.
type register[K comparable, V any] struct {
	slots []slot[K, V]
	count int
}

type slot[K comparable, V any] struct {
	mark  mark
	key   K
	value V
}

// mark is what is kept of a key's hash. It is not 0, which is that of an empty slot.
type mark uint32

func markOf(hash uint64) mark { return mark(hash>>32) | 1 }

// home is where the search begins.
func (m mark) home(mask int) int { return int(m>>1) & mask }

const minRegister = 16

// near is what lies where the search for a key begins. It tells nothing, and
// brings that into the cache.
func (r *register[K, V]) near(hash uint64) mark {
	if r.count == 0 {
		return 0
	}
	return r.slots[markOf(hash).home(len(r.slots)-1)].mark
}

// get is the value of a key until the next put, nil if there is none.
func (r *register[K, V]) get(k *K, hash uint64) *V {
	if r.count == 0 {
		return nil
	}
	mask, m := len(r.slots)-1, markOf(hash)
	for i := m.home(mask); r.slots[i].mark != 0; i = (i + 1) & mask {
		if s := &r.slots[i]; s.mark == m && s.key == *k {
			return &s.value
		}
	}
	return nil
}

// put makes a value for a key that has none; it is valid until the next put.
func (r *register[K, V]) put(k *K, hash uint64) *V {
	if (r.count+1)*2 > len(r.slots) {
		old := r.slots
		r.slots = make([]slot[K, V], max(minRegister, 2*len(old)))
		clear(r.slots) // memory that is read first and written later faults twice
		for i := range old {
			if old[i].mark != 0 {
				*r.free(old[i].mark) = old[i]
			}
		}
	}
	s := r.free(markOf(hash))
	s.mark, s.key = markOf(hash), *k
	r.count++
	return &s.value
}

// free is the first empty slot for a key with that mark.
func (r *register[K, V]) free(m mark) *slot[K, V] {
	mask := len(r.slots) - 1
	i := m.home(mask)
	for r.slots[i].mark != 0 {
		i = (i + 1) & mask
	}
	return &r.slots[i]
}

// all lists keys and values in no order.
func (r *register[K, V]) all() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for i := range r.slots {
			if s := &r.slots[i]; s.mark != 0 && !yield(s.key, &s.value) {
				return
			}
		}
	}
}

// clone is a copy; what values point to they share.
func (r *register[K, V]) clone() register[K, V] {
	return register[K, V]{slices.Clone(r.slots), r.count}
}

// fold mixes two words by folding their product onto itself.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
