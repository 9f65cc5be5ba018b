package tcp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Tuple is the key of a flow: both addresses and ports in canonical order, so
// that the two directions share it. IPv4 addresses stand in their mapped form.
// Tag is 0 unless equal addresses must be kept apart: by VLAN, by tunnel, or
// because two sources saw the same traffic from two vantage points.
type Tuple struct {
	AddrA, AddrB [16]byte
	PortA, PortB uint16
	Tag          uint32
}

// MakeTuple orders the two ends of a segment and says from which it came.
// When both ends are equal (a socket connected to itself) the sender is SideA.
func MakeTuple(src, dst *[16]byte, srcPort, dstPort uint16) (t Tuple, from Side) {
	c := bytes.Compare(src[:], dst[:])
	if c < 0 || c == 0 && srcPort <= dstPort {
		return Tuple{AddrA: *src, AddrB: *dst, PortA: srcPort, PortB: dstPort}, SideA
	}
	return Tuple{AddrA: *dst, AddrB: *src, PortA: dstPort, PortB: srcPort}, SideB
}

// End is the address and port of one side.
func (t *Tuple) End(s Side) netip.AddrPort {
	addr, port := netip.AddrFrom16(t.AddrA), t.PortA
	if s == SideB {
		addr, port = netip.AddrFrom16(t.AddrB), t.PortB
	}
	if t.Is4() {
		addr = addr.Unmap()
	}
	return netip.AddrPortFrom(addr, port)
}

// Itself reports that both ends are equal: a socket connected to itself.
func (t *Tuple) Itself() bool { return t.PortA == t.PortB && t.AddrA == t.AddrB }

// Is4 reports whether the flow runs over IPv4. A mapped address can also stand
// in an IPv6 header, so both must be mapped.
func (t *Tuple) Is4() bool {
	return netip.AddrFrom16(t.AddrA).Is4In6() && netip.AddrFrom16(t.AddrB).Is4In6()
}

// Hash mixes the tuple with a seed: a fixed one where the same input is to give
// the same in every run, a random one where nobody is to foresee it.
func (t *Tuple) Hash(seed uint64) uint64 {
	le := binary.LittleEndian
	h := Mix(seed^le.Uint64(t.AddrA[0:8]), le.Uint64(t.AddrA[8:16])^0xa0761d6478bd642f)
	h = Mix(h^le.Uint64(t.AddrB[0:8]), le.Uint64(t.AddrB[8:16])^0xe7037ed1a0b428db)
	return Mix(h^uint64(t.PortA)<<48^uint64(t.PortB)<<32^uint64(t.Tag), 0x8ebc6af09c88c6e3)
}

// Mix is a step of a hash: it folds a 128-bit product onto itself.
func Mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b)
	return hi ^ lo
}
