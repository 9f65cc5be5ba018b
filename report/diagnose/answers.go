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
	// Delays are counted in one slot for each doubling from 1 us on, and in two
	// from 2^coarse us (65 ms) on, to 2^36 us (19 h).
	coarse     = 16
	delaySlots = coarse + 2*(36-coarse)
	// usualAnswers is how many answers tell what is usual.
	usualAnswers = 20
	// lateShare is how many times the median a late answer takes.
	lateShare = 10
)

// delaySlot is the slot of a delay in ns.
func delaySlot(ns int64) int {
	us := uint64(max(ns, 1000)) / 1000
	octave := bits.Len64(us) - 1
	if octave < coarse {
		return octave
	}
	return min(coarse+2*(octave-coarse)+int(us>>(octave-1)&1), delaySlots-1)
}

// slotEnd is the shortest delay, in ns, that no longer falls into a slot.
func slotEnd(slot int) int64 {
	if slot < coarse {
		return 2000 << slot
	}
	n := slot - coarse + 1
	return int64(2+n&1) << (coarse + n/2 - 1) * 1000
}

// answers counts how soon the sides of services answer FINs.
type answers struct {
	cells sketch[delayCell, *delayCell]
}

// delayCell is a distribution of delays. Most services answer soon and have none
// that is slow.
type delayCell struct {
	n    uint64
	most int64 // ns
	soon [coarse]uint32
	slow *[delaySlots - coarse]uint32 // nil while there are none
}

func (c *delayCell) weight() uint64 { return c.n }

// slot is how many delays fall into a slot.
func (c *delayCell) slot(i int) uint64 {
	switch {
	case i < coarse:
		return uint64(c.soon[i])
	case c.slow == nil:
		return 0
	}
	return uint64(c.slow[i-coarse])
}

// count adds delays to a slot, up to what it holds.
func (c *delayCell) count(i int, n uint64) {
	if n == 0 {
		return
	}
	at := &c.soon[min(i, coarse-1)]
	if i >= coarse {
		if c.slow == nil {
			c.slow = new([delaySlots - coarse]uint32)
		}
		at = &c.slow[i-coarse]
	}
	*at = uint32(min(uint64(*at)+n, math.MaxUint32))
}

func (c *delayCell) merge(o *delayCell) {
	c.n += o.n
	c.most = max(c.most, o.most)
	for i := range delaySlots {
		c.count(i, o.slot(i))
	}
}

func (c *delayCell) reset() {
	slow := c.slow
	*c = delayCell{}
	if slow != nil {
		clear(slow[:])
		c.slow = slow
	}
}

// within is about the delay that so many percent of all do not exceed, as if
// those of a slot lay evenly in it.
func (c *delayCell) within(percent uint64) int64 {
	total := uint64(0)
	for i := range delaySlots {
		total += c.slot(i)
	}
	want, sum := (total*percent+99)/100, uint64(0)
	for i := range delaySlots {
		n := c.slot(i)
		if n > 0 && sum+n >= want {
			from, to := int64(0), min(slotEnd(i), c.most)
			if i > 0 {
				from = slotEnd(i - 1)
			}
			return from + int64(float64(to-from)*float64(want-sum)/float64(n))
		}
		sum += n
	}
	return c.most
}

// Add counts the answer to the first FIN.
func (s *answers) Add(c *Context, f *reassembly.Flow) {
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
		c.lately.answer(roleSide(f, closer.Other()), max(0, f.Endpoint(closer.Other()).FINAt-since))
	}
}

func (s *answers) gather(k place, hosts uint64, x *portion, letGo bool) {
	var c *delayCell
	k.slot, k.side = 0, 0
	for _, slot := range x.soon[:x.delays] {
		side := serverRole
		if slot&byClient != 0 {
			side = clientRole
		}
		if k.side != side {
			k.side = side
			c = s.cells.cell(&k, k.hashOn(hosts), letGo)
			c.most = max(c.most, x.longest[slot/byClient])
		}
		c.n++
		c.count(int(slot&^byClient), 1)
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
	return fmt.Sprintf("of %s answers half came within about %s, 95%% within about %s, the last after %s",
		count(d.N), Span(d.P50), Span(d.P95), Span(d.Max))
}

// Delays lists the services of which enough is known to tell what is usual.
func (p *Patterns) Delays() (out []Delays) {
	for i, col := range p.whole().collectors {
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
