package reassembly

import (
	"encoding/binary"
	"math/bits"

	"github.com/lastack/lastack/reassembly/tcp"
)

// copies recognises copies of a frame: mirror ports, the "any" interface and
// radio retries show one segment twice. An IPv4 identification other than 0
// decides alone, since a retransmission takes a new one; without it, headers,
// options and timestamps must be identical within a few milliseconds, or within
// less than any timer takes where a repetition would differ.
//
// It is one small cache per partition, not a ring per flow: a copy comes soon or
// not at all, and flows pay nothing for it. Eight slots that share a cache line
// make a set, so that a few busy prints do not displace each other; 64 such
// caches stay within a core's own.
type copies struct {
	sets [copySets]copySet
}

// copySet is the recent segments of one set, the latest first: the upper half
// of a fingerprint and the time.
type copySet [8]copySlot

type copySlot struct {
	print uint32
	at    uint32 // in units of 2^16 ns; it wraps after 281 s
}

const (
	copySets     = 64
	copyUnit     = 16              // 2^16 ns
	copyWindow   = 2e6 >> copyUnit // without an IP ID
	copyWindowID = 1e9 >> copyUnit // with one
	// copyWindowSYN is for a SYN, also with an ACK: no timer repeats one within a
	// second (RFC 6298 §2.1), but Windows tries again half a second after a refusal.
	copyWindowSYN = 200e6 >> copyUnit
	// copyWindowStamped is for a SYN or a FIN with a timestamp, which goes on until
	// it is repeated: the slowest clock, OpenBSD's, twice a second. Some hosts begin
	// with a value of 0 each time.
	copyWindowStamped = 500e6 >> copyUnit
)

// seen reports whether s is a copy of a recent frame, and remembers it if not.
func (c *copies) seen(s *tcp.Segment) bool {
	h := fingerprint(s)
	set := &c.sets[h%copySets]
	slot := copySlot{uint32(h >> 32), uint32(s.At >> copyUnit)}
	window := int32(copyWindow)
	switch stamped := s.Options&tcp.OptTimestamps != 0; {
	case s.IPID != 0:
		window = copyWindowID
	case s.Flags&(tcp.SYN|tcp.FIN) != 0 && stamped && s.TSVal != 0:
		window = copyWindowStamped
	case s.Flags&tcp.SYN != 0:
		window = copyWindowSYN
	}
	last := len(set) - 1
	for i := range set {
		if set[i].print != slot.print {
			continue
		}
		if d := int32(slot.at - set[i].at); d <= window && -d <= window {
			return true
		}
		last = i
		break
	}
	copy(set[1:last+1], set[:last])
	set[0] = slot
	return false
}

// fingerprint mixes everything in which a retransmission differs from a copy.
// The time to live is left out: a copy may have passed a router. No seed: what
// is forgotten, because two segments share a slot, must not differ from run to
// run.
func fingerprint(s *tcp.Segment) uint64 {
	le := binary.LittleEndian
	h := fold(le.Uint64(s.Tuple.AddrA[8:]), le.Uint64(s.Tuple.AddrB[8:]))
	h = fold(h^uint64(s.Tuple.PortA)<<32^uint64(s.Tuple.PortB)<<16^uint64(s.Tuple.Tag)<<24^uint64(s.From),
		uint64(s.Seq)<<32|uint64(s.Ack))
	h = fold(h, uint64(s.Flags)<<48|uint64(s.Window)<<32|uint64(s.Len))
	h = fold(h, uint64(s.TSVal)<<32|uint64(s.TSEcr))
	return fold(h, uint64(s.IPID)<<32|uint64(s.Options)<<8^uint64(s.SACK)<<24)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return hi ^ lo
}
