package compat

import "github.com/lastack/lastack/reassembly/tcp"

// The bits of Wireshark's tcp.completeness.
const (
	sawSYN = 1 << iota
	sawSYNACK
	sawACK
	sawData
	sawFIN
	sawRST
	completeness = 1<<iota - 1
)

// Completeness is Wireshark's tcp.completeness of the flow so far: 1 SYN,
// 2 SYN-ACK, 4 ACK, 8 data, 16 FIN, 32 RST.
//
// Wireshark (dissect_tcp in packet-tcp.c) updates it with each segment, after
// it has shown it, and in two ways. The segment that begins a stream counts
// only when it is a pure SYN: as SYN, with payload also as data. Any other
// counts as SYN-ACK; as ACK when it has no payload and as data when it has,
// if it has ACK and no SYN; as FIN if it has ACK too; as RST. A SYN does not
// count there, so that one behind its SYN-ACK is never seen. In the second
// pass no stream is new, so the first segment is also counted in the other
// way, but only the segments after it show that: the first one's share is
// missing from a stream of one segment. A stream that begins because its ports
// are used again is not new either: see Reused.
func (s *State) Completeness() uint8 {
	switch {
	case s.wire&several != 0:
		return s.wire & completeness
	case s.wire&sawSYN != 0:
		return s.wire & (sawSYN | sawData)
	}
	return 0
}

// Reused says, before the first segment, that this is a pure SYN which begins
// another connection of a four-tuple. For Wireshark such a stream has seen its
// SYN and is not new: the SYN's payload does not count, its RST does.
func (s *State) Reused() { s.wire |= several }

// complete counts one segment for Completeness.
func (s *State) complete(seg *tcp.Segment) {
	var saw uint8
	switch seg.Flags & (tcp.SYN | tcp.ACK) {
	case tcp.ACK:
		saw = sawACK
		if seg.Len > 0 {
			saw = sawData
		}
	case tcp.SYN | tcp.ACK:
		saw = sawSYNACK
	case tcp.SYN:
		if !s.started() {
			saw = sawSYN
			if seg.Len > 0 && s.wire&several == 0 {
				saw |= sawData
			}
		}
	}
	if seg.Flags.Has(tcp.FIN | tcp.ACK) {
		saw |= sawFIN
	}
	if seg.Flags&tcp.RST != 0 {
		saw |= sawRST
	}
	if s.started() {
		saw |= several
	}
	s.wire |= saw
}
