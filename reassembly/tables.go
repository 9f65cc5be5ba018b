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
	for _, t := range g.list {
		t.now = max(t.now, watermark)
		t.swept = max(t.swept, watermark)
		g.due = t.wheel.advance(t, watermark, g.due)
	}
	slices.SortFunc(g.due, func(a, b expiry) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id))
	})
	for i, d := range g.due {
		lookAhead(i, len(g.due), func(k int) (*Table, uint32) { return g.due[k].table, g.due[k].flow })
		d.table.finalise(d.flow, EndExpired, d.at)
	}
}

// What ends has lain untouched for minutes. So the memory of the flows that come
// next is fetched while one is judged: first the entry, then the log that it
// names.
const (
	farAhead  = 12
	nearAhead = 6
)

// lookAhead does so for the flows behind number i of n; at says where they lie.
func lookAhead(i, n int, at func(k int) (*Table, uint32)) {
	if k := i + farAhead; k < n {
		t, flow := at(k)
		t.approach(flow)
	}
	if k := i + nearAhead; k < n {
		t, flow := at(k)
		t.approachLog(flow)
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
	t.touched += e.key.ports + uint32(a.iss) + a.packets + uint32(b.iss) + b.packets + uint32(e.bits) // no further apart than lines of the cache
}

// approachLog is approach for the log of a flow that was approached.
func (t *Table) approachLog(i uint32) {
	if i&openingBit != 0 {
		return
	}
	if e := t.entries.get(i); e.logHead != 0 {
		b := t.blocks.get(e.logHead)
		t.touched += uint32(b.octets[0])
		if b.next != 0 {
			t.touched += t.blocks.get(b.next).next
		}
	}
}

// Finish says that the input ended at until: timers run up to then, and every
// flow is finalised, in order of (Final, ID). The tables hold no flow then, and are
// of no use afterwards.
func (g *Tables) Finish(until int64) {
	g.Sweep(until - 1)
	live := g.live()
	for i, h := range live {
		lookAhead(i, len(live), func(k int) (*Table, uint32) { return g.list[live[k].table], live[k].flow })
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
	for _, h := range g.live() {
		g.list[h.table].peek(h.flow, until, visit)
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
	slices.SortFunc(flows, func(a, b held) int { return cmp.Compare(a.id, b.id) })
	return flows
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
