package diagnose

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	// Delays are counted in four slots for each doubling, from 1 us to 2^36 of
	// them (19 h).
	delaySlots = 36 * 4
	// usualAnswers is how many answers tell what is usual.
	usualAnswers = 20
	// lateShare is how many times the median a late answer takes.
	lateShare = 10
)

// delaySlot is the slot of a delay in ns.
func delaySlot(ns int64) int {
	us := uint64(max(ns, 1000)) / 1000
	octave := bits.Len64(us) - 1
	quarter := int(us << 2 >> octave & 3)
	return min(octave*4+quarter, delaySlots-1)
}

// slotEnd is the shortest delay, in ns, that no longer falls into a slot.
func slotEnd(slot int) int64 {
	slot++
	return int64((4+uint64(slot&3))<<(slot/4)) * 1000 / 4
}

// answers counts how soon the sides of services answer FINs.
type answers struct {
	cells sketch[delayCell, *delayCell]
}

// delayCell is a distribution of delays.
type delayCell struct {
	n     uint64
	most  int64 // ns
	slots [delaySlots]uint32
}

func (c *delayCell) weight() uint64 { return c.n }

func (c *delayCell) merge(o *delayCell) {
	c.n += o.n
	c.most = max(c.most, o.most)
	for i, n := range o.slots {
		c.slots[i] = addCapped(c.slots[i], n)
	}
}

func (c *delayCell) reset() { *c = delayCell{} }

func (c *delayCell) add(ns int64) {
	c.n++
	c.most = max(c.most, ns)
	c.slots[delaySlot(ns)] = addCapped(c.slots[delaySlot(ns)], 1)
}

func addCapped(a, b uint32) uint32 { return uint32(min(uint64(a)+uint64(b), math.MaxUint32)) }

// within is a delay that so many percent of all do not exceed: the end of the
// slot in which they are reached, or the longest of all.
func (c *delayCell) within(percent uint64) int64 {
	total := uint64(0)
	for _, n := range c.slots {
		total += uint64(n)
	}
	sum := uint64(0)
	for i, n := range c.slots {
		if sum += uint64(n); sum*100 >= total*percent {
			return min(slotEnd(i), c.most)
		}
	}
	return c.most
}

// Add counts the answer to the first FIN.
func (s *answers) Add(_ *Context, f *reassembly.Flow) {
	var closer tcp.Side
	switch f.ActiveCloser {
	case reassembly.CloserClient:
		closer = f.Client
	case reassembly.CloserServer:
		closer = f.Server()
	default:
		return
	}
	if f.Quality&(reassembly.QualityFiltered|reassembly.QualityClockStep) != 0 {
		return
	}
	if since, _, ok := answerDue(f, closer); ok {
		k := serviceOf(f)
		k.side = roleSide(f, closer.Other())
		s.cells.at(k).add(max(0, f.Endpoint(closer.Other()).FINAt-since))
	}
}

// Merge adds another collector's counts.
func (s *answers) Merge(o Collector) { s.cells.merge(&o.(*answers).cells) }

// Findings finds nothing: Delays tells which findings on single flows stand.
func (s *answers) Findings(*Context, int64, func(Finding)) {}

// Delays is how soon one side of a service answered the FINs of the other.
type Delays struct {
	Rule    string // whose findings they put into proportion
	Who     Party
	Service netip.AddrPort
	N       uint64
	// Half of all took at most P50, 95 of 100 at most P95; the longest took Max.
	P50, P95, Max int64 // ns
}

// Stands reports whether a finding of the rule is out of proportion: more than
// ten times the median, as exactly as slots tell.
func (d *Delays) Stands(slot int) bool { return slot > delaySlot(lateShare*d.P50) }

// String is a sentence without its end: "of 40 answers half came within 12 ms".
func (d *Delays) String() string {
	return fmt.Sprintf("of %s answers half came within about %s, 95%% within %s, the last after %s",
		count(d.N), Span(d.P50), Span(d.P95), Span(d.Max))
}

// Delays lists the services of which enough is known to tell what is usual.
func (p *Patterns) Delays() (out []Delays) {
	for i, col := range p.collectors {
		s, ok := col.(*answers)
		if !ok {
			continue
		}
		sums := map[place]*delayCell{} // over vantage points
		var order []place
		for _, k := range s.cells.places() {
			whole := k
			whole.tag = 0
			if sums[whole] == nil {
				sums[whole], order = new(delayCell), append(order, whole)
			}
			sums[whole].merge(s.cells.get(k))
		}
		for _, k := range order {
			c := sums[k]
			if c.n < usualAnswers {
				continue
			}
			d := Delays{Rule: p.rules[i].ID, Who: ServerApp, Service: k.addr(), N: c.n,
				P50: c.within(50), P95: c.within(95), Max: c.most}
			if k.side == clientRole {
				d.Who = ClientApp
			}
			out = append(out, d)
		}
	}
	return out
}
