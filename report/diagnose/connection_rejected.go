package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func connectionRejected() Rule {
	return Rule{
		ID:       "connection-rejected",
		Title:    "a firewall's RST or an ICMP error answered the SYN",
		Severity: Warning,
		Doc:      connectionRejectedDoc,
		RFC:      []string{"RFC 1122 §4.2.3.9", "RFC 5461 §3", "RFC 792", "RFC 4443 §3.1", "RFC 9293 §3.5.3"},
		Replaces: []string{"connection-refused"},
		needs:    signICMP | marked(reassembly.RSTSent),
		Check:    checkRejected,
	}
}

const connectionRejectedDoc = `What it means
  Something told the client at once that it may not connect, or cannot: a
  firewall that rejects, or a router that knows no way. On Linux connect() fails
  at the first such message (EHOSTUNREACH, ENETUNREACH, ECONNREFUSED).

Signature
  An ICMP error that quotes the SYN, sequence number included: "destination
  unreachable" (type 3, any code but 4; ICMPv6 type 1), "time exceeded" (11; 3)
  or "parameter problem" (12; 4). The address that sent it names the one who
  refuses.
  Or: an RST that acknowledges the SYN, and then, for the same SYN, the server's
  own SYN-ACK: the RST was sent in the server's name.

Look-alikes
  An RST alone: connection-refused. A firewall's is octet for octet the same;
  only other segments of the host, with another time to live, tell them apart.
  An RST to one SYN and a SYN-ACK to the next: a service that just started.
  ICMP "fragmentation needed", or "time exceeded" to a client that goes on: no
  rejection.
  An ICMP error that quotes another sequence number: it may be forged.
  An ICMP error on a connection that is open: it does not end it (RFC 5461).

What it usually is
  Code 1, or ICMPv6 3, from the last router: the host is off. Code 0 (ICMPv6 0):
  no route. Codes 9, 10, 13 (ICMPv6 1, 5, 6): a rule of a firewall. Code 3
  (ICMPv6 4), mostly from the host itself: its own firewall. "Time exceeded": a
  loop in the routes.

What to do
  Ask the one who sent it: the rule or route is on that address.

What would prove it
  The counters of its rules, its routing table.`

// repeatsSYN is when a client that goes on has sent its SYN again, ns: after the
// initial timer of 1 s (RFC 6298 §2.1).
const repeatsSYN = 1.5e9

func checkRejected(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.FirstSYNRef == 0 {
		return
	}
	if h.Outcome == reassembly.Unreachable {
		n := newFinding(f, rejecter(f, f.Server()), Certain, synEvidence(f), icmpEvidence(f, f.Server()))
		if !unreachable(f) && f.Until-h.ICMP < repeatsSYN {
			n.lower(f, Possible, 0) // whether the client goes on is not seen
		}
		n.Duration = max(h.ICMP-h.FirstSYN, 0)
		by := h.ICMPReporter.String()
		if n.Who == ServerHost {
			by = "the server's own host"
		}
		n.Verdict = fmt.Sprintf("the connection to %s was rejected by %s: an ICMP error answered the SYN after %s (%s)",
			f.Addr(f.Server()), by, Span(n.Duration), icmpWords(f))
		if n.rests(f, onPackets) {
			emit(n)
		}
		return
	}
	checkRejectedByRST(f, emit)
}

// checkRejectedByRST asks whether an RST came in the server's name: the server
// itself answered the same SYN with a SYN-ACK.
func checkRejectedByRST(f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	rst := refusal(f)
	if rst == nil || h.SYNACKRef == 0 || h.SYNACK < rst.At {
		return
	}
	if m := firstMark(f, f.Client, reassembly.SYNAgain, rst.At); m != nil && m.At < h.SYNACK {
		return // each SYN has its own answer: the service has started meanwhile
	}
	n := newFinding(f, Middlebox, Certain, synEvidence(f),
		Evidence{Ref: rst.Ref, At: rst.At, Side: f.Server(), What: "an RST acknowledges the SYN"},
		synACKEvidence(f, "the server's own SYN-ACK for the same SYN"))
	n.Duration = max(rst.At-h.FirstSYN, 0)
	n.Verdict = fmt.Sprintf("an RST in the name of %s rejected the connection after %s, although the server itself answered the same SYN with a SYN-ACK (%s): something on the path sent the RST",
		f.Addr(f.Server()), Span(n.Duration), frame(h.SYNACKRef))
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// refusal is the first RST of the server that acknowledges the SYN, or nil.
func refusal(f *reassembly.Flow) *reassembly.Mark {
	m := firstMark(f, f.Server(), reassembly.RSTSent, f.Handshake.FirstSYN)
	if m == nil || !m.Packet.Flags.Has(tcp.RST|tcp.ACK) {
		return nil
	}
	return m
}
