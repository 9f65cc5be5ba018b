package decode

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

const (
	ipv4Header   = 20
	ipv6Header   = 40
	fragmentMask = 0x3fff // more fragments, and the offset
	moreFollow   = 0x2000
	offsetMask   = 0x1fff
)

// asNamed lets an IPv4 header itself name the protocol that it carries.
const asNamed = layers.IPProtocol(0)

// ipv4 is an IPv4 packet (RFC 791 §3.1).
func (d *Decoder) ipv4(f frame) Result { return d.ipv4As(f, asNamed) }

// ipv4As is an IPv4 packet that carries the given protocol, whatever its
// header says. A total length of 0 is a segment that the capturing host had
// yet to cut (TSO, BIG TCP): it takes the frame's length. A total length that
// the frame could not hold is believed if the header's checksum is right: then
// the frame was cut without a note of it. Otherwise the header is damaged, and
// the frame's length is the better guess.
func (d *Decoder) ipv4As(f frame, protocol layers.IPProtocol) Result {
	if !d.enter() {
		return d.undecodable(tooDeep)
	}
	if len(f.data) < ipv4Header {
		return d.short(f, ipv4Header)
	}
	head := int(f.data[0]&0x0f) * 4
	total := int(be16(f.data[2:]))
	if total == 0 || d.pk.quoting && total < head {
		total = f.wire // and some routers damage the length that they quote
	}
	if f.data[0]>>4 != 4 || head < ipv4Header || total < head {
		return d.malformed(badIPv4)
	}
	if len(f.data) < head {
		return d.short(f, head)
	}
	h := f.data[:head]
	if total > f.wire && !d.pk.quoting && fold(sum(0, h)) != 0xffff {
		total = f.wire
	}
	f = f.exactly(total)
	d.pk.networks++
	d.pk.ip = network{
		src: mapped(be32(h[12:])),
		dst: mapped(sourceRoute(h)),
		id:  be16(h[4:]),
		ttl: h[8],
	}
	if protocol == asNamed {
		protocol = layers.IPProtocol(h[9])
	}
	f = f.skip(head)
	if bits := be16(h[6:]); bits&fragmentMask != 0 {
		return d.fragment(protocol, uint32(d.pk.ip.id), int(bits&offsetMask)*8, bits&moreFollow != 0, f)
	}
	return d.payload(protocol, f)
}

// sourceRoute is the final destination of an IPv4 packet: the last address of
// a source route that is not used up (RFC 791 §3.1), or the header's. The
// pseudo-header of TCP, and the way back, use the final one.
func sourceRoute(h []byte) uint32 {
	const (
		end    = 0
		nop    = 1
		loose  = 131
		strict = 137
	)
	for o := h[ipv4Header:]; len(o) > 1 && o[0] != end; {
		if o[0] == nop {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if n < 2 || n > len(o) {
			break
		}
		if (o[0] == loose || o[0] == strict) && n >= 7 && int(o[2]) <= n-3 {
			last := 3 + (n-3)/4*4 - 4
			return be32(o[last:])
		}
		o = o[n:]
	}
	return be32(h[16:])
}

// ipv6 is an IPv6 packet (RFC 8200 §3). With a payload length of 0 the length
// is that of the jumbo option (RFC 2675), or where there is none, the frame's.
func (d *Decoder) ipv6(f frame) Result {
	if !d.enter() {
		return d.undecodable(tooDeep)
	}
	if len(f.data) < ipv6Header {
		return d.short(f, ipv6Header)
	}
	h := f.data[:ipv6Header]
	if h[0]>>4 != 6 {
		return d.malformed(badIPv6)
	}
	d.pk.networks++
	d.pk.ip = network{
		src: [16]byte(h[8:24]),
		dst: [16]byte(h[24:40]),
		ttl: h[7],
		v6:  true,
	}
	n := int(be16(h[4:]))
	f = f.skip(ipv6Header)
	if n > 0 {
		f = f.exactly(n)
	} else {
		d.pk.ip.noLength = true
	}
	return d.payload(layers.IPProtocol(h[6]), f)
}

// Extension headers that gopacket has no name for.
const (
	protoMobility = layers.IPProtocol(135) // RFC 6275
	protoHIP      = layers.IPProtocol(139) // RFC 7401
	protoShim6    = layers.IPProtocol(140) // RFC 5533
)

// extension is an IPv6 extension header of the common form: the next header,
// the length in units of eight octets, and its contents.
func (d *Decoder) extension(kind layers.IPProtocol, f frame) Result {
	if len(f.data) < 8 {
		return d.short(f, 8)
	}
	n := int(f.data[1])*8 + 8
	if len(f.data) < n {
		return d.short(f, n)
	}
	h := f.data[:n]
	switch kind {
	case layers.IPProtocolIPv6HopByHop:
		if jumbo := jumboLength(h); jumbo > 0 && d.pk.ip.noLength {
			f = f.exactly(max(jumbo, n))
		}
	case layers.IPProtocolIPv6Routing:
		d.route(h)
	}
	return d.payload(layers.IPProtocol(h[0]), f.skip(n))
}

// jumboLength is the length in the jumbo option of a hop-by-hop header (RFC
// 2675 §2), 0 if there is none.
func jumboLength(h []byte) int {
	const (
		pad1  = 0
		jumbo = layers.IPv6HopByHopOptionJumbogram
	)
	for o := h[2:]; len(o) > 0; {
		if o[0] == pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || len(o) < 2+int(o[1]) {
			break
		}
		if o[0] == jumbo && o[1] == 4 {
			// A length below 65,536 is not allowed, but harmless.
			return int(binary.BigEndian.Uint32(o[2:]) & 0x7fffffff)
		}
		o = o[2+o[1]:]
	}
	return 0
}

// route takes the final destination from a routing header that is not used up:
// the last address of types 0 (RFC 2460 §4.4) and 2 (RFC 6275 §6.4), the first
// of a segment routing header (RFC 8754 §2), which lists them backwards.
func (d *Decoder) route(h []byte) {
	const (
		source  = 0
		home    = 2
		segment = 4
		fixed   = 8
	)
	if left := h[3]; left == 0 || len(h) < fixed+16 {
		return
	}
	switch h[2] {
	case source, home:
		last := fixed + (len(h)-fixed)/16*16 - 16
		d.pk.ip.dst = [16]byte(h[last : last+16])
	case segment:
		d.pk.ip.dst = [16]byte(h[fixed : fixed+16])
	}
}

// fragmentHeader is the IPv6 fragment header (RFC 8200 §4.5). With nothing
// before or after it the packet is whole (an atomic fragment, RFC 6946).
func (d *Decoder) fragmentHeader(f frame) Result {
	const header = 8
	if len(f.data) < header {
		return d.short(f, header)
	}
	next := layers.IPProtocol(f.data[0])
	bits := be16(f.data[2:])
	id := be32(f.data[4:])
	offset, more := int(bits&^7), bits&1 != 0
	f = f.skip(header)
	if offset == 0 && !more {
		return d.payload(next, f)
	}
	return d.fragment(next, id, offset, more, f)
}

// looksLikeIP reports whether f begins with an IP header that fits into it.
func looksLikeIP(f frame) bool {
	switch {
	case len(f.data) >= ipv4Header && f.data[0]>>4 == 4:
		head, total := int(f.data[0]&0x0f)*4, int(be16(f.data[2:]))
		return head >= ipv4Header && (total == 0 || total >= head && total <= f.wire)
	case len(f.data) >= ipv6Header && f.data[0]>>4 == 6:
		return int(be16(f.data[4:]))+ipv6Header <= f.wire
	}
	return false
}
