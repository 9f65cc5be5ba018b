package decode

import (
	"github.com/google/gopacket/layers"
)

// IP protocols that gopacket has no name for.
const (
	protoIPComp   = layers.IPProtocol(108) // RFC 3173
	protoEthernet = layers.IPProtocol(143) // RFC 8986 §4.9
)

// payload is what an IP header, or an extension header, carries.
func (d *Decoder) payload(protocol layers.IPProtocol, f frame) Result {
	if !d.enter() {
		return d.undecodable(tooDeep)
	}
	switch protocol {
	case layers.IPProtocolTCP:
		if d.pk.quoting {
			return d.quoted(f)
		}
		return d.segment(f)
	case layers.IPProtocolAH:
		return d.authenticated(f)
	case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination,
		protoMobility, protoHIP, protoShim6:
		if d.pk.ip.v6 {
			return d.extension(protocol, f)
		}
		return NotTCP
	case layers.IPProtocolIPv6Fragment:
		if d.pk.ip.v6 {
			return d.fragmentHeader(f)
		}
		return NotTCP
	}
	if d.pk.quoting {
		return NotTCP
	}
	return d.nested(protocol, f)
}

// nested is what an IP header carries besides TCP.
func (d *Decoder) nested(protocol layers.IPProtocol, f frame) Result {
	switch protocol {
	case layers.IPProtocolUDP:
		return d.udp(f)
	case layers.IPProtocolICMPv4:
		if d.pk.ip.v6 {
			return NotTCP
		}
		return d.icmp4(f)
	case layers.IPProtocolICMPv6:
		if !d.pk.ip.v6 {
			return NotTCP
		}
		return d.icmp6(f)
	case layers.IPProtocolIPv4:
		return d.ipv4(f)
	case layers.IPProtocolIPv6:
		return d.ipv6(f)
	case layers.IPProtocolGRE:
		return d.greTunnel(f)
	case layers.IPProtocolEtherIP:
		return d.behind(f, 2, (*Decoder).ethernet) // RFC 3378
	case layers.IPProtocolMPLSInIP:
		return d.mpls(f)
	case protoEthernet:
		return d.ethernet(f)
	case protoIPComp:
		return d.compressed(f)
	}
	return NotTCP
}

// carriesTCP reports whether fragments of a protocol are worth keeping.
func carriesTCP(protocol layers.IPProtocol) bool {
	switch protocol {
	case layers.IPProtocolTCP, layers.IPProtocolAH, layers.IPProtocolUDP,
		layers.IPProtocolICMPv4, layers.IPProtocolICMPv6, layers.IPProtocolIPv4, layers.IPProtocolIPv6,
		layers.IPProtocolGRE, layers.IPProtocolEtherIP, layers.IPProtocolMPLSInIP,
		layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination,
		protoMobility, protoHIP, protoShim6, protoEthernet, protoIPComp:
		return true
	}
	return false
}

// authenticated is the IP Authentication Header (RFC 4302 §2), which hides
// nothing.
func (d *Decoder) authenticated(f frame) Result {
	const header = 12
	if len(f.data) < header {
		return d.short(f, header)
	}
	n := int(f.data[1])*4 + 8
	if n < header {
		return d.malformed(badLink)
	}
	if len(f.data) < n {
		return d.short(f, n)
	}
	return d.payload(layers.IPProtocol(f.data[0]), f.skip(n))
}
