package scenario

import (
	"encoding/binary"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Lengths of headers, and protocol numbers.
const (
	etherLen  = 14
	ip4Len    = 20
	ip6Len    = 40
	tcpLen    = 20
	protoICMP = 1
	protoTCP  = 6
	protoICM6 = 58
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherARP  = 0x0806
)

// packet is a TCP segment before it is encoded.
type packet struct {
	v6           bool
	src, dst     endpoint
	seq, ack     uint32
	flags        tcp.Flags
	window, ipid uint16
	ttl          uint8
	length       uint32 // of the payload
	badsum       bool
	syn          *synOptions
	sack         [][2]uint32
	timestamps   bool
	tsval, tsecr uint32
}

// synOptions are the options that only a SYN carries.
type synOptions struct {
	mss    uint16
	wscale int // -1 for none
	sack   bool
}

// frame encodes the segment with its IP and Ethernet headers.
func (p *packet) frame() []byte {
	opts := p.options()
	seg := make([]byte, tcpLen+len(opts)+int(p.length))
	be := binary.BigEndian
	be.PutUint16(seg[0:], p.src.port)
	be.PutUint16(seg[2:], p.dst.port)
	be.PutUint32(seg[4:], p.seq)
	be.PutUint32(seg[8:], p.ack)
	be.PutUint16(seg[12:], uint16((tcpLen+len(opts))/4)<<12|uint16(p.flags&0x1ff))
	be.PutUint16(seg[14:], p.window)
	copy(seg[tcpLen:], opts)
	for i := tcpLen + len(opts); i < len(seg); i++ {
		seg[i] = 'x'
	}
	sum := checksum(seg, pseudo(p.v6, p.src.host, p.dst.host, protoTCP, len(seg)))
	if p.badsum {
		sum ^= 0x5555
	}
	be.PutUint16(seg[16:], sum)
	return datagram(p.v6, p.src.host, p.dst.host, protoTCP, p.ttl, p.ipid, seg)
}

// options encodes the TCP options in Linux's order, padded to four octets.
func (p *packet) options() (o []byte) {
	be := binary.BigEndian
	if p.syn != nil {
		o = be.AppendUint16(append(o, 2, 4), p.syn.mss)
		if p.syn.sack {
			o = append(o, 4, 2)
		}
	}
	if p.timestamps {
		o = pad(o, 2)
		o = be.AppendUint32(be.AppendUint32(append(o, 8, 10), p.tsval), p.tsecr)
	}
	if p.syn != nil && p.syn.wscale >= 0 {
		o = append(o, 1, 3, 3, byte(p.syn.wscale))
	}
	if len(p.sack) > 0 {
		o = append(pad(o, 2), 5, byte(2+8*len(p.sack)))
		for _, r := range p.sack {
			o = be.AppendUint32(be.AppendUint32(o, r[0]), r[1])
		}
	}
	return pad(o, 0)
}

// pad adds NOPs until the length is rest more than a multiple of four.
func pad(o []byte, rest int) []byte {
	for len(o)%4 != rest {
		o = append(o, 1)
	}
	return o
}

// addr is a host's address: the networks that RFC 5737 and RFC 3849 keep for
// documentation, one for each kind of host.
func (h host) addr(v6 bool) []byte {
	if v6 {
		a := make([]byte, 16)
		copy(a, []byte{0x20, 0x01, 0x0d, 0xb8, 0, h.kind})
		a[15] = h.n
		return a
	}
	switch h.kind {
	case 'C':
		return []byte{192, 0, 2, h.n}
	case 'S':
		return []byte{198, 51, 100, h.n}
	}
	return []byte{203, 0, 113, h.n}
}

// datagram puts an IP and an Ethernet header before a payload.
func datagram(v6 bool, src, dst host, proto, ttl uint8, id uint16, payload []byte) []byte {
	be := binary.BigEndian
	f := []byte{2, 0, 0, 0, dst.kind, dst.n, 2, 0, 0, 0, src.kind, src.n}
	if v6 {
		f = be.AppendUint16(f, etherIPv6)
		f = be.AppendUint32(f, 6<<28)
		f = be.AppendUint16(f, uint16(len(payload)))
		f = append(f, proto, ttl)
		f = append(append(f, src.addr(true)...), dst.addr(true)...)
		return append(f, payload...)
	}
	f = be.AppendUint16(f, etherIPv4)
	f = append(f, 0x45, 0)
	f = be.AppendUint16(f, uint16(ip4Len+len(payload)))
	f = be.AppendUint16(f, id)
	f = append(f, 0x40, 0, ttl, proto, 0, 0) // do not fragment
	f = append(append(f, src.addr(false)...), dst.addr(false)...)
	be.PutUint16(f[etherLen+10:], checksum(f[etherLen:], 0))
	return append(f, payload...)
}

// clearLength sets the length in the IP header of a frame to 0.
func clearLength(f []byte) {
	be := binary.BigEndian
	if be.Uint16(f[etherLen-2:]) == etherIPv6 {
		be.PutUint16(f[etherLen+4:], 0)
		return
	}
	ip := f[etherLen : etherLen+ip4Len]
	be.PutUint16(ip[2:], 0)
	be.PutUint16(ip[10:], 0)
	be.PutUint16(ip[10:], checksum(ip, 0))
}

// icmpError encodes an ICMP or ICMPv6 error that quotes the IP datagram of a
// frame, as much of it as a router returns.
func icmpError(v6 bool, src, dst host, typ, code uint8, quoted []byte) []byte {
	quoted = quoted[etherLen:]
	quoted = quoted[:min(len(quoted), 128)]
	msg := append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, quoted...)
	proto, sum := uint8(protoICMP), uint32(0)
	if v6 {
		proto, sum = protoICM6, pseudo(true, src, dst, protoICM6, len(msg))
	}
	binary.BigEndian.PutUint16(msg[2:], checksum(msg, sum))
	return datagram(v6, src, dst, proto, 64, 0, msg)
}

// arp is a frame that is not IP: a host asks for its own address.
func arp() []byte {
	f := []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 'R', 1, etherARP >> 8, etherARP & 0xff}
	f = append(f, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 'R', 1, 203, 0, 113, 1)
	return append(f, 0, 0, 0, 0, 0, 0, 203, 0, 113, 1)
}

// pseudo is the sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
func pseudo(v6 bool, src, dst host, proto uint8, n int) uint32 {
	return words(dst.addr(v6), words(src.addr(v6), uint32(proto)+uint32(n)))
}

// checksum is the Internet checksum (RFC 1071) of data, begun with a sum.
func checksum(data []byte, sum uint32) uint16 {
	sum = words(data, sum)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// words adds data up in words of two octets.
func words(data []byte, sum uint32) uint32 {
	for ; len(data) >= 2; data = data[2:] {
		sum += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return sum
}
