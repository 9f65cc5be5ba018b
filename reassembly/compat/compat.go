// Package compat computes, per flow, the fields by which users of other tools
// know a TCP connection: Wireshark's tcp.completeness, Zeek's history and
// conn_state, and the Community ID.
//
// In come the flow's segments in the order of capture, copies of frames and
// retransmissions included; out go the fields. They follow those tools' own
// rules, also where a better answer is known, and decide nothing else in the
// program. The sources of the rules are named at the functions: Wireshark 4.0
// (epan/dissectors/packet-tcp.c) and Zeek 7 (src/packet_analysis/protocol/tcp,
// src/analyzer/protocol/tcp, scripts/base/protocols/conn/main.zeek).
//
// Two things are not taken over. Zeek splits flows by rules of its own; here a
// flow is what the caller says it is. And Zeek's fields are those of "zeek -C",
// which believes bad checksums: by default Zeek drops such packets, which
// leaves nothing of a capture made on a host with checksum offload. So the
// letter c does not occur.
//
// The package allocates nothing but the strings that it returns, and reads no
// clock, file or payload.
package compat

import "github.com/lastack/lastack/reassembly/tcp"

// State is what the fields need of a flow so far: 40 octets without pointers,
// to be embedded where every packet finds it. The zero value is ready.
//
// Arrays of two are indexed by tcp.Side.Index of the sender. What would take
// more room than its worth is held in less, and each such field says what that
// costs.
type State struct {
	// last is Zeek's last_seq: the furthest end of the sender's segments.
	last [2]tcp.Seq
	// rst and fin tell a repeated RST from one with another sequence number,
	// and a repeated FIN from a moved one, by a hash: one in 65,536, or 256,
	// differing ones is taken for a repetition and leaves no letter.
	rst [2]uint16
	// rexmits, zeros and gaps count for the letters t, w and g, and stop at
	// their maximum: t and w show at most 10,000, g at most 100.
	rexmits [2]uint16
	zeros   [2]uint16
	gaps    [2]uint8
	fin     [2]uint8
	phase   [2]uint8 // Zeek's endpoint state, and the one before it in the upper half
	once    [2]uint8 // letters that the sender has in the history, and sentFIN
	extent  [2]uint8 // how far last and the acknowledgements are beyond the start
	letters letters
	wire    uint8 // completeness, and the two bits below
}

// Bits of wire beside the six of tcp.completeness.
const (
	several = 1 << 6 // there was a second segment, or the first was Reused
	origIsB = 1 << 7 // Zeek's originator is tcp.SideB
)

// Observe takes the next captured segment of the flow. What an ICMP error
// quotes is not one and is passed over.
func (s *State) Observe(seg *tcp.Segment) {
	i := seg.From.Index()
	control := seg.Flags & (tcp.SYN | tcp.FIN | tcp.RST)
	switch {
	case seg.Kind != tcp.KindTCP:
	case control == 0 && s.ordinary(i, seg):
	case control != 0 || s.state(i) == inactive:
		s.complete(seg)
		s.zeekControl(i, control, seg)
	default:
		s.complete(seg)
		s.enterPlain(i, seg)
		s.sequence(i, seg)
	}
}

// ordinary deals with most segments of most flows, in short: data that goes
// beyond the sender's last, or a pure ACK, that is neither the first of its
// kind nor closes the window, once enough was sent for Zeek's questions about
// the size to be answered. It reports false, and does nothing, for any other.
func (s *State) ordinary(i int, seg *tcp.Segment) bool {
	once, saw := uint8(onceACK), uint8(several|sawACK)
	if seg.Len > 0 {
		once, saw = onceData, several|sawData
	}
	if s.once[i]&once == 0 || s.wire&saw != saw || seg.Window == 0 || s.sent(1-i) < far {
		return false
	}
	if state := s.state(i); state == inactive || state == reset {
		return false
	}
	end := seg.Seq.Add(seg.Len)
	ahead := end.Sub(s.last[i])
	if ahead > 0 && s.sent(i) == far {
		s.last[i] = end
		return true
	}
	return ahead <= 0 && seg.Len == 0
}

// started reports whether a segment was observed: it moved its sender on.
func (s *State) started() bool { return s.phase[0]|s.phase[1] != 0 }
