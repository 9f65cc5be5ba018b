package decode

import "github.com/google/gopacket/layers"

// PPP protocol numbers.
const (
	pppIPv4           = 0x0021
	pppVJCompressed   = 0x002d
	pppVJUncompressed = 0x002f
	pppIPv6           = 0x0057
	pppMPLS           = 0x0281
	pppMPLSMulticast  = 0x0283
)

// ppp is a PPP frame (RFC 1661 §2), in HDLC-like framing (RFC 1662 §3.1) or
// without, or Cisco HDLC, which shares link types with it. gopacket's PPP
// decoder indexes without looking at the length.
func (d *Decoder) ppp(f frame) Result {
	const (
		allStations  = 0xff
		unnumbered   = 0x03
		ciscoUnicast = 0x0f
		ciscoMulti   = 0x8f
	)
	if len(f.data) < 2 {
		return d.short(f, 2)
	}
	switch first := f.data[0]; {
	case first == allStations && f.data[1] == unnumbered:
		f = f.skip(2)
	case (first == ciscoUnicast || first == ciscoMulti) && f.data[1] == 0:
		return d.after(f, 2, 4)
	}
	if len(f.data) < 2 {
		return d.short(f, 2)
	}
	protocol := uint16(f.data[0])
	if protocol&1 != 0 {
		f = f.skip(1) // compressed to one octet: only the last one is odd
	} else {
		protocol = be16(f.data)
		f = f.skip(2)
	}
	switch protocol {
	case pppIPv4:
		return d.ipv4(f)
	case pppIPv6:
		return d.ipv6(f)
	case pppMPLS, pppMPLSMulticast:
		return d.mpls(f)
	case pppVJUncompressed:
		return d.vanJacobson(f)
	case pppVJCompressed:
		return d.undecodable(compressedVJ)
	}
	return NotTCP
}

// vanJacobson is an uncompressed packet of a compressed link: the connection's
// number stands where IP names the protocol, which is TCP (RFC 1144 §3.2.3).
func (d *Decoder) vanJacobson(f frame) Result {
	return d.ipv4As(f, layers.IPProtocolTCP)
}

// pppWithDirection is PPP behind an octet that tells sent from received.
func (d *Decoder) pppWithDirection(f frame) Result {
	return d.behind(f, 1, (*Decoder).pppAfterDirection)
}

// pppAfterDirection: pppd writes the direction over the first octet of the
// framing, other programs put it before.
func (d *Decoder) pppAfterDirection(f frame) Result {
	if len(f.data) > 1 && f.data[0] == 0x03 {
		f = f.skip(1)
	}
	return d.ppp(f)
}

// pppoe is the session stage of RFC 2516 §4.
func (d *Decoder) pppoe(f frame) Result {
	const (
		header         = 6
		versionAndType = 0x11
		sessionData    = 0
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	if f.data[0] != versionAndType {
		return d.malformed(badLink)
	}
	if f.data[1] != sessionData {
		return NotTCP // discovery
	}
	d.mark(tagPPPoE, uint32(be16(f.data[2:])))
	n := int(be16(f.data[4:]))
	f = f.skip(header)
	if n > 0 {
		f = f.atMost(n)
	}
	return d.ppp(f)
}
