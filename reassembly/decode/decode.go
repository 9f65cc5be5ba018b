// Package decode turns captured frames into TCP segments.
//
// In come the bytes of one frame at a time, with the link type of its source
// and its length on the wire. Out go the innermost TCP segment of the frame,
// or the TCP header that an ICMP error quotes, written into a [tcp.Segment].
// What is neither is counted: other protocols, fragments that wait for their
// missing pieces, and, each with its reason, frames that cannot be decoded.
//
// Lengths come from the IP header: how much of a frame was captured never
// shortens a segment. The package reads no files and no clock, logs nothing,
// keeps no payload, and treats every byte as hostile.
//
// There are two ways through it. The fast path takes the common frames
// (Ethernet with or without VLAN tags, Linux cooked, raw and loopback; IPv4
// without options, IPv6 without extension headers; TCP) in one go and without
// a call per header. Everything else takes the slow path, one function per
// header. Tests hold both, and gopacket's layers, to the same answers.
//
// gopacket's layers serve on the slow path where they look before they index,
// keep nothing of one frame for the next, and take no length from what was
// captured: for Ethernet, VLAN, LLC, SNAP and VXLAN. Its IP and TCP layers
// take the payload for as long as it was captured, refuse a payload length of
// 0 in IPv6, and refuse cut options; what is wrong with others stands beside
// their replacements.
package decode

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Options chooses what keeps equal four-tuples apart.
//
// With SeparateTunnel the ids of the tunnels around a segment count that both
// directions share: VXLAN and Geneve VNI, GRE key, ERSPAN session, PPPoE
// session. A GTP TEID, an L2TP session, a PPTP call or an MPLS label is chosen
// by each receiver for itself and would tear a connection in two.
type Options struct {
	SeparateVLAN   bool // by the VLAN ids, outer and inner
	SeparateTunnel bool // by the tunnels' ids
}

// Result says what a frame turned out to be.
type Result uint8

const (
	// Segment: a TCP segment was written.
	Segment Result = 1 + iota
	// Quote: an ICMP error was written, with the TCP header that it quotes.
	Quote
	// NotTCP: the frame is well-formed as far as it was read, and carries
	// something else.
	NotTCP
	// Fragment: a piece of an IP datagram that is not complete yet, or never
	// can be.
	Fragment
	// Undecodable: cut, malformed, encrypted, or of an unknown link type.
	// Stats names the reasons.
	Undecodable

	numResults
)

// String names the result in lower case.
func (r Result) String() string {
	switch r {
	case Segment:
		return "segment"
	case Quote:
		return "quote"
	case NotTCP:
		return "not TCP"
	case Fragment:
		return "fragment"
	case Undecodable:
		return "undecodable"
	}
	return "invalid"
}

// maxHeaders bounds the headers in one frame, so that a frame made of nothing
// but nested headers ends.
const maxHeaders = 64

// Decoder decodes the frames of one goroutine. It holds the fragments that
// wait for their missing pieces, so the frames of a capture go through one
// Decoder in their order.
type Decoder struct {
	opt   Options
	count counters
	frags defragmenter
	inner inflater

	// What is known of the frame in hand, on the slow path.
	pk packet

	// Layers of gopacket, kept so that no frame allocates one.
	eth   layers.Ethernet
	dot1q layers.Dot1Q
	llc   layers.LLC
	snap  layers.SNAP
	vxlan layers.VXLAN
}

// packet is the state of one frame on its way through the slow path.
type packet struct {
	at          int64
	ref         tcp.PacketRef
	out         *tcp.Segment
	ip          network // the innermost IP header so far
	tag         uint32  // of VLANs and tunnels, 0 for none
	headers     int     // entered so far, at most maxHeaders
	networks    int     // IP headers so far
	snapped     bool    // the frame, or a fragment of its datagram, was cut
	reassembled bool    // an IP datagram around here came in fragments
	inflated    bool    // decompressed once
	prefixOnly  bool    // only the beginning of this datagram was kept
	guessed     bool    // inside a tunnel known only by its UDP port
	quoting     bool    // inside what an ICMP error quotes
	reporter    [16]byte
	icmpType    uint8
	icmpCode    uint8
}

// network is what a segment needs to know of the IP header before it.
type network struct {
	src, dst [16]byte
	id       uint16 // IPv4 identification
	ttl      uint8
	v6       bool
	noLength bool // IPv6 with payload length 0: a jumbogram, or BIG TCP
}

// New makes a decoder.
func New(opt Options) *Decoder { return &Decoder{opt: opt} }

// Decode decodes one frame. link is the 16-bit LINKTYPE value of the frame's
// source, data what was captured, wireLen the frame's length on the wire in
// octets; at (nanoseconds since 1970 UTC) and ref are stored in out and tell
// how old waiting fragments are. out is written whole for Segment and Quote,
// and left in no particular state otherwise. data is not kept.
//
// A segment in IP fragments stands in the frame that completes it. Window is
// 65535 in the rare header that the snaplen cut between its flags and its
// window, so that nothing takes it for a closed one.
//
// For Quote, Tuple, From, Seq, IPID and TTL are those of the quoted packet;
// Ack, Flags, Window, Len and options too when the quote reaches that far, and
// zero when not.
func (d *Decoder) Decode(link uint16, data []byte, wireLen uint32, at int64, ref tcp.PacketRef, out *tcp.Segment) Result {
	r := Segment
	if !d.fast(link, data, wireLen, at, ref, out) {
		r = d.slow(link, data, wireLen, at, ref, out)
	}
	d.count.results[r]++
	return r
}

// slow decodes any frame, one header after the other.
func (d *Decoder) slow(link uint16, data []byte, wireLen uint32, at int64, ref tcp.PacketRef, out *tcp.Segment) (r Result) {
	d.pk = packet{at: at, ref: ref, out: out, snapped: int64(wireLen) > int64(len(data))}
	// No bytes are known that make any decoder fail, gopacket's included. Should
	// there be some, they cost their frame, which is counted, and not the run.
	defer func() {
		if recover() != nil {
			r = d.undecodable(failed)
		}
		d.pk.out = nil
	}()
	return d.link(link, frame{data: data, wire: max(int(wireLen), len(data))})
}

// frame is what remains of a frame from some header on.
type frame struct {
	data []byte // as far as captured
	wire int    // octets on the wire, at least len(data)
}

// skip steps over a header of n captured octets.
func (f frame) skip(n int) frame { return frame{f.data[n:], f.wire - n} }

// atMost drops what follows n octets, such as padding.
func (f frame) atMost(n int) frame {
	if n < f.wire {
		return f.exactly(n)
	}
	return f
}

// exactly believes a header that says n octets follow, even when that is more
// than the frame could hold: then the frame was cut before it was captured.
func (f frame) exactly(n int) frame {
	return frame{f.data[:min(n, len(f.data))], n}
}

// cutWithin reports whether fewer than n octets were captured because of a
// snaplen, so that what follows cannot be told by its looks.
func (f frame) cutWithin(n int) bool { return len(f.data) < min(n, f.wire) }

// enter counts one more header and reports whether there may be one.
func (d *Decoder) enter() bool {
	d.pk.headers++
	return d.pk.headers <= maxHeaders
}

// short is the result of a header of which fewer than n octets were captured.
func (d *Decoder) short(f frame, n int) Result {
	if d.pk.quoting && !d.pk.snapped {
		return NotTCP // an ICMP error quotes no more than it wants to
	}
	if f.wire >= n {
		return d.undecodable(cutHeaders)
	}
	return d.malformed(tooShort)
}

// malformed is the result of a header that contradicts itself. Where only a
// UDP port said that such a header follows, it was none.
func (d *Decoder) malformed(why reason) Result {
	if d.pk.guessed || d.pk.quoting {
		return NotTCP
	}
	return d.undecodable(why)
}

// mark adds an id to the tag of the flow's key. The tag of a marked frame is
// never 0.
func (d *Decoder) mark(kind tagKind, id uint32) {
	if kind == tagVLAN && d.opt.SeparateVLAN || kind != tagVLAN && d.opt.SeparateTunnel {
		d.pk.tag = mixTag(d.pk.tag, kind, id)
	}
}

// tagKind keeps equal ids of different kinds apart.
type tagKind uint32

const (
	tagVLAN tagKind = 1 + iota
	tagGRE
	tagERSPAN
	tagVXLAN
	tagGeneve
	tagPPPoE
)

// mixTag hashes one more id into a tag, which then is not 0. The order of the
// ids matters.
func mixTag(tag uint32, kind tagKind, id uint32) uint32 {
	hi, lo := bits.Mul64(uint64(tag)<<32^uint64(id)^0x9e3779b97f4a7c15, 0xa0761d6478bd642f+uint64(kind)<<40)
	return uint32(hi) ^ uint32(hi>>32) ^ uint32(lo) ^ uint32(lo>>32) | 1
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// mapped is an IPv4 address in its IPv6-mapped form.
func mapped(addr uint32) (a [16]byte) {
	a[10], a[11] = 0xff, 0xff
	binary.BigEndian.PutUint32(a[12:], addr)
	return a
}
