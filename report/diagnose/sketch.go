package diagnose

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// place is what flows are counted by: some of the fields, as a pattern needs.
type place struct {
	host    [16]byte // the client, or whichever end a pattern is about
	service [16]byte
	slot    int64  // of time or of length
	tag     uint32 // of the tuple: another vantage point, VLAN or tunnel
	port    uint16 // the service's
	side    part
}

// part is the client or the server, where the canonical order of a tuple means
// nothing because there are several. It has 16 bits so that a place has no
// padding, and a map hashes all of it at once.
type part uint16

// The parts, as the sides that evidence over several flows has.
const (
	clientRole = part(tcp.SideA)
	serverRole = part(tcp.SideB)
)

func (r part) other() part { return clientRole + serverRole - r }

// compare orders places. It is what sorting them costs, so it looks no further
// than it must.
func (p *place) compare(o *place) int {
	if c := compareAddr(&p.service, &o.service); c != 0 {
		return c
	}
	if p.port != o.port {
		return cmp.Compare(p.port, o.port)
	}
	if c := compareAddr(&p.host, &o.host); c != 0 {
		return c
	}
	switch {
	case p.side != o.side:
		return cmp.Compare(p.side, o.side)
	case p.tag != o.tag:
		return cmp.Compare(p.tag, o.tag)
	}
	return cmp.Compare(p.slot, o.slot)
}

func comparePlaces(a, b place) int { return a.compare(&b) }

func compareAddr(a, b *[16]byte) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// whole is the place without its slot.
func (p place) whole() place {
	p.slot = 0
	return p
}

// addr is the service's address and port.
func (p place) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(p.service).Unmap(), p.port)
}

// client is the host as a finding names one, without a port.
func (p place) client() netip.AddrPort {
	if p.host == ([16]byte{}) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(p.host).Unmap(), 0)
}

// serviceOf is the place of a flow's service.
func serviceOf(f *reassembly.Flow) place {
	p := place{service: f.Tuple.AddrA, port: f.Tuple.PortA, tag: f.Tuple.Tag}
	if f.Server() == tcp.SideB {
		p.service, p.port = f.Tuple.AddrB, f.Tuple.PortB
	}
	return p
}

// pairOf is the place of a flow's client and service.
func pairOf(f *reassembly.Flow) place {
	p := serviceOf(f)
	p.host = addressOf(f, f.Client)
	return p
}

// addressOf is the address of a side.
func addressOf(f *reassembly.Flow, s tcp.Side) [16]byte {
	if s == tcp.SideB {
		return f.Tuple.AddrB
	}
	return f.Tuple.AddrA
}

// filter is a display filter for all packets of the service, and of the client
// where the place has one.
func (p place) filter() string {
	ip, a := "ip.addr", p.addr()
	if a.Addr().Is6() {
		ip = "ipv6.addr"
	}
	out := fmt.Sprintf("%s==%s && tcp.port==%d", ip, a.Addr(), a.Port())
	if c := p.client(); c.IsValid() {
		out = fmt.Sprintf("%s==%s && ", ip, c.Addr()) + out
	}
	return out
}

// hostFilter is a display filter for all packets of the service's host.
func (p place) hostFilter() string {
	a := p.addr().Addr()
	if a.Is6() {
		return fmt.Sprintf("ipv6.addr==%s && tcp", a)
	}
	return fmt.Sprintf("ip.addr==%s && tcp", a)
}

// cell is what a sketch keeps for a place.
type cell[C any] interface {
	*C
	weight() uint64 // how many flows it stands for
	merge(o *C)
	reset() // to the zero value, keeping memory for the next place
}

// sketchPlaces bounds the places of one sketch.
const sketchPlaces = 256

// sketch is a bounded table of cells. When it is full it lets the lighter half
// go, so that a scan over many places cannot displace a busy one. The zero
// value is empty.
type sketch[C any, P cell[C]] struct {
	cells map[place]P
	spare []P
	// weights and equal are of prune, kept for their memory.
	weights []uint64
	equal   []place
}

// at is the cell of a place, made if there is none yet.
func (s *sketch[C, P]) at(k place) P {
	if c := s.cells[k]; c != nil {
		return c
	}
	if len(s.cells) >= sketchPlaces {
		s.prune()
	}
	return s.put(k)
}

func (s *sketch[C, P]) put(k place) P {
	if s.cells == nil {
		s.cells = map[place]P{}
	}
	var c P
	if n := len(s.spare); n > 0 {
		c, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		c = new(C)
	}
	s.cells[k] = c
	return c
}

// prune lets the lighter half go; of those that weigh the same the first in
// order stay. Of those that stand for a single flow none does: in a scan all
// are such, and need no order.
func (s *sketch[C, P]) prune() {
	weights, equal := s.weights[:0], s.equal[:0]
	for _, c := range s.cells {
		weights = append(weights, c.weight())
	}
	slices.Sort(weights)
	least, drop := weights[len(weights)/2], len(weights)/2
	for k, c := range s.cells {
		switch w := c.weight(); {
		case w < least, w <= 1:
			s.drop(k, c)
			drop--
		case w == least:
			equal = append(equal, k)
		}
	}
	s.weights, s.equal = weights, equal
	if drop <= 0 {
		return
	}
	slices.SortFunc(equal, comparePlaces)
	for _, k := range equal[len(equal)-drop:] {
		s.drop(k, s.cells[k])
	}
}

func (s *sketch[C, P]) drop(k place, c P) {
	delete(s.cells, k)
	c.reset()
	s.spare = append(s.spare, c)
}

// merge adds the cells of another sketch. It lets nothing go: a merged sketch
// is as large as all partitions' together.
func (s *sketch[C, P]) merge(o *sketch[C, P]) {
	for k, c := range o.cells {
		mine := s.cells[k]
		if mine == nil {
			mine = s.put(k)
		}
		mine.merge(c)
	}
}

// places lists the places in order.
func (s *sketch[C, P]) places() []place {
	return slices.SortedFunc(maps.Keys(s.cells), comparePlaces)
}

// sighting is a flow that shows a pattern, and the packets that prove it.
type sighting struct {
	flow     tcp.PacketRef
	at       int64 // of the packet that shows it
	ref      tcp.PacketRef
	side     part
	since    int64 // of the packet before, if it takes two
	sinceRef tcp.PacketRef
	sinceBy  part
}

func (x sighting) compare(y sighting) int {
	return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.flow, y.flow))
}

// Flows that a finding names, and those whose packets are its evidence.
const (
	flowsNamed = 20
	flowsShown = 3
)

// sightings are the first flowsNamed, by time.
type sightings []sighting

func (s *sightings) add(x sighting) {
	i, _ := slices.BinarySearchFunc(*s, x, sighting.compare)
	if i >= flowsNamed {
		return
	}
	*s = slices.Insert(*s, i, x)
	*s = (*s)[:min(len(*s), flowsNamed)]
}

func (s *sightings) merge(o sightings) {
	for _, x := range o {
		s.add(x)
	}
}

// newPattern begins a finding over flows: those named, and the packets of the
// first of them in evidence; words say what the packets of a flow show.
func newPattern(p place, who Party, sure Confidence, flows uint64, seen sightings, words func(sighting) (before, what string)) Finding {
	d := Finding{Who: who, Confidence: sure, Service: p.addr(), Client: p.client(), FlowCount: flows, Wireshark: p.filter()}
	var list []Evidence
	for i, x := range seen {
		d.Flows = append(d.Flows, x.flow)
		if i >= flowsShown {
			continue
		}
		before, what := words(x)
		list = append(list, Evidence{Ref: x.sinceRef, At: x.since, Side: tcp.Side(x.sinceBy), What: before},
			Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(x.side), What: what})
	}
	d.prove(list...)
	return d
}

// roleSide is a flow's side as a role.
func roleSide(f *reassembly.Flow, s tcp.Side) part {
	if s == f.Client {
		return clientRole
	}
	return serverRole
}

// flowCell counts flows and keeps the first of them.
type flowCell struct {
	n        uint64
	min, max int64 // times at which they showed it
	seen     sightings
}

func (c *flowCell) add(x sighting) {
	if c.n == 0 || x.at < c.min {
		c.min = x.at
	}
	if c.n == 0 || x.at > c.max {
		c.max = x.at
	}
	c.n++
	c.seen.add(x)
}

func (c *flowCell) weight() uint64 { return c.n }

func (c *flowCell) merge(o *flowCell) {
	switch {
	case o.n == 0:
		return
	case c.n == 0:
		c.min, c.max = o.min, o.max
	}
	c.min, c.max = min(c.min, o.min), max(c.max, o.max)
	c.n += o.n
	c.seen.merge(o.seen)
}

func (c *flowCell) reset() { *c = flowCell{seen: c.seen[:0]} }

// total is a cell that only counts.
type total struct{ n uint64 }

func (c *total) weight() uint64 { return c.n }
func (c *total) merge(o *total) { c.n += o.n }
func (c *total) reset()         { c.n = 0 }
