package decode

import "github.com/google/gopacket/layers"

// icmpHeader stands before the quoted packet, in ICMP (RFC 792) and ICMPv6
// (RFC 4443 §3) alike.
const icmpHeader = 8

// icmp4 is an ICMP message. Its errors quote the IP header and at least eight
// octets of what it carried (RFC 792, RFC 1812 §4.3.2.3).
func (d *Decoder) icmp4(f frame) Result {
	if len(f.data) < icmpHeader {
		return d.short(f, icmpHeader)
	}
	switch f.data[0] {
	case layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench,
		layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
		return d.quote(f, (*Decoder).ipv4)
	}
	return NotTCP
}

// icmp6 is an ICMPv6 message. Its errors quote as much of the packet as fits.
func (d *Decoder) icmp6(f frame) Result {
	if len(f.data) < icmpHeader {
		return d.short(f, icmpHeader)
	}
	switch f.data[0] {
	case layers.ICMPv6TypeDestinationUnreachable, layers.ICMPv6TypePacketTooBig,
		layers.ICMPv6TypeTimeExceeded, layers.ICMPv6TypeParameterProblem:
		return d.quote(f, (*Decoder).ipv6)
	}
	return NotTCP
}

// quote reads the packet that an ICMP error quotes; ip is its header's
// decoder. From here on only TCP leads anywhere but to NotTCP.
func (d *Decoder) quote(f frame, ip func(*Decoder, frame) Result) Result {
	d.pk.quoting = true
	d.pk.reporter = d.pk.ip.src
	d.pk.icmpType, d.pk.icmpCode = f.data[0], f.data[1]
	return ip(d, f.skip(icmpHeader))
}
