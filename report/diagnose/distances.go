package diagnose

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lastack/lastack/reassembly"
)

// distances are the times to live of the hosts of services. A device that sends
// an RST in the name of one stands nearer to the tap.
type distances struct {
	cells sketch[distance, *distance]
}

// distance is what the segments of a host show.
type distance struct {
	flows    uint64 // with segments other than RSTs, up to distanceFlows
	lo, hi   uint8  // the times to live of those
	refusals [4]uint64
}

// distanceFlows tell that the time to live of a host is constant.
const distanceFlows = 3

func (c *distance) weight() uint64 { return 1 + c.flows }

func (c *distance) merge(o *distance) {
	for i, m := range o.refusals {
		c.refusals[i] |= m
	}
	c.see(o.flows, o.lo, o.hi)
}

func (c *distance) reset() { *c = distance{} }

// see notes the bounds of the times to live of some flows.
func (c *distance) see(flows uint64, lo, hi uint8) {
	switch {
	case flows == 0:
		return
	case c.flows == 0:
		c.lo, c.hi = lo, hi
	}
	c.lo, c.hi = min(c.lo, lo), max(c.hi, hi)
	c.flows = min(c.flows+flows, distanceFlows)
}

// refuses reports that an RST with that time to live refused a connection.
func (c *distance) refuses(ttl uint8) bool { return c.refusals[ttl/64]>>(ttl%64)&1 != 0 }

// Add notes the time to live of the server's segments. Of copies of frames, which
// were captured at several places, it says nothing.
func (s *distances) Add(c *Context, f *reassembly.Flow) {
	if f.Quality&reassembly.QualityDuplicates != 0 {
		return
	}
	if ttl := f.Endpoint(f.Server()).TTL; ttl != 0 {
		c.lately.distance(ttl)
	}
	if r := &f.Reset; f.Handshake.Outcome == reassembly.Refused && r.By == f.Server() && r.TTL != 0 {
		k := hostOf(c.service)
		s.cells.on(&k, c.serviceHosts).refusals[r.TTL/64] |= 1 << (r.TTL % 64)
	}
}

func (s *distances) gather(k place, hosts uint64, x *portion, letGo bool) {
	if x.ttls > 0 {
		k = hostOf(k)
		s.cells.cell(&k, k.hashOn(hosts), letGo).see(uint64(x.ttls), x.lowest, x.highest)
	}
}

// hostOf is the host of a service, from wherever it was captured.
func hostOf(k place) place { return place{service: k.service} }

// Merge adds what another collector saw.
func (s *distances) Merge(o Collector) { s.cells.merge(&o.(*distances).cells) }

// Findings finds nothing: Settle tells whose RSTs were not the host's own.
func (s *distances) Findings(*Context, int64, func(Finding)) {}

// slotOfRST is the slot of a finding on an RST in the server's name, by which
// Settle tells its sender: its time to live.
func slotOfRST(f *reassembly.Flow) int {
	if f.Reset.By != f.Server() || f.Quality&reassembly.QualityDuplicates != 0 {
		return 0
	}
	return int(f.Reset.TTL)
}

// Settle tells what other flows tell of a finding, now that all are known, and
// reports whether that changed it: the sender of an RST, by its time to live and
// those of the host's other segments; and whether a client was ignored by its server,
// or the path was down. A refusal is the host's own where it came from as far as they
// do.
func (p *Patterns) Settle(d *Finding) bool {
	r := find(p.rules, d.Rule)
	switch {
	case r != nil && d.Slot == slotIgnored && d.Rule == "accept-queue-overflow":
		return p.settleIgnored(d)
	case r == nil || !r.byDistance || d.Slot == 0:
		return false
	}
	c, ttl := p.distanceOf(d.Service), uint8(d.Slot)
	switch {
	case c == nil:
		return false
	case d.Rule == "connection-refused" && c.sends(ttl):
		d.ofHost()
	case c.flows < distanceFlows || c.lo != c.hi || hops(ttl) >= hops(c.lo), d.Who == Unknown && !c.refuses(c.lo):
		return false // the last: nobody is blamed as it is
	default:
		d.from(c, ttl)
	}
	return true
}

// distanceOf is what the segments of a service's host show, nil for nothing.
func (p *Patterns) distanceOf(service netip.AddrPort) *distance {
	for _, col := range p.whole().collectors {
		if s, ok := col.(*distances); ok {
			return s.cells.get(place{service: service.Addr().As16()})
		}
	}
	return nil
}

// sends reports that segments of the host come from as far as one with that time
// to live: they have the same, or are as many hops below another initial value.
func (c *distance) sends(ttl uint8) bool {
	return c.flows > 0 && (ttl == c.lo || ttl == c.hi || c.lo == c.hi && hops(ttl) == hops(c.lo))
}

// ofHost makes a refusal the host's own.
func (d *Finding) ofHost() {
	d.Confidence = Certain
	d.adds("; the RST came from as far as the host's other segments: it is the host's own")
}

// from tells that an RST came over fewer hops than the host's other segments, which
// c knows. A device in front of it is blamed where the host's own refusals come from
// as far as its segments: elsewhere those may be of a container or a virtual
// machine, one hop behind the host, whose kernel answers for what it does not hand
// on.
func (d *Finding) from(c *distance, ttl uint8) {
	d.Confidence = max(d.Confidence, Likely)
	who := "something on the path may have sent it, or the host itself if it hands those on to others"
	if c.refuses(c.lo) {
		d.Who, who = Middlebox, "something in front of the host sent it"
	}
	d.adds(fmt.Sprintf("; the RST's time to live is %d and that of the host's other segments %d, so %s", ttl, c.lo, who))
}

// adds ends the verdict, where that is written already, by more words.
func (d *Finding) adds(words string) {
	if d.Verdict != "" {
		d.Verdict = strings.TrimSuffix(d.Verdict, ".") + words
	}
}
