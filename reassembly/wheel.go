package reassembly

import (
	"math"
	"slices"
)

// wheel holds the closed flows by the second in which their retention ends. A
// slot names an entry and its generation, so that an entry that was freed or
// used again is passed over instead of being unlinked.
type wheel struct {
	buckets [][]waiting
	next    int64 // the first second that has not been swept
	started bool
	slots   int // in use, those of entries that were freed meanwhile included
}

type waiting struct {
	entry uint32
	gen   uint16
	part  uint16 // of the second, rounded down: nothing is due before
}

// expiry is a flow whose retention has ended.
type expiry struct {
	at   int64
	hash uint64
	held
}

const (
	second   = 1e9
	partBits = 14 // of the nanoseconds in a part of a second
	lastPart = (second - 1) >> partBits
)

const _ = uint(math.MaxUint16 - lastPart) // else this does not compile

func newWheel(retain int64) wheel { return wheel{buckets: make([][]waiting, retain/second+3)} }

func floorSecond(at int64) int64 {
	q := at / second
	if at%second < 0 {
		q--
	}
	return q
}

// partOf is the part of its second in which an instant lies.
func partOf(at int64) uint16 { return uint16((at - floorSecond(at)*second) >> partBits) }

func (w *wheel) bucket(sec int64) *[]waiting {
	i := sec % int64(len(w.buckets))
	if i < 0 {
		i += int64(len(w.buckets))
	}
	return &w.buckets[i]
}

// add lets an entry wait for the end of its retention.
func (w *wheel) add(i uint32, e *entry, retain int64) {
	e.bits |= flowInWheel
	at := e.last() + retain
	sec := floorSecond(at)
	part := partOf(at)
	if w.started {
		// A clock that stepped back must not put an entry behind the hand.
		if to := min(max(sec, w.next), w.next+int64(len(w.buckets))-1); to != sec {
			sec, part = to, 0
		}
	}
	b := w.bucket(sec)
	*b = append(*b, waiting{i, e.gen, part})
	w.slots++
}

// crowded reports that most slots are of flows that are gone: evicted, or
// followed by another on their tuple.
func (w *wheel) crowded(held int) bool { return w.slots > 2*held+1024 }

// compact leaves out the slots of flows that are gone.
func (w *wheel) compact(t *Table) {
	w.slots = 0
	for i, b := range w.buckets {
		b = slices.DeleteFunc(b, func(q waiting) bool {
			e := t.entries.get(q.entry)
			return e.gen != q.gen || !e.has(flowInWheel)
		})
		if cap(b) > 2*len(b) {
			b = slices.Clone(b)
		}
		w.buckets[i] = b
		w.slots += len(b)
	}
}

// advance appends, in no order, every flow whose retention ends at watermark or
// before.
func (w *wheel) advance(t *Table, watermark int64, due []expiry) []expiry {
	now := floorSecond(watermark)
	first := now - int64(len(w.buckets)) + 1
	part := uint16(lastPart)
	if w.started && first <= w.next {
		// The bucket of the current second holds no other one's flows.
		first, part = w.next, partOf(watermark)
	}
	w.started, w.next = true, max(w.next, now)
	for sec := first; sec < now; sec++ {
		due = w.collect(t, w.ripe(t, sec, lastPart), watermark, due)
	}
	if first <= now {
		due = w.collect(t, w.ripe(t, now, part), watermark, due)
	}
	return due
}

// ripe takes out of a bucket what may be due in a part of its second, and looks
// at where it lies, without waiting for it. The list is valid until something was
// added for each of its slots.
func (w *wheel) ripe(t *Table, sec int64, part uint16) []waiting {
	b := w.bucket(sec)
	list, later := *b, 0
	for k, q := range list {
		if q.part > part {
			list[k], list[later] = list[later], q
			later++
			continue
		}
		t.approach(q.entry)
	}
	*b = list[:later]
	w.slots -= len(list) - later
	return list[later:]
}

// collect appends to due what is due of a list; what lived on meanwhile waits
// again.
func (w *wheel) collect(t *Table, list []waiting, watermark int64, due []expiry) []expiry {
	for _, q := range list {
		e := t.entries.get(q.entry)
		if e.gen != q.gen || !e.has(flowInWheel) {
			continue
		}
		if !e.has(flowDone) {
			e.bits &^= flowInWheel
			continue
		}
		if at := e.last() + t.retain; at <= watermark {
			e.bits &^= flowInWheel
			due = append(due, expiry{at: at, held: held{id: e.firstRef, flow: q.entry}})
			continue
		}
		// Appending to the bucket that list was taken from is safe: it never
		// holds more than was read of it.
		w.add(q.entry, e, t.retain)
	}
	return due
}
