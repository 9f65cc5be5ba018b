package decode

import "encoding/binary"

// Link types that wrap a frame in a description of how it was captured.

// pflog is the log of OpenBSD's packet filter: a header that begins with its
// length, padded to four octets, then IP.
func (d *Decoder) pflog(f frame) Result {
	if len(f.data) < 4 {
		return d.short(f, 4)
	}
	return d.behind(f, (int(f.data[0])+3)&^3, (*Decoder).rawIP)
}

// ppi is the Per-Packet Information header: version, flags, length and the
// link type of what follows.
func (d *Decoder) ppi(f frame) Result {
	if len(f.data) < 8 {
		return d.short(f, 8)
	}
	n := int(binary.LittleEndian.Uint16(f.data[2:]))
	inner := binary.LittleEndian.Uint32(f.data[4:])
	return d.wrapped(f, n, 8, inner)
}

// pktap is Darwin's capture of any interface.
func (d *Decoder) pktap(f frame) Result {
	if len(f.data) < 12 {
		return d.short(f, 12)
	}
	n := binary.LittleEndian.Uint32(f.data[0:])
	inner := binary.LittleEndian.Uint32(f.data[8:])
	if n > 0xffff {
		return d.malformed(badLink)
	}
	return d.wrapped(f, int(n), 12, inner)
}

// wrapped goes on behind a header of n octets, at least least, with the link
// type that it names.
func (d *Decoder) wrapped(f frame, n, least int, link uint32) Result {
	switch {
	case n < least || link > 0xffff:
		return d.malformed(badLink)
	case len(f.data) < n:
		return d.short(f, n)
	}
	return d.link(uint16(link), f.skip(n))
}

// nflog is the log of Linux' netfilter: attributes of type, length and value,
// one of which is the packet. The byte order is that of the capturing host,
// and shows in the first type.
func (d *Decoder) nflog(f frame) Result {
	const (
		header  = 4
		attr    = 4
		payload = 9      // NFULA_PAYLOAD
		largest = 0xff   // no attribute has a higher type
		nested  = 0x7fff // the highest bit marks nested attributes
	)
	if len(f.data) < header+attr {
		return d.short(f, header+attr)
	}
	f = f.skip(header)
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint16(f.data[2:])&nested > largest {
		order = binary.BigEndian
	}
	for f.wire >= attr {
		if len(f.data) < attr {
			return d.short(f, attr)
		}
		n := int(order.Uint16(f.data[0:]))
		kind := order.Uint16(f.data[2:]) & nested
		if n < attr || n > f.wire {
			return d.malformed(badLink)
		}
		if kind == payload {
			return d.rawIP(f.atMost(n).skip(attr))
		}
		padded := (n + 3) &^ 3
		if padded > len(f.data) {
			return d.short(f, padded)
		}
		f = f.skip(padded)
	}
	return NotTCP
}

// juniper is what a Juniper router captures: a header with attributes of its
// own, then the frame, or IP where the interface has no frames.
func (d *Decoder) juniper(f frame, next func(*Decoder, frame) Result) Result {
	const (
		header    = 4
		magic     = 0x4d4743
		noFrame   = 0x02
		extended  = 0x80
		extension = 2 // its length, then as much
		family    = 4
	)
	if len(f.data) < header {
		return d.short(f, header)
	}
	word := be32(f.data)
	if word>>8 != magic {
		return d.malformed(badLink)
	}
	n := header
	if word&extended != 0 {
		if len(f.data) < n+extension {
			return d.short(f, n+extension)
		}
		n += extension + int(be16(f.data[n:]))
	}
	if word&noFrame != 0 {
		return d.behind(f, n+family, (*Decoder).rawIP)
	}
	return d.behind(f, n, next)
}

// erf is Endace's extensible record format: a header, then extension headers
// of eight octets that each say whether another one follows.
func (d *Decoder) erf(f frame) Result {
	const (
		header    = 16
		kindAt    = 8
		more      = 0x80
		extension = 8
		padding   = 2 // before Ethernet
		ethernet  = 2
		colored   = 11
		dsm       = 16
		hashed    = 20
		ipv4      = 22
		ipv6      = 23
	)
	n, at := header, kindAt
	for {
		if len(f.data) < n {
			return d.short(f, n)
		}
		if f.data[at]&more == 0 {
			break
		}
		at = n
		n += extension
	}
	switch f.data[kindAt] &^ more {
	case ethernet, colored, dsm, hashed:
		return d.behind(f, n+padding, (*Decoder).ethernet)
	case ipv4, ipv6:
		return d.rawIP(f.skip(n))
	}
	return NotTCP
}

// tokenRing is IEEE 802.5: access and frame control, two addresses, the route
// if the second address says so, then LLC.
func (d *Decoder) tokenRing(f frame) Result {
	const (
		header    = 14
		kind      = 0xc0
		llc       = 0x40
		routed    = 0x80
		routeSize = 0x1f
	)
	if len(f.data) < header+1 {
		return d.short(f, header+1)
	}
	if f.data[1]&kind != llc {
		return NotTCP
	}
	n := header
	if f.data[8]&routed != 0 {
		n += int(f.data[header] & routeSize)
	}
	return d.behind(f, n, (*Decoder).logicalLink)
}
