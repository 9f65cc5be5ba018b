package report

import "testing"

// Keys are told apart however their hashes collide, and a clone goes its own way.
func TestRegister(t *testing.T) {
	const keys = 1000
	var r register[int, int]
	hash := func(k int) uint64 { return uint64(k%7) << 32 }
	for k := range keys {
		if r.get(&k, hash(k)) != nil {
			t.Fatalf("%d is there before it was put", k)
		}
		*r.put(&k, hash(k)) = k
	}
	c := r.clone()
	for k, v := range r.all() {
		if *v != k {
			t.Errorf("%d has the value of %d", k, *v)
		}
		*v = -1
	}
	for k := range keys {
		if v := c.get(&k, hash(k)); v == nil || *v != k {
			t.Errorf("%d is lost", k)
		}
	}
	if r.count != keys || c.count != keys {
		t.Errorf("%d and %d keys", r.count, c.count)
	}
}
