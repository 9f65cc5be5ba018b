package decode

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/gopacket/layers"
)

// The Internet checksum (RFC 1071) is a sum in ones' complement. It does not
// depend on byte order (§2 (B)), so it is taken over little-endian words of
// eight octets with the carry added back, and folded to 16 bits at the end.

// checksumOK verifies a TCP segment with its checksum field in place; pseudo
// is the sum of the addresses of the pseudo-header (RFC 9293 §3.1), whose
// length and protocol are added here.
func checksumOK(segment []byte, pseudo uint64) bool {
	s := add(pseudo, uint64(bits.ReverseBytes32(uint32(len(segment)))))
	s = add(s, uint64(layers.IPProtocolTCP)<<8)
	return fold(sum(s, segment)) == 0xffff
}

// sum adds b to s.
func sum(s uint64, b []byte) uint64 {
	for ; len(b) >= 32; b = b[32:] {
		var c uint64
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:8]), 0)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:16]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:24]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:32]), c)
		s = add(s, c)
	}
	for ; len(b) >= 8; b = b[8:] {
		s = add(s, binary.LittleEndian.Uint64(b))
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s = add(s, binary.LittleEndian.Uint64(last[:]))
	}
	return s
}

// add is the sum of two words in ones' complement.
func add(a, b uint64) uint64 {
	s, carry := bits.Add64(a, b, 0)
	return s + carry
}

// fold brings a sum down to 16 bits.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// pseudo is the sum of both addresses.
func (n *network) pseudo() uint64 {
	src, dst := n.src[:], n.dst[:]
	if !n.v6 {
		src, dst = src[12:], dst[12:]
	}
	return sum(sum(0, src), dst)
}
