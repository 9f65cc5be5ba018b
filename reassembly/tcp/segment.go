package tcp

import (
	"encoding/binary"
	"math/bits"
)

// Kind tells what a Segment is.
type Kind uint8

const (
	// KindTCP is a TCP segment.
	KindTCP Kind = 1 + iota
	// KindICMP is an ICMP or ICMPv6 error that quotes a TCP header: Tuple,
	// From, Seq (and Ack and Flags, if quoted) are those of the quoted segment.
	KindICMP
)

// Options is the set of TCP options that a segment carried.
type Options uint16

// The options that are told apart.
const (
	OptMSS Options = 1 << iota
	OptWindowScale
	OptSACKPermitted
	OptSACK
	OptTimestamps
	OptFastOpen // TCP Fast Open, RFC 7413
	OptMPTCP    // RFC 8684
	OptAny      // the header was longer than 20 octets
	OptCut      // the options were cut by the snaplen, or were malformed
)

// Quality is what the decoder noticed about how a segment was captured.
type Quality uint8

const (
	// Snapped says that the frame was longer than what was captured of it.
	Snapped Quality = 1 << iota
	// BadChecksum says that the TCP checksum was verified and is wrong. It is
	// verified for segments with SYN, FIN or RST that were captured whole.
	BadChecksum
	// Reassembled says that the segment came in IP fragments.
	Reassembled
	// Tunnelled says that the TCP header stood inside more than one IP header.
	Tunnelled
)

// Segment is one decoded TCP segment, or the TCP header that an ICMP error
// quotes. It is a value without pointers.
type Segment struct {
	At    int64     // capture time, nanoseconds since 1970 UTC
	Ref   PacketRef // the frame that completes the segment
	Tuple Tuple
	Seq   Seq
	Ack   Seq
	// Len is the payload's length by the IP header, not by what was captured:
	// a snaplen does not shorten it. An IPv4 total length of 0 (a segment that
	// the capturing host has yet to cut, "TSO") takes the frame's.
	Len          uint32
	TSVal, TSEcr uint32   // with OptTimestamps
	SACK         uint32   // DigestSACK of its SACK blocks; 0 without OptSACK
	Reporter     [16]byte // KindICMP: who sent the error
	Flags        Flags
	Window       uint16 // as in the header, unscaled
	MSS          uint16 // with OptMSS
	IPID         uint16 // IPv4 identification; 0 for IPv6
	Options      Options
	From         Side
	Kind         Kind
	Quality      Quality
	WScale       uint8 // with OptWindowScale
	TTL          uint8 // IPv4 time to live or IPv6 hop limit
	ICMPType     uint8
	ICMPCode     uint8
}

// End is the sequence number after the segment: SYN and FIN count one each
// (RFC 9293 §3.4).
func (s *Segment) End() Seq {
	n := s.Len
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return s.Seq.Add(n)
}

// DigestSACK condenses the blocks of a SACK option (RFC 2018 §3), of which
// nothing matters here but whether two segments have the same. It is 0 for none.
func DigestSACK(blocks []byte) (digest uint32) {
	for ; len(blocks) >= 4; blocks = blocks[4:] {
		digest = bits.RotateLeft32(digest^binary.BigEndian.Uint32(blocks), 5) * 0x9e3779b1
	}
	return digest
}
