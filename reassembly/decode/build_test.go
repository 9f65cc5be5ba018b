package decode_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Frames for tests are built from the inside out: each builder puts its header
// before what it is given. Lengths and checksums are right unless a test
// breaks them.

var (
	client4 = netip.MustParseAddr("192.0.2.1")
	server4 = netip.MustParseAddr("198.51.100.2")
	client6 = netip.MustParseAddr("2001:db8::1")
	server6 = netip.MustParseAddr("2001:db8::2")
)

const (
	clientPort = 40001
	serverPort = 443
)

// segmentSpec is a TCP segment to build.
type segmentSpec struct {
	Seq, Ack uint32
	Flags    tcp.Flags
	Window   uint16
	Options  []byte // a multiple of four octets
	Payload  int    // octets of it
	Src, Dst netip.Addr
}

func concat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func u16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// sum16 is the Internet checksum's sum, the slow and obvious way.
func sum16(b []byte) uint32 {
	var s uint32
	for i, c := range b {
		if i%2 == 0 {
			s += uint32(c) << 8
		} else {
			s += uint32(c)
		}
		s = s>>16 + s&0xffff
	}
	return s
}

// bytes builds the segment with its checksum.
func (s segmentSpec) bytes() []byte {
	doff := (20 + len(s.Options)) / 4
	b := concat(u16(clientPort), u16(serverPort), u32(s.Seq), u32(s.Ack),
		u16(uint16(doff)<<12|uint16(s.Flags)), u16(s.Window), u16(0), u16(0), s.Options)
	for i := range s.Payload {
		b = append(b, byte(i*7+1))
	}
	pseudo := concat(s.Src.AsSlice(), s.Dst.AsSlice(), u32(uint32(len(b))), u32(6))
	sum := sum16(concat(pseudo, b))
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}

func ipv4To(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	return ipv4Full(src, dst, protocol, 0x1234, 0x4000, nil, payload)
}

// ipv4Full builds an IPv4 packet; bits are the flags and the fragment offset.
func ipv4Full(src, dst netip.Addr, protocol byte, id, bits uint16, options, payload []byte) []byte {
	head := 20 + len(options)
	b := concat([]byte{0x40 | byte(head/4), 0}, u16(uint16(head+len(payload))), u16(id), u16(bits),
		[]byte{57, protocol, 0, 0}, src.AsSlice(), dst.AsSlice(), options)
	s := sum16(b)
	binary.BigEndian.PutUint16(b[10:], ^uint16(s>>16+s&0xffff))
	return append(b, payload...)
}

func ipv4(protocol byte, payload []byte) []byte {
	return ipv4To(client4, server4, protocol, payload)
}

func ipv6To(src, dst netip.Addr, next byte, payload []byte) []byte {
	return concat([]byte{0x60, 0, 0, 0}, u16(uint16(len(payload))), []byte{next, 57},
		src.AsSlice(), dst.AsSlice(), payload)
}

func ipv6(next byte, payload []byte) []byte { return ipv6To(client6, server6, next, payload) }

func ether(etherType uint16, payload []byte) []byte {
	return concat([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, u16(etherType), payload)
}

func udp(src, dst uint16, payload []byte) []byte {
	return concat(u16(src), u16(dst), u16(uint16(8+len(payload))), u16(0), payload)
}

// outer wraps a tunnel's packet in IPv4 between two routers.
func outer(protocol byte, payload []byte) []byte {
	return ipv4To(netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), protocol, payload)
}

// snap is LLC and SNAP before an EtherType.
func snap(etherType uint16, payload []byte) []byte {
	return concat([]byte{0xaa, 0xaa, 3, 0, 0, 0}, u16(etherType), payload)
}

// spec4 and spec6 are the segments that most tests use.
var (
	timestamps = concat([]byte{1, 1, 8, 10}, u32(1000), u32(900))

	spec4 = segmentSpec{Seq: 100, Ack: 200, Flags: tcp.PSH | tcp.ACK, Window: 502, Options: timestamps,
		Payload: 10, Src: client4, Dst: server4}
	spec6 = segmentSpec{Seq: 100, Ack: 200, Flags: tcp.PSH | tcp.ACK, Window: 502, Options: timestamps,
		Payload: 10, Src: client6, Dst: server6}
)

func packet4() []byte { return ipv4(6, spec4.bytes()) }
func packet6() []byte { return ipv6(6, spec6.bytes()) }
