package reassembly

import (
	"slices"

	"github.com/lastack/lastack/reassembly/tcp"
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
}

// expiry is a flow whose retention has ended.
type expiry struct {
	at    int64
	id    tcp.PacketRef
	table *Table
	flow  uint32
}

const second = 1e9

func newWheel(retain int64) wheel { return wheel{buckets: make([][]waiting, retain/second+3)} }

func floorSecond(at int64) int64 {
	q := at / second
	if at%second < 0 {
		q--
	}
	return q
}

func (w *wheel) bucket(sec int64) *[]waiting {
	n := int64(len(w.buckets))
	return &w.buckets[(sec%n+n)%n]
}

// add lets an entry wait for the end of its retention.
func (w *wheel) add(i uint32, e *entry, retain int64) {
	e.bits |= flowInWheel
	sec := floorSecond(e.last() + retain)
	if w.started {
		// A clock that stepped back must not put an entry behind the hand.
		sec = max(sec, w.next)
		sec = min(sec, w.next+int64(len(w.buckets))-1)
	}
	b := w.bucket(sec)
	*b = append(*b, waiting{i, e.gen})
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
	if w.started {
		first = max(w.next, first)
	}
	w.started, w.next = true, max(w.next, now)
	for sec := first; sec <= now; sec++ {
		due = w.collect(t, sec, watermark, due)
	}
	return due
}

// collect empties one bucket: what is due is appended to due, what lived on
// meanwhile waits again.
func (w *wheel) collect(t *Table, sec, watermark int64, due []expiry) []expiry {
	b := w.bucket(sec)
	list := *b
	*b = list[:0]
	w.slots -= len(list)
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
			due = append(due, expiry{at, e.firstRef, t, q.entry})
			continue
		}
		// Appending to the bucket that is being read is safe: it never holds
		// more than was read of it.
		w.add(q.entry, e, t.retain)
	}
	return due
}
