package reassembly

import (
	"encoding/binary"
	"math/bits"

	"github.com/lastack/lastack/reassembly/tcp"
)

// copies recognises copies of a frame: mirror ports, the "any" interface and
// radio retries show one segment twice. An IPv4 identification other than 0
// decides alone, since a retransmission takes a new one; without it, headers,
// options and timestamps must be identical within a few milliseconds.
//
// It is one small direct-mapped cache per partition, not a ring per flow: a
// copy comes soon or not at all, and flows pay nothing for it.
type copies struct {
	slots []copySlot
}

type copySlot struct {
	print uint64
	at    int64
}

const (
	copySlots    = 1024
	copyWindow   = 2e6 // ns, without an IP ID
	copyWindowID = 1e9 // ns, with one
)

func newCopies() copies { return copies{make([]copySlot, copySlots)} }

// seen reports whether s is a copy of a recent frame, and remembers it if not.
func (c *copies) seen(s *tcp.Segment) bool {
	print := fingerprint(s)
	slot := &c.slots[print&(copySlots-1)]
	if slot.print == print {
		window := int64(copyWindow)
		if s.IPID != 0 {
			window = copyWindowID
		}
		if d := s.At - slot.at; d <= window && -d <= window {
			return true
		}
	}
	slot.print, slot.at = print, s.At
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
	h = fold(h, uint64(s.IPID)<<32|uint64(s.Options)<<8|uint64(s.NSACK))
	for _, r := range s.SACK[:min(int(s.NSACK), len(s.SACK))] {
		h = fold(h, uint64(r.Left)<<32|uint64(r.Right))
	}
	return h
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xbf58476d1ce4e5b9)
	return hi ^ lo
}
