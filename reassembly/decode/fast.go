package decode

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// maxTags is how many VLAN tags the fast path takes.
const maxTags = 2

// fast decodes a common frame in one go and reports whether it did. It says
// no, and leaves the frame to the slow path, at the first thing that is
// unusual: a missing octet, an IP option, a fragment, anything but TCP.
func (d *Decoder) fast(link uint16, data []byte, wireLen uint32, at int64, ref tcp.PacketRef, out *tcp.Segment) bool {
	t, p, tag := d.fastLink(link, data)
	uncaptured := max(int(wireLen)-len(data), 0)
	var ok bool
	switch t {
	case layers.EthernetTypeIPv4:
		ok = d.fast4(p, uncaptured, out)
	case layers.EthernetTypeIPv6:
		ok = d.fast6(p, out)
	}
	if !ok {
		return false
	}
	out.At, out.Ref = at, ref
	out.Tuple.Tag = tag
	if uncaptured > 0 {
		out.Quality |= tcp.Snapped
	}
	return true
}

// fastLink finds the IP packet of a common frame, its EtherType (0 for a frame
// that is not common) and the tag of its VLANs.
func (d *Decoder) fastLink(link uint16, data []byte) (t layers.EthernetType, p []byte, tag uint32) {
	switch link {
	case linkEthernet:
		if len(data) < ethernetHeader {
			return 0, nil, 0
		}
		t, p = layers.EthernetType(be16(data[12:14])), data[14:]
		for i := 0; i < maxTags && (t == layers.EthernetTypeDot1Q || t == layers.EthernetTypeQinQ) && len(p) >= 4; i++ {
			if id := be16(p) & 0x0fff; d.opt.SeparateVLAN && id != 0 {
				tag = mixTag(tag, tagVLAN, uint32(id))
			}
			t, p = layers.EthernetType(be16(p[2:4])), p[4:]
		}
		return t, p, tag
	case linkSLL:
		if len(data) < 16 || specialHardware(be16(data[2:4])) {
			return 0, nil, 0
		}
		return layers.EthernetType(be16(data[14:16])), data[16:], 0
	case linkSLL2:
		if len(data) < 20 || specialHardware(be16(data[8:10])) {
			return 0, nil, 0
		}
		return layers.EthernetType(be16(data[0:2])), data[20:], 0
	case linkNull, linkLoop:
		if len(data) < 4 {
			return 0, nil, 0
		}
		if family := be32(data); family == 2 || family == 2<<24 {
			return layers.EthernetTypeIPv4, data[4:], 0
		}
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		if len(data) == 0 {
			return 0, nil, 0
		}
		switch data[0] >> 4 {
		case 4:
			return layers.EthernetTypeIPv4, data, 0
		case 6:
			return layers.EthernetTypeIPv6, data, 0
		}
	}
	return 0, nil, 0
}

// specialHardware reports whether a cooked frame's protocol is no EtherType.
func specialHardware(arphrd uint16) bool { return arphrd >= arphrdWiFi && arphrd <= arphrdNetlink }

// fast4 decodes an IPv4 packet without options that holds a TCP segment. p is
// what was captured of it; as many octets as uncaptured were not.
func (d *Decoder) fast4(p []byte, uncaptured int, out *tcp.Segment) bool {
	const versionAndLength = 0x45
	if len(p) < ipv4Header+tcpFixed || p[0] != versionAndLength || p[9] != byte(layers.IPProtocolTCP) ||
		be16(p[6:8])&fragmentMask != 0 {
		return false
	}
	total := int(be16(p[2:4]))
	n := total - ipv4Header
	if n < tcpFixed || total > len(p)+uncaptured {
		return false
	}
	b := p[ipv4Header:]
	*out = tcp.Segment{Kind: tcp.KindTCP, IPID: be16(p[4:6]), TTL: p[8]}
	if !header(out, b[:min(n, len(b))], n) {
		return false
	}
	out.From = tuple4(&out.Tuple, be32(p[12:16]), be32(p[16:20]), be16(b[0:2]), be16(b[2:4]))
	if len(b) < n {
		out.Quality = tcp.Snapped
	} else if out.Flags.Any(checked) {
		d.verify(out, b[:n], sum(0, p[12:20]))
	}
	return true
}

// tuple4 is tcp.MakeTuple for two IPv4 addresses, whose order is that of their
// numbers.
func tuple4(t *tcp.Tuple, src, dst uint32, srcPort, dstPort uint16) tcp.Side {
	from := tcp.SideA
	if src > dst || src == dst && srcPort > dstPort {
		src, dst, srcPort, dstPort, from = dst, src, dstPort, srcPort, tcp.SideB
	}
	const prefix = 0x0000_ffff_0000_0000
	binary.BigEndian.PutUint64(t.AddrA[8:], prefix|uint64(src))
	binary.BigEndian.PutUint64(t.AddrB[8:], prefix|uint64(dst))
	t.PortA, t.PortB = srcPort, dstPort
	return from
}

// fast6 decodes an IPv6 packet without extension headers that holds a TCP
// segment.
func (d *Decoder) fast6(p []byte, out *tcp.Segment) bool {
	if len(p) < ipv6Header+tcpFixed || p[0]>>4 != 6 || p[6] != byte(layers.IPProtocolTCP) {
		return false
	}
	n := int(be16(p[4:6]))
	if n < tcpFixed {
		return false
	}
	b := p[ipv6Header:]
	*out = tcp.Segment{Kind: tcp.KindTCP, TTL: p[7]}
	if !header(out, b[:min(n, len(b))], n) {
		return false
	}
	src, dst := (*[16]byte)(p[8:24]), (*[16]byte)(p[24:40])
	out.Tuple, out.From = tcp.MakeTuple(src, dst, be16(b[0:2]), be16(b[2:4]))
	if len(b) < n {
		out.Quality = tcp.Snapped
	} else if out.Flags.Any(checked) {
		d.verify(out, b[:n], sum(0, p[8:40]))
	}
	return true
}
