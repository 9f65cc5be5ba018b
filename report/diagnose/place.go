package diagnose

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

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

// compare orders places by service first. It stops at the first difference:
// sorting calls it more than anything else.
func (p place) compare(o place) int {
	if c := bytes.Compare(p.service[:], o.service[:]); c != 0 {
		return c
	}
	if c := cmp.Compare(p.port, o.port); c != 0 {
		return c
	}
	if c := bytes.Compare(p.host[:], o.host[:]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(p.side, o.side), cmp.Compare(p.tag, o.tag), cmp.Compare(p.slot, o.slot))
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

// addressOf is the address of a side.
func addressOf(f *reassembly.Flow, s tcp.Side) [16]byte {
	if s == tcp.SideB {
		return f.Tuple.AddrB
	}
	return f.Tuple.AddrA
}

// portOf is the port of a side.
func portOf(f *reassembly.Flow, s tcp.Side) uint16 {
	if s == tcp.SideB {
		return f.Tuple.PortB
	}
	return f.Tuple.PortA
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

// roleSide is a flow's side as a role.
func roleSide(f *reassembly.Flow, s tcp.Side) part {
	if s == f.Client {
		return clientRole
	}
	return serverRole
}

// hash is the same in every run: what is let go must be.
func (p *place) hash() uint64 { return p.hashOn(p.hosts()) }

// hosts is what the addresses add to the hash. Those of a flow are hashed once,
// and the places that it is counted at differ in the rest.
func (p *place) hosts() uint64 {
	le := binary.LittleEndian
	h := fold(le.Uint64(p.host[:8])^0x9e3779b97f4a7c15, le.Uint64(p.service[:8])^0xa0761d6478bd642f)
	return fold(h^le.Uint64(p.host[8:]), le.Uint64(p.service[8:])^0xe7037ed1a0b428db)
}

// hashOn is the hash of a place whose hosts are known.
func (p *place) hashOn(hosts uint64) uint64 {
	return fold(hosts^uint64(p.slot), uint64(p.tag)<<32^uint64(p.port)<<16^uint64(p.side)^0x8ebc6af09c88c6e3)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
