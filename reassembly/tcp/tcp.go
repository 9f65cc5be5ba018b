// Package tcp is the vocabulary that every stage shares: sequence numbers,
// flags, four-tuples, packet references and decoded segments.
//
// Values come in from the decoder and go out to the flow table and the rules.
// Nothing here holds a pointer, reads a clock or touches a file, so a batch of
// segments is invisible to the garbage collector.
package tcp

import "fmt"

// Seq is a position in a sequence space, which is a circle of 2^32 (RFC 9293
// §3.4). Two positions are compared with Less and its kin, never with <.
type Seq uint32

// Less reports whether s stands before t on the half circle that begins at s.
func (s Seq) Less(t Seq) bool { return int32(s-t) < 0 }

// LessEq reports whether s is t or stands before it.
func (s Seq) LessEq(t Seq) bool { return int32(s-t) <= 0 }

// Add moves n octets forward.
func (s Seq) Add(n uint32) Seq { return s + Seq(n) }

// Sub is the signed distance from t to s: positive when s is the later one.
func (s Seq) Sub(t Seq) int32 { return int32(s - t) }

// Max returns the later of s and t.
func (s Seq) Max(t Seq) Seq {
	if s.Less(t) {
		return t
	}
	return s
}

// Flags are the control bits of a TCP header (RFC 9293 §3.1), with AE of
// RFC 9768 as the ninth.
type Flags uint16

// The control bits, at their places in the header.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// Has reports whether every bit of mask is set.
func (f Flags) Has(mask Flags) bool { return f&mask == mask }

// Any reports whether at least one bit of mask is set.
func (f Flags) Any(mask Flags) bool { return f&mask != 0 }

var flagNames = [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"}

// String spells the flags as words, the ones that matter for a state first:
// "SYN,ACK", "FIN,PSH,ACK"; "none" for a segment without any.
func (f Flags) String() string {
	s := ""
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			if s != "" {
				s += ","
			}
			s += name
		}
	}
	if s == "" {
		return "none"
	}
	return s
}

// Side is one of the two ends of a canonical tuple. The zero value is no side.
type Side uint8

// SideA is the end with the lower (address, port), SideB the other one.
const (
	SideA Side = 1 + iota
	SideB
)

// Other is the opposite end.
func (s Side) Other() Side { return SideA + SideB - s }

// Index is 0 for SideA and 1 for SideB, for arrays of two.
func (s Side) Index() int { return int(s-SideA) & 1 }

// String names the side "A" or "B".
func (s Side) String() string {
	switch s {
	case SideA:
		return "A"
	case SideB:
		return "B"
	}
	return fmt.Sprintf("Side(%d)", uint8(s))
}

// PacketRef says where a packet stands: the index of its source and the number
// that Wireshark shows in that source, counted from 1. The zero value refers
// to no packet. References of one run compare with < in (file, frame) order.
type PacketRef uint64

const frameBits = 44

// Ref makes the reference of frame (from 1) in file (from 0).
func Ref(file int, frame uint64) PacketRef {
	return PacketRef(uint64(file)<<frameBits | frame&(1<<frameBits-1))
}

// File is the index of the source.
func (r PacketRef) File() int { return int(r >> frameBits) }

// Frame is the number of the packet in its source, from 1; 0 for no packet.
func (r PacketRef) Frame() uint64 { return uint64(r & (1<<frameBits - 1)) }

// String is "FILE:FRAME", the form in which flow ids are written.
func (r PacketRef) String() string { return fmt.Sprintf("%d:%d", r.File(), r.Frame()) }
