package decode

import (
	"github.com/lastack/lastack/reassembly/tcp"
)

// Lengths within the TCP header (RFC 9293 §3.1), in octets.
const (
	tcpFixed  = 20 // without options
	tcpFlags  = 14 // up to and including the control bits
	tcpWindow = 16 // up to and including the window
	tcpPorts  = 8  // ports and sequence number: what ICMP must quote
)

const (
	flagBits   = uint16(tcp.FIN | tcp.SYN | tcp.RST | tcp.PSH | tcp.ACK | tcp.URG | tcp.ECE | tcp.CWR | tcp.AE)
	checked    = tcp.SYN | tcp.FIN | tcp.RST // segments whose checksum is verified
	openWindow = 0xffff                      // stands for a window that was not captured
)

// header reads a TCP header of which at least tcpFlags octets were captured in
// b, in an IP payload of n octets, and reports whether its length can be that
// of a TCP header. One that is longer than the payload counts as all header,
// with its options cut: hosts discard such a segment, but it was on the wire.
// The ports are the caller's.
func header(out *tcp.Segment, b []byte, n int) bool {
	off := headerLength(b)
	if off < tcpFixed {
		return false
	}
	out.Seq = tcp.Seq(be32(b[4:8]))
	out.Ack = tcp.Seq(be32(b[8:12]))
	out.Flags = tcp.Flags(be16(b[12:14]) & flagBits)
	out.Len = uint32(max(n-off, 0))
	out.Window = openWindow
	if len(b) >= tcpWindow {
		out.Window = be16(b[14:16])
	}
	switch {
	case off == tcpFixed:
	case off == tcpFixed+timestampsSize && len(b) >= off && be32(b[tcpFixed:]) == nopNopTimestamps:
		out.TSVal, out.TSEcr = be32(b[24:28]), be32(b[28:32])
		out.Options = tcp.OptAny | tcp.OptTimestamps
	default:
		out.Options = tcp.OptAny
		options(out, b[min(tcpFixed, len(b)):min(off, len(b))], off-tcpFixed)
	}
	return true
}

// headerLength is the length that a TCP header gives itself.
func headerLength(b []byte) int { return int(b[12]>>4) * 4 }

// segment is the TCP segment that the innermost IP header carries.
func (d *Decoder) segment(f frame) Result {
	pk := &d.pk
	switch {
	case f.wire < tcpFixed:
		return d.malformed(badTCP)
	case len(f.data) < tcpFlags:
		return d.undecodable(cutTCP)
	}
	out := pk.out
	*out = tcp.Segment{At: pk.at, Ref: pk.ref, Kind: tcp.KindTCP, IPID: pk.ip.id, TTL: pk.ip.ttl}
	if !header(out, f.data, f.wire) || pk.guessed && headerLength(f.data) > f.wire {
		return d.malformed(badTCP)
	}
	if len(f.data) < tcpFixed {
		d.count.cutHeaders++
	}
	d.setTuple(f.data)
	switch {
	case pk.prefixOnly:
		// How much is kept says nothing of how much was captured, and the
		// checksum cannot be verified.
	case len(f.data) < f.wire:
		pk.snapped = true
	case out.Flags.Any(checked):
		d.verify(out, f.data, pk.ip.pseudo())
	}
	if pk.snapped {
		out.Quality |= tcp.Snapped
	}
	if pk.reassembled {
		out.Quality |= tcp.Reassembled
	}
	if pk.networks > 1 {
		out.Quality |= tcp.Tunnelled
	}
	return Segment
}

// quoted is the TCP header in the packet that an ICMP error quotes.
func (d *Decoder) quoted(f frame) Result {
	pk := &d.pk
	if len(f.data) < tcpPorts {
		return d.short(f, tcpPorts)
	}
	out := pk.out
	*out = tcp.Segment{
		At: pk.at, Ref: pk.ref, Kind: tcp.KindICMP, IPID: pk.ip.id, TTL: pk.ip.ttl,
		Reporter: pk.reporter, ICMPType: pk.icmpType, ICMPCode: pk.icmpCode,
	}
	if len(f.data) < tcpFlags || !header(out, f.data, f.wire) {
		out.Seq = tcp.Seq(be32(f.data[4:8]))
	}
	d.setTuple(f.data)
	if pk.snapped {
		out.Quality |= tcp.Snapped
	}
	if pk.networks > 2 {
		out.Quality |= tcp.Tunnelled
	}
	return Quote
}

// setTuple makes the flow's key from the innermost IP header and the ports in
// b, the beginning of a TCP header.
func (d *Decoder) setTuple(b []byte) {
	out, ip := d.pk.out, &d.pk.ip
	out.Tuple, out.From = tcp.MakeTuple(&ip.src, &ip.dst, be16(b[0:2]), be16(b[2:4]))
	out.Tuple.Tag = d.pk.tag
}

// verify checks the TCP checksum of a segment captured whole.
func (d *Decoder) verify(out *tcp.Segment, b []byte, pseudo uint64) {
	d.count.checksums++
	if !checksumOK(b, pseudo) {
		out.Quality |= tcp.BadChecksum
		d.count.badChecksums++
	}
}
