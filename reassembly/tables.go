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
	for _, d := range g.due {
		d.table.finalise(d.flow, EndExpired, d.at)
	}
}

// Finish says that the input ended at until: timers run up to then, and every
// flow is finalised, in order of (Final, ID). The tables are empty then.
func (g *Tables) Finish(until int64) {
	g.Sweep(until - 1)
	for _, h := range g.live() {
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
		g.list[h.table].show(h.flow, EndInput, until, visit)
	}
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
