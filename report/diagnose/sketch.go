package diagnose

import (
	"cmp"
	"slices"

	"github.com/lastack/lastack/reassembly/tcp"
)

// cell is what a sketch keeps for a place.
type cell[C any] interface {
	*C
	weight() uint64 // how many flows it stands for
	merge(o *C)
	reset() // to the zero value, keeping memory for the next place
}

// sketchPlaces bounds the places of one sketch.
const sketchPlaces = 1024

// sketch is a bounded table of cells. When it is full it lets the lighter half
// go, so that a scan over many places cannot displace a busy one. The zero
// value is empty.
//
// Every flow meets several sketches, so they are tables of their own and no
// maps: open addressing over numbers of cells, which lie beside their places in
// order of arrival. What at and its kin return is valid until the next place is
// added to the same sketch.
type sketch[C any, P cell[C]] struct {
	spots []spot[C]
	slots []uint32 // the upper bits of a hash, and a spot's number from 1
	// weights and equal are of prune, kept for their memory. The former are those
	// of the spots.
	weights []uint64
	equal   []place
}

// slotSpots are the bits of a slot for the number of a spot: also all judges'
// places together have not so many.
const slotSpots = 1<<20 - 1

// spot is a place with its cell.
type spot[C any] struct {
	key  place
	cell C
}

// len is how many places there are.
func (s *sketch[C, P]) len() int { return len(s.spots) }

// find is the slot of a place, and the number of its spot; -1 when it has none,
// and then the slot is the one to put it into. There must be slots.
func (s *sketch[C, P]) find(k *place, hash uint64) (slot uint64, n int) {
	mask, upper := uint64(len(s.slots)-1), uint32(hash>>32)&^slotSpots
	for i := hash & mask; ; i = (i + 1) & mask {
		v := s.slots[i]
		if v == 0 {
			return i, -1
		}
		if n := int(v&slotSpots) - 1; v&^slotSpots == upper && s.spots[n].key == *k {
			return i, n
		}
	}
}

// get is the cell of a place, nil if there is none.
func (s *sketch[C, P]) get(k place) P { return s.seek(&k, k.hash()) }

func (s *sketch[C, P]) seek(k *place, hash uint64) P {
	if len(s.slots) > 0 {
		if _, n := s.find(k, hash); n >= 0 {
			return &s.spots[n].cell
		}
	}
	return nil
}

// at is the cell of a place, made if there is none yet.
func (s *sketch[C, P]) at(k place) P { return s.cell(&k, k.hash(), true) }

// on is the same, where it is known what the hosts add to the hash.
func (s *sketch[C, P]) on(k *place, hosts uint64) P { return s.cell(k, k.hashOn(hosts), true) }

// cell is the same, and lets others go for it only where it may.
func (s *sketch[C, P]) cell(k *place, hash uint64, letGo bool) P {
	if c := s.seek(k, hash); c != nil {
		return c
	}
	if letGo && len(s.spots) >= sketchPlaces {
		s.prune()
	}
	return s.make(k, hash)
}

// put makes the cell of a place that has none.
func (s *sketch[C, P]) put(k place) P { return s.make(&k, k.hash()) }

// make adds a place. A cell that was let go lies behind the others, with the
// memory that it had.
func (s *sketch[C, P]) make(k *place, hash uint64) P {
	n := len(s.spots)
	if n == cap(s.spots) {
		s.spots = slices.Grow(s.spots, max(n, 1)) // append would copy more often, and leave more behind
	}
	s.spots = s.spots[:n+1]
	s.spots[n].key = *k
	if 2*len(s.spots) > len(s.slots) {
		s.slots = make([]uint32, max(8, 2*len(s.slots)))
		s.refill()
	} else {
		s.fill(k, hash, n)
	}
	return &s.spots[n].cell
}

// refill lets the slots, which are free, point to all spots.
func (s *sketch[C, P]) refill() {
	for i := range s.spots {
		k := &s.spots[i].key
		s.fill(k, k.hash(), i)
	}
}

// fill lets a free slot point to spot i.
func (s *sketch[C, P]) fill(k *place, hash uint64, i int) {
	slot, _ := s.find(k, hash)
	s.slots[slot] = uint32(hash>>32)&^slotSpots | uint32(i+1)
}

// prune lets the lighter half go; of those that weigh the same the first in
// order stay. Of those that stand for a single flow none does: in a scan all
// are such, and need no order.
func (s *sketch[C, P]) prune() {
	s.weights = s.weights[:0]
	for i := range s.spots {
		s.weights = append(s.weights, P(&s.spots[i].cell).weight())
	}
	equal, least, drop := s.equal[:0], middle(s.weights), len(s.weights)/2
	for i, w := range s.weights {
		switch {
		case w < least, w <= 1:
			drop--
		case w == least:
			equal = append(equal, s.spots[i].key)
		}
	}
	var last place // the first in order of those that weigh least and go, if any do
	if drop > 0 {
		slices.SortFunc(equal, place.compare)
		last = equal[len(equal)-drop]
	}
	s.equal = equal
	s.keep(func(k *place, w uint64) bool {
		return w > max(least, 1) || w == least && w > 1 && (drop <= 0 || k.compare(last) < 0)
	})
}

// middle is what half of some weights do not exceed. Most are small.
func middle(weights []uint64) uint64 {
	var n [256]int // of those
	for _, w := range weights {
		n[min(w, uint64(len(n)-1))]++
	}
	rank := len(weights) / 2
	for w := range n[:len(n)-1] {
		if rank < n[w] {
			return uint64(w)
		}
		rank -= n[w]
	}
	sorted := slices.Sorted(slices.Values(weights))
	return sorted[len(sorted)/2]
}

// keep lets go what stays is false of.
func (s *sketch[C, P]) keep(stays func(k *place, weight uint64) bool) {
	kept := 0
	for i, w := range s.weights {
		x := &s.spots[i]
		if !stays(&x.key, w) {
			P(&x.cell).reset()
			continue
		}
		if kept != i {
			s.spots[kept], s.spots[i] = s.spots[i], s.spots[kept]
		}
		kept++
	}
	s.spots = s.spots[:kept]
	clear(s.slots)
	s.refill()
}

// merge adds the cells of another sketch. It lets nothing go: a merged sketch
// is as large as all judges' together.
func (s *sketch[C, P]) merge(o *sketch[C, P]) {
	if len(s.spots) == 0 {
		s.spots = slices.Grow(s.spots, len(o.spots))
	}
	for i := range o.spots {
		k := &o.spots[i].key
		hash := k.hash()
		mine := s.seek(k, hash)
		if mine == nil {
			mine = s.make(k, hash)
		}
		mine.merge(&o.spots[i].cell)
	}
}

// places lists the places in order.
func (s *sketch[C, P]) places() []place {
	list := make([]place, len(s.spots))
	for i := range s.spots {
		list[i] = s.spots[i].key
	}
	slices.SortFunc(list, place.compare)
	return list
}

// sighting is a flow that shows a pattern, and the packets that prove it.
type sighting struct {
	flow     tcp.PacketRef
	at       int64 // of the packet that shows it
	ref      tcp.PacketRef
	since    int64 // of the packet before, if it takes two
	sinceRef tcp.PacketRef
	side     part // of ref
	sinceBy  part
}

func (x sighting) compare(y sighting) int {
	return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.flow, y.flow))
}

// Flows that a finding names, and those whose packets are its evidence.
const (
	flowsNamed = 20
	flowsShown = 3
)

// sightings are the first flowsNamed, by time.
type sightings []sighting

func (s *sightings) add(x sighting) {
	n := len(*s)
	switch {
	case n == 0:
		*s = append(*s, x) // more often than not the only one
		return
	case (*s)[n-1].compare(x) >= 0:
	case n == flowsNamed:
		return
	default: // most come in order
		if n == cap(*s) {
			*s = slices.Grow(*s, min(5*n, flowsNamed)-n)
		}
		*s = append(*s, x)
		return
	}
	i, _ := slices.BinarySearchFunc(*s, x, sighting.compare)
	*s = slices.Insert((*s)[:min(n, flowsNamed-1)], i, x) // the last makes room
}

func (s *sightings) merge(o sightings) {
	for _, x := range o {
		s.add(x)
	}
}

// newPattern begins a finding over flows: those named, and the packets of the
// first of them in evidence; words say what the packets of a flow show.
func newPattern(p place, who Party, sure Confidence, flows uint64, seen sightings, words func(sighting) (before, what string)) Finding {
	d := Finding{Who: who, Confidence: sure, Service: p.addr(), Client: p.client(), FlowCount: flows, Wireshark: p.filter()}
	var list []Evidence
	for i, x := range seen {
		d.Flows = append(d.Flows, x.flow)
		if i >= flowsShown {
			continue
		}
		before, what := words(x)
		list = append(list, Evidence{Ref: x.sinceRef, At: x.since, Side: tcp.Side(x.sinceBy), What: before},
			Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(x.side), What: what})
	}
	d.prove(list...)
	return d
}

// flowCell counts flows and keeps the first of them.
type flowCell struct {
	n        uint64
	min, max int64 // times at which they showed it
	seen     sightings
}

func (c *flowCell) add(x sighting) {
	if c.n == 0 || x.at < c.min {
		c.min = x.at
	}
	if c.n == 0 || x.at > c.max {
		c.max = x.at
	}
	c.n++
	c.seen.add(x)
}

func (c *flowCell) weight() uint64 { return c.n }

func (c *flowCell) merge(o *flowCell) {
	switch {
	case o.n == 0:
		return
	case c.n == 0:
		c.min, c.max = o.min, o.max
	}
	c.min, c.max = min(c.min, o.min), max(c.max, o.max)
	c.n += o.n
	c.seen.merge(o.seen)
}

func (c *flowCell) reset() { *c = flowCell{seen: c.seen[:0]} }

// total is a cell that only counts.
type total struct{ n uint64 }

func (c *total) weight() uint64 { return c.n }
func (c *total) merge(o *total) { c.n += o.n }
func (c *total) reset()         { c.n = 0 }
