package decode

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// greTunnel is GRE (RFC 2784, RFC 2890), or PPTP's version of it (RFC 2637).
// gopacket's decoder reads the fields that the flags announce without looking
// at the length.
func (d *Decoder) greTunnel(f frame) Result {
	const (
		checksum = 0x8000
		routing  = 0x4000
		key      = 0x2000
		sequence = 0x1000
		ack      = 0x0080 // PPTP only
		version  = 0x0007
		pptp     = 1
	)
	if len(f.data) < 4 {
		return d.short(f, 4)
	}
	flags, protocol := be16(f.data), layers.EthernetType(be16(f.data[2:]))
	if flags&routing != 0 || flags&version > pptp {
		return NotTCP // source routing was never used: RFC 2784 drops it
	}
	n := 4
	if flags&checksum != 0 {
		n += 4
	}
	keyAt := n
	if flags&key != 0 {
		n += 4
	}
	if flags&sequence != 0 {
		n += 4
	}
	if flags&version == pptp && flags&ack != 0 {
		n += 4
	}
	if len(f.data) < n {
		return d.short(f, n)
	}
	if flags&version == pptp {
		size := int(be16(f.data[keyAt:])) // and the call's id in the key's other half
		if flags&key == 0 || size == 0 {
			return NotTCP // a bare acknowledgement
		}
		return d.ppp(f.skip(n).atMost(size))
	}
	if flags&key != 0 {
		d.mark(tagGRE, be32(f.data[keyAt:]))
	}
	f = f.skip(n)
	if protocol == etherERSPAN2 && flags&sequence == 0 {
		return d.ethernet(f) // type I has no header of its own
	}
	return d.grePayload(protocol, f)
}

// grePayload goes on with what a GRE header names.
func (d *Decoder) grePayload(protocol layers.EthernetType, f frame) Result {
	switch protocol {
	case etherERSPAN2, etherERSPAN3:
		return d.erspan(f)
	case etherWCCP:
		if len(f.data) > 0 && f.data[0]>>4 != 4 {
			return d.behind(f, 4, (*Decoder).ipv4) // version 2 has a redirect header
		}
		return d.ipv4(f)
	}
	return d.etherType(protocol, f)
}

// erspan is a mirrored frame behind the header of ERSPAN type II or III
// (draft-foschiano-erspan §4).
func (d *Decoder) erspan(f frame) Result {
	const (
		header2     = 8
		header3     = 12
		subheader   = 8
		session     = 0x03ff
		typeIII     = 2
		optional    = 0x0001 // a platform's own subheader follows
		frameType   = 0x7c00
		frameTypeIP = 0x0800
	)
	if len(f.data) < header2 {
		return d.short(f, header2)
	}
	d.mark(tagERSPAN, uint32(be16(f.data[2:])&session))
	if f.data[0]>>4 != typeIII {
		return d.ethernet(f.skip(header2))
	}
	if len(f.data) < header3 {
		return d.short(f, header3)
	}
	n, word := header3, be16(f.data[10:])
	if word&optional != 0 {
		n += subheader
	}
	if word&frameType == frameTypeIP {
		return d.behind(f, n, (*Decoder).rawIP)
	}
	return d.behind(f, n, (*Decoder).ethernet)
}

// UDP ports of tunnels.
const (
	portL2TP       = 1701
	portGTP        = 2152
	portTeredo     = 3544
	portGRE        = 4754 // RFC 8086
	portVXLAN      = 4789
	portVXLANGPE   = 4790
	portGeneve     = 6081
	portMPLS       = 6635 // RFC 7510
	portVXLANLinux = 8472 // before it was assigned one
	portTZSP       = 37008
	udpHeader      = 8
	udpNoLength    = 0 // RFC 2675 §4: a jumbogram
)

// udp is a UDP datagram. Of interest are the tunnels that run over it. Since
// only a port number names them, each must look like what it should be;
// whatever does not is NotTCP, and so is what proves malformed further in.
func (d *Decoder) udp(f frame) Result {
	if len(f.data) < udpHeader {
		return d.short(f, udpHeader)
	}
	src, dst := be16(f.data[0:]), be16(f.data[2:])
	n := int(be16(f.data[4:]))
	if n != udpNoLength && n < udpHeader {
		return NotTCP
	}
	f = f.skip(udpHeader)
	if n != udpNoLength {
		f = f.atMost(n - udpHeader)
	}
	tunnel := udpTunnel(dst)
	if tunnel == nil {
		tunnel = udpTunnel(src)
	}
	if tunnel == nil {
		return NotTCP
	}
	guessed := d.pk.guessed
	d.pk.guessed = true
	r := tunnel(d, f)
	d.pk.guessed = guessed
	return r
}

// udpTunnel is the decoder of what runs over a UDP port, nil for any other.
func udpTunnel(port uint16) func(*Decoder, frame) Result {
	switch port {
	case portVXLAN, portVXLANLinux:
		return (*Decoder).vxlanTunnel
	case portVXLANGPE:
		return (*Decoder).vxlanGPE
	case portGeneve:
		return (*Decoder).geneve
	case portGTP:
		return (*Decoder).gtp
	case portTeredo:
		return (*Decoder).teredo
	case portL2TP:
		return (*Decoder).l2tp
	case portGRE:
		return (*Decoder).greTunnel
	case portMPLS:
		return (*Decoder).mpls
	case portTZSP:
		return (*Decoder).tzsp
	}
	return nil
}

// vxlanTunnel is RFC 7348 §5, with the flags of the group policy extension.
func (d *Decoder) vxlanTunnel(f frame) Result {
	const (
		header   = 8
		reserved = 0x77 // all but the valid id's and the group policy's flag
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	if err := d.vxlan.DecodeFromBytes(f.data, gopacket.NilDecodeFeedback); err != nil {
		return NotTCP
	}
	if !d.vxlan.ValidIDFlag || f.data[0]&reserved != 0 {
		return NotTCP
	}
	d.mark(tagVXLAN, d.vxlan.VNI)
	return d.ethernet(f.skip(header))
}

// vxlanGPE is RFC 9700's generic protocol extension: it names what it carries.
func (d *Decoder) vxlanGPE(f frame) Result {
	const (
		header   = 8
		valid    = 0x08
		named    = 0x04
		reserved = 0xc0
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	if flags := f.data[0]; flags&valid == 0 || flags&reserved != 0 {
		return NotTCP
	}
	d.mark(tagVXLAN, be32(f.data[4:])>>8)
	if f.data[0]&named == 0 {
		return d.ethernet(f.skip(header))
	}
	return d.nextProtocol(f.data[3], f.skip(header))
}

// geneve is RFC 8926 §3.4. gopacket's decoder keeps the options of all packets
// it ever saw and computes lengths in eight bits.
func (d *Decoder) geneve(f frame) Result {
	const (
		header   = 8
		version  = 0xc0
		options  = 0x3f
		reserved = 0x3f
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	if f.data[0]&version != 0 || f.data[1]&reserved != 0 {
		return NotTCP
	}
	protocol := layers.EthernetType(be16(f.data[2:]))
	d.mark(tagGeneve, be32(f.data[4:])>>8)
	n := header + int(f.data[0]&options)*4
	if len(f.data) < n {
		return d.short(f, n)
	}
	return d.etherType(protocol, f.skip(n))
}

// teredo is IPv6 behind indications of a relay (RFC 4380 §5.1.1).
func (d *Decoder) teredo(f frame) Result {
	const (
		authentication = 0x0001
		origin         = 0x0000
		originSize     = 8
		authSize       = 13 // and the two variable fields
	)
	for range 2 {
		if len(f.data) < 4 {
			return d.short(f, 4)
		}
		n := 0
		switch be16(f.data) {
		case authentication:
			n = authSize + int(f.data[2]) + int(f.data[3])
		case origin:
			n = originSize
		}
		if len(f.data) < n {
			return d.short(f, n)
		}
		f = f.skip(n)
	}
	if len(f.data) < ipv6Header {
		return d.short(f, ipv6Header)
	}
	if f.data[0]>>4 != 6 || !looksLikeIP(f) {
		return NotTCP
	}
	return d.ipv6(f)
}

// l2tp is version 2 (RFC 2661 §3.1). Control messages carry no packets.
func (d *Decoder) l2tp(f frame) Result {
	const (
		control  = 0x8000
		length   = 0x4000
		sequence = 0x0800
		offset   = 0x0200
		priority = 0x0100
		version  = 0x000f
		two      = 2
	)
	if len(f.data) < 2 {
		return d.short(f, 2)
	}
	flags := be16(f.data)
	if flags&control != 0 || flags&version != two || flags&^(length|sequence|offset|priority|version) != 0 {
		return NotTCP
	}
	ids := 2
	if flags&length != 0 {
		ids += 2
	}
	n := ids + 4
	if flags&sequence != 0 {
		n += 4
	}
	if flags&offset != 0 {
		n += 2
	}
	if len(f.data) < n {
		return d.short(f, n)
	}
	if flags&length != 0 {
		size := int(be16(f.data[2:]))
		if size < n || size > f.wire {
			return NotTCP
		}
		f = f.atMost(size)
	}
	if flags&offset != 0 {
		n += int(be16(f.data[n-2:]))
		if len(f.data) < n {
			return d.short(f, n)
		}
	}
	return d.ppp(f.skip(n))
}
