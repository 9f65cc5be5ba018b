package reassembly

import (
	"cmp"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Table holds the flows of one partition. It belongs to one goroutine.
type Table struct {
	opts   Options
	done   func(*Flow)
	now    int64 // the watermark: the latest capture time, which never goes back
	swept  int64 // the watermark of the last sweep
	retain int64 // how long a closed flow is kept after its last packet, ns

	index   index
	tally   tally
	copies  copies
	entries slab[entry]
	extras  slab[extra]
	blocks  slab[block]
	pending map[uint32][]tcp.Segment // SYNs held until they are answered, by entry
	wheel   wheel
	hand    uint32   // where the search for a victim goes on
	heir    Previous // of the connection that gives way to the next one created
	view    view
	scratch []record
	n       Counters
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
	t := &Table{opts: o, done: done, pending: map[uint32][]tcp.Segment{}}
	t.retain = max(int64(o.Profile.TwoMSL), retention)
	t.tally.limit = 4*o.MaxFlows + 1<<16
	t.wheel.init(t.retain)
	return t
}

// Counters are the sums so far.
func (t *Table) Counters() Counters { return t.n }

// Held is the number of flows in the table.
func (t *Table) Held() int { return t.index.count }

// Step takes the next segment, or the TCP header that an ICMP error quotes, in
// capture order.
func (t *Table) Step(s *tcp.Segment) {
	t.now = max(t.now, s.At)
	hash := s.Tuple.Hash(t.opts.Seed)
	i := t.find(hash, &s.Tuple)
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
		i = t.incarnation(i, hash, s)
	}
	if i == 0 {
		i = t.create(hash, s)
	}
	t.apply(i, s, isCopy)
}

func (t *Table) find(hash uint64, key *tcp.Tuple) uint32 {
	return t.index.find(hash, func(i uint32) bool { return t.entries.get(i).key == *key })
}

// create begins a flow with segment s.
func (t *Table) create(hash uint64, s *tcp.Segment) uint32 {
	if t.index.count >= t.opts.MaxFlows {
		t.evict()
	}
	i := t.entries.alloc()
	e := t.entries.get(i)
	*e = entry{key: s.Tuple, first: s.At, firstRef: s.Ref, from: s.From, gen: e.gen + 1}
	e.ends[0].state, e.ends[1].state = fsm.Closed, fsm.Closed
	e.incarnation = t.tally.next(hash)
	if e.incarnation > 1 && s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN {
		e.compat.Reused()
	}
	t.index.insert(hash, i)
	t.n.Flows++
	if t.heir.ID != 0 {
		t.extra(e).prev = t.heir
		t.heir = Previous{}
	}
	return i
}

// remove frees an entry and what belongs to it.
func (t *Table) remove(i uint32) {
	e := t.entries.get(i)
	t.index.remove(e.key.Hash(t.opts.Seed), i)
	t.freeLog(e)
	if e.extra != 0 {
		t.extras.release(e.extra)
	}
	if e.has(flowPending) {
		delete(t.pending, i)
	}
	e.incarnation = 0 // free
	t.entries.release(i)
}

// extra is the side table's record of e, made when first needed.
func (t *Table) extra(e *entry) *extra {
	if e.extra == 0 {
		e.extra = t.extras.alloc()
		*t.extras.get(e.extra) = extra{}
	}
	return t.extras.get(e.extra)
}

// finalise judges a flow as it stands at event time at, and forgets it.
func (t *Table) finalise(i uint32, why Ending, at int64) {
	t.done(t.view.fill(t, t.entries.get(i), why, at))
	t.remove(i)
}

// Sweep says that event time has reached watermark. Closed flows whose
// retention has ended by then are finalised, in order of (Final, ID). No flow
// that is finalised later has an earlier Final.
func (t *Table) Sweep(watermark int64) {
	t.now = max(t.now, watermark)
	t.swept = t.now
	t.wheel.advance(t, t.now)
}

// Finish says that the input ended at until: timers run up to then, and every
// flow is finalised, those whose retention had ended first, the rest by ID.
func (t *Table) Finish(until int64) {
	t.Sweep(until)
	for _, i := range t.live() {
		t.finalise(i, EndInput, until)
	}
}

// Peek visits every flow as if the input ended at until, and changes nothing.
func (t *Table) Peek(until int64, visit func(*Flow)) {
	for _, i := range t.live() {
		e := t.entries.get(i)
		visit(t.view.fill(t, e, EndInput, until))
	}
}

// live lists the entries in use, by ID.
func (t *Table) live() []uint32 {
	list := make([]uint32, 0, t.index.count)
	for _, v := range t.index.slots {
		if v != 0 {
			list = append(list, uint32(v))
		}
	}
	slices.SortFunc(list, func(a, b uint32) int {
		return cmp.Compare(t.entries.get(a).firstRef, t.entries.get(b).firstRef)
	})
	return list
}

// evict makes room: of a few neighbours it takes the one that matters least, a
// closed one before a live one, then the longest quiet one.
func (t *Table) evict() {
	const neighbours = 16
	var victim uint32
	var worst int64
	seen := 0
	for tries := uint32(0); tries < t.entries.next && seen < neighbours; tries++ {
		t.hand = t.hand%t.entries.next + 1
		e := t.entries.get(t.hand)
		if e.incarnation == 0 {
			continue
		}
		seen++
		rank := e.last()
		if e.has(flowDone) {
			rank -= 1 << 62
		}
		if victim == 0 || rank < worst {
			victim, worst = t.hand, rank
		}
	}
	t.n.Evicted++
	t.finalise(victim, EndEvicted, t.now)
}
