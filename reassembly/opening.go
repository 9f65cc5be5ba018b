package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// opening is a flow of which one SYN was seen and nothing else: what of that
// segment matters, in 64 octets. The next segment makes an entry of it, by
// applying the SYN and then itself. So a flood costs little, and nothing that
// an opening may lead to is decided in a second place.
type opening struct {
	at           int64
	ref          tcp.PacketRef
	key          key
	seq, ack     tcp.Seq
	tsval, tsecr uint32
	payload      uint32
	flags        tcp.Flags
	window       uint16
	options      tcp.Options
	from         tcp.Side // 0 when free
	ttl, wscale  uint8
	quality      tcp.Quality
	doubts       uint8 // one of each Doubt as a bit
	wide         bool
}

// openingBit marks, in the index, what lies in openings and not in entries.
const openingBit = 1 << 31

// opens reports whether a flow that begins with s may wait as an opening.
func opens(s *tcp.Segment) bool {
	return s.Flags&(tcp.SYN|tcp.ACK|tcp.RST|tcp.FIN) == tcp.SYN
}

// holdOpening keeps a first SYN.
func (t *Table) holdOpening(s *tcp.Segment, k key, wide bool) uint32 {
	i := t.openings.alloc()
	*t.openings.get(i) = opening{
		at: s.At, ref: s.Ref, key: k, wide: wide, seq: s.Seq, ack: s.Ack, tsval: s.TSVal, tsecr: s.TSEcr,
		payload: s.Len, flags: s.Flags, window: s.Window, options: s.Options, from: s.From,
		ttl: s.TTL, wscale: s.WScale, quality: s.Quality,
	}
	return i | openingBit
}

// unfold makes entry n of opening i, which still owns its key.
func (t *Table) unfold(i, n uint32) {
	o := t.openings.get(i &^ openingBit)
	s := tcp.Segment{
		At: o.at, Ref: o.ref, Seq: o.seq, Ack: o.ack, Len: o.payload,
		TSVal: o.tsval, TSEcr: o.tsecr, Flags: o.flags, Window: o.window, Options: o.options, From: o.from,
		Kind: tcp.KindTCP, Quality: o.quality, WScale: o.wscale, TTL: o.ttl,
	}
	t.putTuple(&s.Tuple, o.key, o.wide)
	t.begin(n, &s, o.key, o.wide, 1)
	if o.ack == 0 && o.at > 0 {
		t.firstSYN(t.entries.get(n), &s)
	} else {
		t.apply(n, &s, false)
	}
	for _, d := range [...]Doubt{Unwatched, Leapt} {
		if o.doubts&uint8(d) != 0 {
			t.entries.get(n).bits |= d.bit()
		}
	}
}

// firstSYN is apply for an ordinary SYN that begins a flow.
func (t *Table) firstSYN(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	d.lastAt, d.lastRef, d.ttl, d.packets, d.syn = s.At, s.Ref, s.TTL, 1, 1
	d.startAt(s)
	d.bits |= sentSYN
	if s.Options&tcp.OptTimestamps != 0 {
		d.tsval, d.tsecr = s.TSVal, s.TSEcr
		d.bits |= hasTS
	}
	e.client, e.role = s.From, RoleSYN
	e.bits |= flowSYN
	if s.Quality&tcp.Snapped != 0 {
		e.bits |= flowSnapped
	}
	if e.compat != 0 {
		t.compats.get(e.compat).Observe(s)
	}
	t.move(e, s.From, fsm.SendSYN, fsm.Seen, s)
	t.tentative(e, s)
}

// promote puts an entry in the place of opening i, because a second segment
// came.
func (t *Table) promote(i uint32, hash uint64) uint32 {
	n := t.entries.alloc()
	t.unfold(i, n)
	t.index.replace(hash, i, n)
	t.freeOpening(i)
	return n
}

func (t *Table) freeOpening(i uint32) {
	i &^= openingBit
	t.openings.get(i).from = 0
	t.openings.release(i)
}
