package diagnose

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// icmpEvidence is the ICMP error that quotes the flow, if there was one, which came
// from the direction of a side.
func icmpEvidence(f *reassembly.Flow, from tcp.Side) Evidence {
	h := &f.Handshake
	if h.ICMPRef == 0 {
		return Evidence{}
	}
	return Evidence{Ref: h.ICMPRef, At: h.ICMP, Side: from,
		What: fmt.Sprintf("an ICMP error of %s: %s", h.ICMPReporter, icmpWords(f))}
}

// unreachable reports that the ICMP error is "destination unreachable".
func unreachable(f *reassembly.Flow) bool {
	if f.Addr(f.Client).Addr().Is4() {
		return f.Handshake.ICMPType == 3
	}
	return f.Handshake.ICMPType == 1
}

// icmpWords is what an ICMP error says (RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1).
func icmpWords(f *reassembly.Flow) string {
	h := &f.Handshake
	words := map[uint8]string{0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
		4: "fragmentation needed", 5: "source route failed", 6: "network unknown", 7: "host unknown", 9: "network administratively prohibited",
		10: "host administratively prohibited", 13: "administratively prohibited"}
	exceeded := uint8(11)
	if f.Addr(f.Client).Addr().Is6() {
		words = map[uint8]string{0: "no route", 1: "administratively prohibited", 2: "beyond the scope of the source",
			3: "address unreachable", 4: "port unreachable", 5: "source address failed policy", 6: "route rejected"}
		exceeded = 3
	}
	if w := words[h.ICMPCode]; w != "" && unreachable(f) {
		return w
	}
	switch {
	case h.ICMPType == exceeded:
		return "time exceeded"
	case h.ICMPType == 2 && exceeded == 3:
		return "packet too big"
	}
	return fmt.Sprintf("type %d, code %d", h.ICMPType, h.ICMPCode)
}

// rejecter is who refuses by an ICMP error what was sent to side to: that side's
// own host, a firewall, or the path where no way leads on.
func rejecter(f *reassembly.Flow, to tcp.Side) Party {
	h := &f.Handshake
	switch {
	case h.ICMPReporter == f.Addr(to).Addr():
		return host(f, to)
	case !unreachable(f):
	case f.Addr(f.Client).Addr().Is4():
		switch h.ICMPCode {
		case 2, 3, 9, 10, 13:
			return Middlebox
		}
	default:
		switch h.ICMPCode {
		case 1, 4, 5, 6:
			return Middlebox
		}
	}
	return Path
}

// returned is the ICMP error that answered what side s had sent since some time,
// with who sent that and what it says; "" without one. Of a flow's errors the first
// is known. An open connection survives them (RFC 1122 §4.2.3.9).
func returned(f *reassembly.Flow, s tcp.Side, since int64) (e Evidence, by Party, why string) {
	h, o := &f.Handshake, s.Other()
	quotes := func(m reassembly.Mark) bool { return m.Ref == h.ICMPRef && m.Side == s }
	if h.ICMPRef == 0 || h.ICMP < since || !slices.ContainsFunc(f.Marks, quotes) {
		return e, by, ""
	}
	from := h.ICMPReporter.String()
	if by = rejecter(f, o); by == host(f, o) {
		from = fmt.Sprintf("the %s's own host", role(f, o))
	}
	return icmpEvidence(f, o), by, fmt.Sprintf("%s returned an ICMP error (%s), so it gets no further than there", from, icmpWords(f))
}
