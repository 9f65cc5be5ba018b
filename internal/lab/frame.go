//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Dir is the way that a frame goes along the wire. The zero value is none.
type Dir uint8

// The two ways.
const (
	ToServer Dir = 1 + iota
	ToClient
)

// Frame is one frame on the wire and what the wire read of it. Raw is the
// whole frame; the rest is zero unless it is TCP.
type Frame struct {
	Dir      Dir
	Raw      []byte
	Src, Dst netip.AddrPort
	Flags    tcp.Flags
	Seq, Ack tcp.Seq
	Len      uint32 // payload
	Window   uint16
	// AcksFIN says that the acknowledgement covers a FIN that went the other
	// way before.
	AcksFIN bool

	ip, tcp int // offsets of the headers in Raw
}

// IsTCP reports whether the frame carries a TCP segment.
func (f *Frame) IsTCP() bool { return f.tcp != 0 }

// TSVal is the segment's timestamp (RFC 7323 §3), 0 when it has none.
func (f *Frame) TSVal() uint32 {
	if !f.IsTCP() {
		return 0
	}
	h := f.Raw[f.tcp:]
	opts := h[minTCPLen:max(minTCPLen, min(len(h), int(h[flagsField]>>4)*4))]
	for len(opts) > 1 {
		n := int(opts[1])
		switch {
		case opts[0] == layers.TCPOptionKindNop:
			n = 1
		case n < 2 || n > len(opts) || opts[0] == layers.TCPOptionKindEndList:
			return 0
		case opts[0] == layers.TCPOptionKindTimestamps && n == 10:
			return binary.BigEndian.Uint32(opts[2:])
		}
		opts = opts[n:]
	}
	return 0
}

// PureACK reports whether the segment does nothing but acknowledge.
func (f *Frame) PureACK() bool {
	return f.IsTCP() && f.Len == 0 &&
		f.Flags&(tcp.SYN|tcp.FIN|tcp.RST|tcp.ACK) == tcp.ACK
}

// End is the sequence number after the segment.
func (f *Frame) End() tcp.Seq {
	s := tcp.Segment{Seq: f.Seq, Len: f.Len, Flags: f.Flags}
	return s.End()
}

const (
	etherLen   = 14
	ipv6Len    = 40
	minTCPLen  = 20
	flagsField = 12 // offset of data offset and control bits in a TCP header
)

// parseFrame reads an Ethernet frame as the hosts of the lab send it: without
// VLAN tags, IP fragments or IPv6 extension headers.
func parseFrame(d Dir, raw []byte) Frame {
	f := Frame{Dir: d, Raw: raw}
	if len(raw) < etherLen {
		return f
	}
	var end int
	var proto layers.IPProtocol
	var src, dst []byte
	switch ip := raw[etherLen:]; layers.EthernetType(binary.BigEndian.Uint16(raw[12:])) {
	case layers.EthernetTypeIPv4:
		if len(ip) < 20 {
			return f
		}
		f.tcp = etherLen + int(ip[0]&15)*4
		end = etherLen + int(binary.BigEndian.Uint16(ip[2:]))
		proto, src, dst = layers.IPProtocol(ip[9]), ip[12:16], ip[16:20]
	case layers.EthernetTypeIPv6:
		if len(ip) < ipv6Len {
			return f
		}
		f.tcp = etherLen + ipv6Len
		end = f.tcp + int(binary.BigEndian.Uint16(ip[4:]))
		proto, src, dst = layers.IPProtocol(ip[6]), ip[8:24], ip[24:40]
	}
	if proto != layers.IPProtocolTCP || end > len(raw) || f.tcp+minTCPLen > end {
		f.tcp = 0
		return f
	}
	f.ip = etherLen
	f.parseTCP(raw[f.tcp:end], src, dst)
	return f
}

func (f *Frame) parseTCP(h, src, dst []byte) {
	a, _ := netip.AddrFromSlice(src)
	b, _ := netip.AddrFromSlice(dst)
	f.Src = netip.AddrPortFrom(a, binary.BigEndian.Uint16(h))
	f.Dst = netip.AddrPortFrom(b, binary.BigEndian.Uint16(h[2:]))
	f.Seq = tcp.Seq(binary.BigEndian.Uint32(h[4:]))
	f.Ack = tcp.Seq(binary.BigEndian.Uint32(h[8:]))
	bits := binary.BigEndian.Uint16(h[flagsField:])
	f.Flags = tcp.Flags(bits & 0x1ff)
	f.Window = binary.BigEndian.Uint16(h[14:])
	if n := len(h) - int(bits>>12)*4; n > 0 {
		f.Len = uint32(n)
	}
}
