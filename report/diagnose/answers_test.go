package diagnose

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Each delay lies in its slot, and slots follow each other without a gap.
func TestDelaySlots(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		ns := int64(1000) << rng.IntN(36)
		ns += rng.Int64N(ns)
		slot := delaySlot(ns)
		if slot > 0 && ns < slotEnd(slot-1) || slot < delaySlots-1 && ns >= slotEnd(slot) {
			t.Fatalf("%d ns is in slot %d, from %d to %d", ns, slot, slotEnd(slot-1), slotEnd(slot))
		}
	}
	for slot := 1; slot < delaySlots; slot++ {
		if slotEnd(slot) <= slotEnd(slot-1) {
			t.Errorf("slot %d ends at %d, the one before at %d", slot, slotEnd(slot), slotEnd(slot-1))
		}
	}
	if delaySlot(0) != 0 || delaySlot(1<<62) != delaySlots-1 {
		t.Error("the first and the last slot")
	}
}

// Percentiles are those of the delays, as exactly as slots are.
func TestDelayCell(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	var all delayCell
	var parts [3]delayCell
	var list []int64
	for range 5000 {
		ns := int64(1000) << rng.IntN(24)
		list = append(list, ns)
		all.add(ns)
		parts[rng.IntN(3)].add(ns)
	}
	var sum delayCell
	for i := range parts {
		sum.merge(&parts[i])
	}
	if sum.n != all.n || sum.most != all.most || sum.soon != all.soon || *sum.slow != *all.slow {
		t.Error("parts do not add up")
	}
	slices.Sort(list)
	for _, percent := range []uint64{50, 95, 100} {
		want, got := list[uint64(len(list)-1)*percent/100], all.within(percent)
		if got < want/2 || got > 2*want {
			t.Errorf("%d%% within %d, want %d", percent, got, want)
		}
	}
	if all.most != list[len(list)-1] || all.n != 5000 {
		t.Errorf("%d, the longest %d", all.n, all.most)
	}
}

// add counts one delay.
func (c *delayCell) add(ns int64) {
	c.n++
	c.most = max(c.most, ns)
	c.count(delaySlot(ns), 1)
}
