package reassembly

import (
	"math"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Table holds the flows of one partition. It belongs to one goroutine.
type Table struct {
	opts   Options
	done   func(*Flow)
	now    int64 // the watermark: the latest capture time, which never goes back
	swept  int64 // the watermark of the last sweep
	retain int64 // how long a closed flow is kept after its last packet, ns

	index    index
	tally    tally
	copies   copies
	entries  slab[entry]
	openings slab[opening]
	wides    slab[addresses]
	blocks   slab[block]

	compats    slab[compat.State]
	extras     slab[extra]
	sides      slab[extraSide]
	holes      slab[[2]holes]
	resets     slab[resets]
	suspicions slab[suspicion]
	previouses slab[Previous]
	icmps      slab[icmpError]
	pending    map[uint32][]tcp.Segment // SYNs held until they are answered, by entry

	wheel   wheel
	hands   [2]uint32 // where the search for a victim goes on, in entries and in openings
	heir    heir      // of the connection that gives way to the next one created
	view    view
	aside   uint32 // an entry that is no flow's, to show openings in
	logged  logged
	scratch []record
	reader  reader
	touched uint32 // means nothing; it keeps the looks of Look and approach from being optimised away
	n       Counters

	whole     bool // for tests: every segment takes the whole path, and every flow an entry
	shortcuts int  // segments that took a short way
	turns     int  // of them, those that open and close
}

// heir is what the next incarnation of a four-tuple is to know.
type heir struct {
	Previous
	incarnation uint16
}

// retention is the least time that a closed flow is kept: the peer may repeat
// its FIN for about that long.
const retention = 120e9

// NewTable makes an empty table that calls done with each flow it finalises.
// The flow is valid only during the call.
func NewTable(o Options, done func(*Flow)) *Table {
	if o.Profile.Name == "" {
		o.Profile = Profiles()[0]
	}
	o.MaxFlows = max(o.MaxFlows, 1)
	t := &Table{opts: o, done: done}
	t.retain = max(int64(o.Profile.TwoMSL), retention)
	t.tally.limit = o.MaxFlows/2 + 1<<10
	t.pending = map[uint32][]tcp.Segment{}
	t.aside = t.entries.alloc()
	t.wheel = newWheel(t.retain)
	return t
}

// drop gives up all that a table holds but its counters, without a word on any
// flow. It is of no use afterwards.
func (t *Table) drop() { *t = Table{n: t.n, shortcuts: t.shortcuts, turns: t.turns} }

// Counters are the sums so far.
func (t *Table) Counters() Counters { return t.n }

// Held is the number of flows in the table.
func (t *Table) Held() int { return t.index.count }

// Look is what StepAt wants to know of a segment's tuple. It also looks at where
// the flow lies, without waiting for it: when that is not in the cache, the memory
// of several segments is fetched at the same time.
func (t *Table) Look(s *tcp.Segment) Spot {
	at := t.spot(&s.Tuple)
	if i := t.index.first(at.hash); i != 0 {
		t.approach(i)
	}
	return at
}

// Step takes the next segment, or the TCP header that an ICMP error quotes, in
// capture order.
func (t *Table) Step(s *tcp.Segment) {
	at := t.spot(&s.Tuple)
	t.StepAt(s, &at)
}

// StepAt is Step for a segment that Look was called with before.
func (t *Table) StepAt(s *tcp.Segment, at *Spot) {
	t.now = max(t.now, s.At)
	i := t.find(at, &s.Tuple)
	if i&openingBit != 0 {
		i = t.promote(i, at.hash)
	}
	if i != 0 {
		if e := t.entries.get(i); e.has(flowDone) && s.At > e.last()+t.retain {
			t.finalise(i, EndExpired, max(e.last()+t.retain, t.swept))
			i = 0
		}
	}
	if s.Kind == tcp.KindICMP {
		t.quote(i, s)
		return
	}
	t.n.Segments++
	isCopy := t.copies.seen(s)
	if i != 0 && !isCopy {
		if !t.whole && t.quick(i, t.entries.get(i), s) {
			t.shortcuts++
			return
		}
		i = t.incarnation(i, at, s)
	}
	if i == 0 {
		if i = t.create(at, s, isCopy); i&openingBit != 0 {
			return
		}
	}
	t.apply(i, s, isCopy)
}

// create begins a flow with segment s: an entry, to which s is still to be
// applied, or an opening, which is complete.
func (t *Table) create(at *Spot, s *tcp.Segment, isCopy bool) uint32 {
	if t.index.count >= t.opts.MaxFlows {
		t.evict()
	}
	t.n.Flows++
	incarnation := t.heir.incarnation
	if incarnation == 0 {
		incarnation = t.tally.used(at.hash)
	}
	incarnation = min(incarnation+1, tallyMax)
	if incarnation == 1 && !isCopy && opens(s) && !t.whole {
		i := t.holdOpening(s, t.newKey(at, &s.Tuple), at.wide)
		t.index.insert(at.hash, i)
		return i
	}
	i := t.entries.alloc()
	t.begin(i, s, t.newKey(at, &s.Tuple), at.wide, incarnation)
	t.index.insert(at.hash, i)
	if t.heir.incarnation != 0 {
		*made(&t.previouses, &t.extra(t.entries.get(i)).previous) = t.heir.Previous
		t.heir = heir{}
	}
	return i
}

// begin makes entry i that of a flow that begins with s.
func (t *Table) begin(i uint32, s *tcp.Segment, k key, wide bool, incarnation uint16) {
	e := t.entries.get(i)
	*e = entry{key: k, first: s.At, firstRef: s.Ref, from: s.From, incarnation: incarnation, gen: e.gen + 1}
	if wide {
		e.bits |= flowWide
	}
	e.ends[0].state, e.ends[1].state = fsm.Closed, fsm.Closed
	if t.opts.Compat {
		c := made(&t.compats, &e.compat)
		if incarnation > 1 && s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN {
			c.Reused()
		}
	}
	t.logged = logged{}
}

// remove frees a flow and what belongs to it. hash is hashOf.
func (t *Table) remove(i uint32, hash uint64, why Ending) {
	t.index.remove(hash, i)
	if k, wide := t.keyAt(i); wide {
		t.wides.release(k.a)
	}
	incarnation := uint16(1)
	if i&openingBit == 0 {
		incarnation = t.entries.get(i).incarnation
		t.freeEntry(i)
	} else {
		t.freeOpening(i)
	}
	if why == EndExpired || why == EndEvicted {
		t.tally.note(hash, incarnation)
	}
}

// freeEntry frees an entry and what belongs to it, but not its key.
func (t *Table) freeEntry(i uint32) {
	e := t.entries.get(i)
	if e.has(flowPending) {
		delete(t.pending, i)
	}
	t.clear(e)
	t.entries.release(i)
}

// clear frees what belongs to an entry. It waits in no wheel any more.
func (t *Table) clear(e *entry) {
	t.freeLog(e)
	t.freeExtra(e)
	e.incarnation, e.bits = 0, 0
}

// finalise judges a flow as it stands at event time at, and forgets it.
func (t *Table) finalise(i uint32, why Ending, at int64) {
	t.show(i, why, at, t.done)
	t.remove(i, t.hashOf(i), why)
}

// show lets visit see a flow as it stands at event time at.
func (t *Table) show(i uint32, why Ending, at int64, visit func(*Flow)) {
	if i&openingBit == 0 {
		visit(t.view.fill(t, t.entries.get(i), why, at))
		return
	}
	t.unfold(i, t.aside)
	e := t.entries.get(t.aside)
	visit(t.view.fill(t, e, why, at))
	t.clear(e)
}

// evict makes room: of a few neighbours it takes the one that matters least, a
// closed one before a live one, then the longest quiet one.
func (t *Table) evict() {
	v := t.victim(nearby)
	if v.flow == 0 {
		v = t.victim(math.MaxUint32) // there is one: the table is full
	}
	t.n.Evicted++
	t.finalise(v.flow, EndEvicted, t.now)
}

// victim looks for the flow that matters least, within so many places of each
// kind.
func (t *Table) victim(within uint32) (v victim) {
	v.seek(&t.hands[0], t.entries.next, within, 0, func(i uint32) (rank int64, used bool) {
		e := t.entries.get(i)
		rank = e.last()
		if e.has(flowDone) {
			rank -= 1 << 62
		}
		return rank, e.incarnation != 0
	})
	v.seek(&t.hands[1], t.openings.next, within, openingBit, func(i uint32) (rank int64, used bool) {
		o := t.openings.get(i)
		return o.at, o.from != 0
	})
	return v
}
