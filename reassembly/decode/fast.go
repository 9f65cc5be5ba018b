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
	t, off, tag := layers.EthernetType(0), ethernetHeader, uint32(0)
	if link == linkEthernet && len(data) >= ethernetHeader {
		t = layers.EthernetType(be16(data[12:14]))
		if t == layers.EthernetTypeDot1Q || t == layers.EthernetTypeQinQ {
			t, off, tag = d.fastTags(data)
		}
	} else {
		t, off = fastLink(link, data)
	}
	uncaptured := max(int(wireLen)-len(data), 0)
	ok := false
	switch t {
	case layers.EthernetTypeIPv4:
		ok = d.fast4(data[off:], uncaptured, out)
	case layers.EthernetTypeIPv6:
		ok = d.fast6(data[off:], out)
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

// fastTags steps over the VLAN tags of an Ethernet frame: it returns the
// EtherType behind them, where that header begins, and the flow's tag.
func (d *Decoder) fastTags(data []byte) (t layers.EthernetType, off int, tag uint32) {
	off = ethernetHeader
	t = layers.EthernetType(be16(data[off-2:]))
	for range maxTags {
		if t != layers.EthernetTypeDot1Q && t != layers.EthernetTypeQinQ || len(data) < off+4 {
			break
		}
		if id := be16(data[off:]) & 0x0fff; d.opt.SeparateVLAN && id != 0 {
			tag = mixTag(tag, tagVLAN, uint32(id))
		}
		off += 4
		t = layers.EthernetType(be16(data[off-2:]))
	}
	return t, off, tag
}

// fastLink finds the IP packet in a common frame that is not Ethernet: its
// EtherType, 0 for any other frame, and where it begins.
func fastLink(link uint16, data []byte) (t layers.EthernetType, off int) {
	switch link {
	case linkSLL:
		if len(data) >= 16 && !specialHardware(be16(data[2:4])) {
			return layers.EthernetType(be16(data[14:16])), 16
		}
	case linkSLL2:
		if len(data) >= 20 && !specialHardware(be16(data[8:10])) {
			return layers.EthernetType(be16(data[0:2])), 20
		}
	case linkNull, linkLoop:
		if len(data) >= 4 && (be32(data) == 2 || be32(data) == 2<<24) {
			return layers.EthernetTypeIPv4, 4
		}
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		if len(data) == 0 {
			break
		}
		switch data[0] >> 4 {
		case 4:
			return layers.EthernetTypeIPv4, 0
		case 6:
			return layers.EthernetTypeIPv6, 0
		}
	}
	return 0, 0
}

// specialHardware reports whether a cooked frame's protocol is no EtherType.
func specialHardware(arphrd uint16) bool {
	return arphrd == arphrdFrameRelay || arphrd == arphrdRadiotap || arphrd == arphrdNetlink
}

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
	*out = tcp.Segment{}
	out.Kind, out.IPID, out.TTL = tcp.KindTCP, be16(p[4:6]), p[8]
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
// numbers. Which comes first is as good as random, so that nothing branches on it.
func tuple4(t *tcp.Tuple, src, dst uint32, srcPort, dstPort uint16) tcp.Side {
	s, d := uint64(src)<<16|uint64(srcPort), uint64(dst)<<16|uint64(dstPort)
	a, b := min(s, d), max(s, d)
	turned := tcp.Side(0)
	if s > d {
		turned = tcp.SideB - tcp.SideA
	}
	const prefix = 0x0000_ffff_0000_0000
	binary.BigEndian.PutUint64(t.AddrA[8:], prefix|a>>16)
	binary.BigEndian.PutUint64(t.AddrB[8:], prefix|b>>16)
	t.PortA, t.PortB = uint16(a), uint16(b)
	return tcp.SideA + turned
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
	*out = tcp.Segment{}
	out.Kind, out.TTL = tcp.KindTCP, p[7]
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
