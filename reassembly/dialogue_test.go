package reassembly

import (
	"math/rand/v2"

	"github.com/lastack/lastack/reassembly/tcp"
)

// dialogue makes segments of some connections whose numbers mostly fit, so that
// they are established and go far, with all that may come between.
type dialogue struct {
	r  *rand.Rand
	at int64

	n     uint64
	talks map[int]*talk
	last  tcp.Segment
	// odd is one in how many segments that is not the plain next one.
	odd, tuples int
}

// talk is one connection of a dialogue.
type talk struct {
	next         [2]tcp.Seq
	fin          [2]bool
	opener, said int
}

func newDialogue(seed uint64, odd, tuples int) *dialogue {
	return &dialogue{r: rand.New(rand.NewPCG(seed, 1)), at: 1e18, talks: map[int]*talk{}, odd: odd, tuples: tuples}
}

func (g *dialogue) segment() tcp.Segment {
	r := g.r
	g.n++
	k := r.IntN(g.tuples)
	var a, b [16]byte
	a[15], b[15] = 1, 2
	if k%3 != 0 {
		a[10], a[11], b[10], b[11] = 0xff, 0xff, 0xff, 0xff
	}
	if k%3 == 2 {
		a = [16]byte{15: 1} // one end alone in its mapped form
	}
	port := uint16(1000 + k)
	w := g.talks[k]
	if w == nil || w.fin[0] && w.fin[1] && r.IntN(8) == 0 {
		w = &talk{next: [2]tcp.Seq{tcp.Seq(r.Uint32()), tcp.Seq(0xffffffff - r.Uint32N(3000))}, opener: r.IntN(2)}
		g.talks[k] = w
	}
	n, from, flags := &w.next, r.IntN(2), tcp.ACK
	switch {
	case w.said == 0:
		from, flags = w.opener, tcp.SYN
	case w.said == 1 && r.IntN(8) > 0:
		from, flags = 1-w.opener, tcp.SYN|tcp.ACK
	case w.said == 2 && r.IntN(8) > 0:
		from = w.opener
	case r.IntN(12) == 0 && !w.fin[from]:
		flags |= tcp.FIN
	}
	w.said++
	w.fin[from] = w.fin[from] || flags&tcp.FIN != 0
	tuple, side := tcp.MakeTuple(&a, &b, port, 80)
	if from == 1 {
		tuple, side = tcp.MakeTuple(&b, &a, 80, port)
	}
	tuple.Tag = uint32(k % 2)
	g.at += r.Int64N(20e6)
	s := tcp.Segment{At: g.at, Ref: tcp.Ref(int(g.n%3), g.n), Tuple: tuple, From: side, Kind: tcp.KindTCP, Flags: flags,
		Seq: n[from], Ack: n[1-from], Window: 1000, TTL: 64, IPID: uint16(g.n),
		Options: tcp.OptTimestamps | tcp.OptAny, TSVal: uint32(g.at / 1e6), WScale: 3}
	if k%2 == 0 {
		s.Options = 0
	}
	if r.IntN(2) == 0 && (!w.fin[from] || r.IntN(8) == 0) {
		s.Len = r.Uint32N(1400)
	}
	if flags&tcp.SYN != 0 {
		s.Len = 0
		s.Options |= tcp.OptWindowScale
	}
	if flags == tcp.SYN {
		s.Ack = 0
	}
	if r.IntN(g.odd) == 0 {
		g.mutate(&s)
	}
	if s.Kind == tcp.KindTCP && r.IntN(4*g.odd) != 0 {
		n[from] = s.End()
	}
	g.last = s
	return s
}

func (g *dialogue) mutate(s *tcp.Segment) {
	r := g.r
	flags := [...]tcp.Flags{tcp.SYN, tcp.SYN | tcp.ACK, tcp.FIN | tcp.ACK, tcp.RST, tcp.RST | tcp.ACK, tcp.FIN, 0, tcp.ACK | tcp.URG, tcp.SYN | tcp.FIN}
	switch r.IntN(14) {
	case 0, 1, 2:
		s.Flags = flags[r.IntN(len(flags))]
		s.Len = uint32(r.IntN(2))
	case 3:
		s.Seq = s.Seq.Add(uint32(r.IntN(5)) - 2)
	case 4:
		s.Ack = s.Ack.Add(uint32(r.IntN(5)) - 2)
	case 5:
		s.Seq = s.Seq.Add(uint32(r.Int32()))
	case 6:
		s.Ack = s.Ack.Add(uint32(r.Int32()))
	case 7:
		s.Window = uint16(r.IntN(2))
	case 8:
		s.TSVal -= r.Uint32N(1 + r.Uint32N(3000))
	case 9:
		g.at += r.Int64N(200e9)
		s.At = g.at
	case 10:
		s.At -= r.Int64N(10e9)
	case 11:
		ref := s.Ref
		*s = g.last // a copy of a frame, or, without its IP ID, a retransmission
		s.Ref, s.At = ref, g.at
		if r.IntN(2) == 0 {
			s.IPID = 7
		}
		if s.Flags == 0 && s.Ref == 0 {
			s.Flags = tcp.ACK
		}
	case 12:
		s.Kind, s.ICMPType, s.ICMPCode = tcp.KindICMP, 3, uint8(r.IntN(5))
	case 13:
		s.Options ^= tcp.OptTimestamps
		s.Quality |= tcp.Snapped
	}
}
