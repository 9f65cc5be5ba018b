package diagnose

import (
	"math"

	"github.com/lastack/lastack/reassembly"
)

// portion is what nearly all flows show, of one service and one slot of time,
// and what is not in the cells of the collectors yet. Three collectors would look
// up a cell each for every flow; a portion lies in two lines of the processor's
// cache.
type portion struct {
	service  [16]byte
	answered uint64   // moments of SYN-ACKs, as of a queueCell
	served   uint64   // and of third segments
	longest  [2]int64 // of the delays of either side, ns
	tag      uint32
	slot     int32 // of time, in queueSlot
	port     uint16
	opened   uint8 // handshakes
	delays   uint8 // how many of soon there are
	ttls     uint8 // flows in which the server's time to live was seen, up to distanceFlows,
	lowest   uint8 // the lowest of those
	highest  uint8 // and the highest
	// soon are the slots of delays with which FINs were answered, and byClient
	// where the client did.
	soon [65]uint8
}

// byClient marks a delay of the client. Slots are lower.
const byClient = 1 << 7

// portionsKept is how many services have a portion at most, for each judge.
const portionsKept = 2048

// gatherer is a collector that flows add to in portions.
type gatherer interface {
	// gather takes what the portion of a service holds, whose hosts add that to
	// the hash. Where letGo is false, it lets nothing go for that.
	gather(k place, hosts uint64, x *portion, letGo bool)
}

// of reports that it is the portion of a service.
func (x *portion) of(k *place) bool {
	return x.port == k.port && x.service == k.service && x.tag == k.tag
}

// covers reports that a time is of the portion's slot.
func (x *portion) covers(at int64) bool { return int32(at/queueSlot) == x.slot }

// full reports that there is no room for another flow.
func (x *portion) full() bool { return int(x.delays) == len(x.soon) || x.opened == math.MaxUint8 }

// answer notes the delay with which a side answered a FIN.
func (x *portion) answer(side part, ns int64) {
	slot := uint8(delaySlot(ns))
	if side == clientRole {
		slot |= byClient
	}
	x.soon[x.delays] = slot
	x.delays++
	longest := &x.longest[slot/byClient]
	*longest = max(*longest, ns)
}

// distance notes the time to live of a flow's server.
func (x *portion) distance(ttl uint8) {
	if x.ttls == 0 {
		x.lowest, x.highest = ttl, ttl
	}
	x.lowest, x.highest = min(x.lowest, ttl), max(x.highest, ttl)
	x.ttls = min(x.ttls+1, distanceFlows)
}

// portionOf is the portion for a flow, whose slot is that of the latest flow of
// the service. Each service may have one of two: where both are others', the older
// gives way.
func (p *Patterns) portionOf(c *Context, f *reassembly.Flow) *portion {
	if p.portions == nil {
		p.portions = make([]portion, portionsKept)
	}
	k := &c.service
	i := k.hashOn(c.serviceHosts) % (portionsKept / 2) * 2
	x := &p.portions[i]
	if other := &p.portions[i+1]; !x.of(k) && (other.of(k) || other.slot < x.slot) {
		x = other
	}
	switch slot := int32(f.Start / queueSlot); {
	case !x.of(k) || x.full():
		p.give(x, true)
		*x = portion{service: k.service, port: k.port, tag: k.tag, slot: slot}
	case slot > x.slot:
		delays := x.delays // which go on
		x.delays = 0
		p.give(x, true)
		x.slot, x.answered, x.served, x.opened, x.delays, x.ttls = slot, 0, 0, 0, delays, 0
	}
	return x
}

// give hands a portion to the collectors.
func (p *Patterns) give(x *portion, letGo bool) {
	k := place{service: x.service, port: x.port, tag: x.tag, slot: int64(x.slot)}
	hosts := k.hosts()
	for _, g := range p.gathering {
		g.gather(k, hosts, x, letGo)
	}
}

// giveAll hands all portions of o to the collectors of p.
func (p *Patterns) giveAll(o *Patterns) {
	for i := range o.portions {
		p.give(&o.portions[i], false)
	}
}
