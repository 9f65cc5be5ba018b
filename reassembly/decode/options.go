package decode

import (
	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Option kinds that gopacket has no name for.
const (
	optMPTCP    = 30  // RFC 8684 §3
	optFastOpen = 34  // RFC 7413 §4.1.1
	optExp1     = 253 // RFC 6994, shared by magic numbers
	optExp2     = 254

	fastOpenMagic = 0xf989 // Fast Open before it had a kind: RFC 7413 appendix
)

// Of known options.
const (
	maxShift         = 14         // RFC 7323 §2.3: a larger shift count means 14
	nopNopTimestamps = 0x0101080a // how nearly every stack aligns its timestamps
	timestampsSize   = 12         // with that
)

// options reads the TCP options captured in b, of the size octets that the
// header has room for. Unlike gopacket's TCP layer it takes what it gets:
// options that the snaplen cut, or that are malformed, cost only themselves
// and what stands after them.
func options(out *tcp.Segment, b []byte, size int) {
	cut, malformed := len(b) < size, false
	for len(b) > 0 {
		kind := b[0]
		if kind == layers.TCPOptionKindEndList {
			cut = false // what was cut is padding
			break
		}
		if kind == layers.TCPOptionKindNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			malformed = true // or the last one is cut, which comes to the same
			break
		}
		if !option(out, kind, b[2:b[1]]) {
			malformed = true
		}
		b = b[b[1]:]
	}
	if cut || malformed {
		out.Options |= tcp.OptCut
	}
}

// option reads one option with its contents v, and reports whether the length
// is one that its kind can have.
func option(out *tcp.Segment, kind byte, v []byte) bool {
	switch kind {
	case layers.TCPOptionKindMSS:
		if len(v) != 2 {
			return false
		}
		out.MSS = be16(v)
		out.Options |= tcp.OptMSS
	case layers.TCPOptionKindWindowScale:
		if len(v) != 1 {
			return false
		}
		out.WScale = min(v[0], maxShift)
		out.Options |= tcp.OptWindowScale
	case layers.TCPOptionKindSACKPermitted:
		if len(v) != 0 {
			return false
		}
		out.Options |= tcp.OptSACKPermitted
	case layers.TCPOptionKindSACK:
		if len(v)%8 != 0 {
			return false
		}
		out.SACK = tcp.DigestSACK(v)
		out.Options |= tcp.OptSACK
	case layers.TCPOptionKindTimestamps:
		if len(v) != 8 {
			return false
		}
		out.TSVal, out.TSEcr = be32(v[0:4]), be32(v[4:8])
		out.Options |= tcp.OptTimestamps
	case optMPTCP:
		out.Options |= tcp.OptMPTCP
	case optFastOpen:
		out.Options |= tcp.OptFastOpen
	case optExp1, optExp2:
		if len(v) >= 2 && be16(v) == fastOpenMagic {
			out.Options |= tcp.OptFastOpen
		}
	}
	return true
}
