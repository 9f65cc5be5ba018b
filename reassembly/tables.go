package reassembly

import (
	"cmp"
	"slices"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Tables are tables whose flows are judged together: what ends in one sweep
// comes in order of (Final, ID) over all of them, however often they are swept.
type Tables struct {
	list []*Table
	due  []expiry
	few  []held // that come next, for approach
}

// Together puts tables together, which then are swept and finished as one.
func Together(list ...*Table) *Tables { return &Tables{list: list} }

// held is a flow of one of the tables.
type held struct {
	id    tcp.PacketRef
	table uint32
	flow  uint32
}

// Sweep says that event time has reached watermark. Closed flows whose
// retention has ended by then are finalised, in order of (Final, ID). No flow
// that is finalised later has an earlier Final.
func (g *Tables) Sweep(watermark int64) {
	g.due = g.due[:0]
	for n, t := range g.list {
		t.now = max(t.now, watermark)
		t.swept = max(t.swept, watermark)
		from := len(g.due)
		g.due = t.wheel.advance(t, watermark, g.due)
		for i := from; i < len(g.due); i++ {
			g.due[i].table = uint32(n)
		}
	}
	slices.SortFunc(g.due, func(a, b expiry) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Compare(a.id, b.id)
	})
	for i := range g.due {
		if i%together == 0 {
			g.approachDue(g.due[i:min(i+together, len(g.due))])
		}
		d := &g.due[i]
		t := g.list[d.table]
		t.show(d.flow, EndExpired, d.at, t.done)
		t.remove(d.flow, d.hash, EndExpired)
	}
}

// What ends has lain untouched for minutes, and is not in the cache. So the memory
// of a few flows is fetched at the same time before they are judged: first the
// entries, then what those name.
const together = 8

// approach looks at where a few flows lie, without waiting for it.
func (g *Tables) approach(few []held) {
	for _, h := range few {
		g.list[h.table].approach(h.flow)
	}
	var next [together]uint32
	for k, h := range few {
		next[k] = g.list[h.table].approachLog(h.flow)
	}
	for k, h := range few {
		t := g.list[h.table]
		t.approachBlock(next[k])
		t.approachSides(h.flow)
	}
}

// approachDue is approach for flows that are about to be removed: it also looks at
// where they stand in the index and the tally.
func (g *Tables) approachDue(due []expiry) {
	g.few = g.few[:0]
	for i := range due {
		g.few = append(g.few, due[i].held)
	}
	g.approach(g.few)
	for i := range due {
		d := &due[i]
		t := g.list[d.table]
		d.hash = t.hashOf(d.flow)
		t.touched += uint32(t.index.home(d.hash)) + uint32(t.tally.young.home(d.hash))
	}
}

// approach looks at all of where a flow lies, without waiting for it.
func (t *Table) approach(i uint32) {
	if i&openingBit != 0 {
		t.touched += uint32(t.openings.get(i &^ openingBit).seq)
		return
	}
	e := t.entries.get(i)
	a, b := &e.ends[0], &e.ends[1]
	t.touched += e.key.ports + uint32(a.timer) + a.packets + uint32(b.iss) + b.packets + uint32(e.bits) // no further apart than lines of the cache
}

// approachLog looks at what only some flows need of a flow that was approached, and
// at the first block of its log, and says which is the next; an ordinary flow has
// two.
func (t *Table) approachLog(i uint32) uint32 {
	if i&openingBit != 0 {
		return 0
	}
	e := t.entries.get(i)
	if e.extra != 0 {
		x := t.extras.get(e.extra)
		t.touched += uint32(x.spoken[0].at) + x.resets
	}
	return t.approachBlock(e.logHead)
}

// approachSides looks at what extra names of a flow whose log was approached.
func (t *Table) approachSides(i uint32) {
	if i&openingBit != 0 || t.entries.get(i).extra == 0 {
		return
	}
	x := t.extra(t.entries.get(i))
	for _, n := range x.sides {
		if n != 0 {
			d := t.sides.get(n)
			t.touched += d.retransmits + d.repeats + uint32(d.lastEarlyRepeat) + uint32(d.unseenAt)
		}
	}
	if x.resets != 0 {
		t.touched += t.resets.get(x.resets).suspicion
	}
}

// approachBlock looks at both ends of a block, if there is one, and says which is
// the next.
func (t *Table) approachBlock(i uint32) uint32 {
	if i == 0 {
		return 0
	}
	b := t.blocks.get(i)
	t.touched += uint32(b.octets[0]) + b.next
	return b.next
}

// Finish says that the input ended at until: timers run up to then, and every
// flow is finalised, in order of (Final, ID). The tables hold no flow then, and are
// of no use afterwards.
func (g *Tables) Finish(until int64) {
	g.Sweep(until - 1)
	live := g.live()
	for i, h := range live {
		if i%together == 0 {
			g.approach(live[i:min(i+together, len(live))])
		}
		t, why := g.list[h.table], EndInput
		if t.retired(h.flow, until) {
			why = EndExpired
		}
		t.show(h.flow, why, until, t.done)
	}
	for _, t := range g.list {
		t.drop()
	}
}

// Peek visits every flow, by ID, as if the input ended at until, and changes
// nothing.
func (g *Tables) Peek(until int64, visit func(*Flow)) {
	goesOn := func(f *Flow) {
		f.GoesOn = true
		visit(f)
	}
	for _, h := range g.live() {
		g.list[h.table].peek(h.flow, until, goesOn)
	}
}

// peek is show for a flow that goes on.
func (t *Table) peek(i uint32, until int64, visit func(*Flow)) {
	if i&openingBit != 0 {
		t.show(i, EndInput, until, visit)
		return
	}
	e := t.entries.get(i)
	was := *e
	t.show(i, EndInput, until, visit)
	*e = was
}

// Held is the number of flows in the tables.
func (g *Tables) Held() (n int) {
	for _, t := range g.list {
		n += t.index.count
	}
	return n
}

// live lists the flows by ID.
func (g *Tables) live() []held {
	flows := make([]held, 0, g.Held())
	for n, t := range g.list {
		for _, v := range t.index.slots {
			if v != 0 {
				i := uint32(v)
				flows = append(flows, held{t.firstRef(i), uint32(n), i})
			}
		}
	}
	return byID(flows)
}

// A digit of an ID is what byID sorts by at once.
const (
	digitBits = 11
	digits    = 1 << digitBits
)

// byID sorts flows by ID. It goes from the lowest digit up and leaves out those
// that are the same in all, so that a million flows are moved a few times and
// not twenty.
func byID(flows []held) []held {
	if len(flows) < digits {
		slices.SortFunc(flows, func(a, b held) int { return cmp.Compare(a.id, b.id) })
		return flows
	}
	var differ tcp.PacketRef
	for i := range flows {
		differ |= flows[i].id ^ flows[0].id
	}
	sorted := make([]held, len(flows))
	for low := 0; differ>>low != 0; low += digitBits {
		if differ>>low%digits != 0 {
			byDigit(sorted, flows, low)
			flows, sorted = sorted, flows
		}
	}
	return flows
}

// byDigit puts flows in the order of the digit from bit low on; where that is the
// same, the order remains.
func byDigit(sorted, flows []held, low int) {
	var places [digits]uint32
	for i := range flows {
		places[flows[i].id>>low%digits]++
	}
	place := uint32(0)
	for d, n := range places {
		places[d] = place
		place += n
	}
	for _, h := range flows {
		p := &places[h.id>>low%digits]
		sorted[*p] = h
		*p++
	}
}

// retired reports that the retention of a closed flow has ended.
func (t *Table) retired(i uint32, now int64) bool {
	if i&openingBit != 0 {
		return false
	}
	e := t.entries.get(i)
	return e.has(flowDone) && e.last()+t.retain <= now
}

// firstRef is the first packet of what an index names.
func (t *Table) firstRef(i uint32) tcp.PacketRef {
	if i&openingBit != 0 {
		return t.openings.get(i &^ openingBit).ref
	}
	return t.entries.get(i).firstRef
}
