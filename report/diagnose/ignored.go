package diagnose

import (
	"math/bits"

	"github.com/lastack/lastack/reassembly"
)

// slotIgnored is the slot of a finding that a client was ignored by its server, where
// other flows may tell that the path lost what it sent; see Settle.
const slotIgnored = 1

// stallLeast is how long payload is repeated in vain where the path is down, or the
// host, and did not merely lose a segment twice, ns.
const stallLeast = 1e9

// stallCell is the moments of queueSlot at which clients of a host that had answered
// them before got no answer: whoever accepts, its kernel would have acknowledged.
type stallCell struct{ moments uint64 }

func (c *stallCell) weight() uint64     { return uint64(bits.OnesCount64(c.moments)) }
func (c *stallCell) merge(o *stallCell) { c.moments |= o.moments }
func (c *stallCell) reset()             { *c = stallCell{} }

// stalled notes when what the client sent was not acknowledged any more.
func (s *fullQueues) stalled(f *reassembly.Flow) {
	d := f.Endpoint(f.Client)
	from, until := d.StalledAt, d.StalledUntil
	if until != 0 && d.Repeats > 0 && d.RepeatAt == until {
		until = f.Until // it is stalled still
	}
	if until-from < stallLeast || f.Quality&(reassembly.QualityOneWay|reassembly.QualityClockStep) != 0 {
		return
	}
	k := place{service: addressOf(f, f.Server())}
	hosts := k.hosts()
	eachSlot(from, until, func(slot int64, moments uint64) {
		k.slot = slot
		s.stalls.on(&k, hosts).moments |= moments
	})
}

// ignored notes when the client was ignored, where other flows may tell why: to the
// middle of its repetitions. Their timer doubles, so that about then the last passed
// that was not answered.
func (s *fullQueues) ignored(c *Context, f *reassembly.Flow) {
	if d := c.has("accept-queue-overflow"); d == nil || d.Slot != slotIgnored {
		return
	}
	d, until := f.Endpoint(f.Client), f.Handshake.ACK
	if d.EarlyRepeats > 0 {
		until = d.FirstData/2 + d.LastEarlyRepeat/2
	}
	if m := lastMark(f, f.Server(), reassembly.SYNACKAgain); m != nil {
		until = max(until, m.At)
	}
	k := c.service
	eachSlot(f.Handshake.ACK, until, func(slot int64, moments uint64) {
		k.slot = slot
		s.cells.on(&k, c.serviceHosts).ignored |= moments
	})
}

// eachSlot calls with the slots that a time lies in, and with its moments in each.
func eachSlot(from, until int64, do func(slot int64, moments uint64)) {
	const most = 16 // slots, over 4 minutes
	first, last := from/queueMoment, until/queueMoment
	for slot := first / 64; slot <= last/64 && slot < first/64+most; slot++ {
		lo, hi := max(first-slot*64, 0), min(last-slot*64, 63)
		do(slot, ^uint64(0)<<lo&(^uint64(0)>>(63-hi)))
	}
}

// settleIgnored lowers what ignored clients tell of a service, if for most of that
// time others got no answer from its host either, which had answered them before.
// All of the service's findings are told alike.
func (p *Patterns) settleIgnored(d *Finding) bool {
	for _, col := range p.whole().collectors {
		if s, ok := col.(*fullQueues); ok && s.outage(d) {
			d.Who, d.Confidence = Path, max(d.Confidence, Possible)
			d.adds("; other connections to that host, which it had answered before, stalled in the same time, so that rather the path was down, or the host")
			return true
		}
	}
	return false
}

// outage reports that a service's host was not heard on other connections for half
// the time, or more, in which its clients were ignored.
func (s *fullQueues) outage(d *Finding) bool {
	ignored, both := 0, 0
	at := place{service: d.Service.Addr().As16(), port: d.Service.Port()}
	for i := range s.cells.spots {
		x := &s.cells.spots[i]
		if x.cell.ignored == 0 || x.key.service != at.service || x.key.port != at.port {
			continue
		}
		ignored += bits.OnesCount64(x.cell.ignored)
		if c := s.stalls.get(place{service: at.service, slot: x.key.slot}); c != nil {
			both += bits.OnesCount64(x.cell.ignored & c.moments)
		}
	}
	return both > 0 && 2*both >= ignored
}
