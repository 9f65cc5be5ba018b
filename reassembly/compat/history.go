package compat

import (
	"encoding/binary"
	"math/bits"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Bits of State.once: what Zeek enters once for each direction, or once unless
// its sequence number differs (HistoryMasks in TCP_Endpoint.h).
const (
	onceSYN = 1 << iota
	onceFIN
	onceRST
	onceFINRST
	onceData
	onceACK
	onceMulti
	sentFIN // no letter: a FIN was sent, also beside SYN or RST
)

// letter is an entry of the history without its case; the upper case is the
// originator's.
type letter uint8

const (
	letterS    letter = 1 + iota // SYN
	letterH                      // SYN-ACK
	letterA                      // pure ACK
	letterD                      // payload
	letterF                      // FIN
	letterR                      // RST
	letterT                      // retransmitted payload
	letterW                      // zero window
	letterG                      // content gap
	letterI                      // FIN with RST
	letterQ                      // SYN with FIN or RST
	letterFlip                   // '^': Zeek turned the direction round
)

const letterNames = ".SHADFRTWGIQ^"

// letters is a history in half octets, the lower half of each first; 0 ends
// it. The entries of ordinary connections take one half octet (their place in
// frequent, from 1), the others the value escape and a second one (their place
// in seldom). Zeek's history has no end; this one holds 18 half octets, and
// what comes after them is lost.
type letters [9]uint8

const (
	frequent = "ShADadFfRrTtWw"
	seldom   = "sHGgIiQq^"
	escape   = 15
)

// reserved is what entries that repeat by powers of ten leave free, so that
// those of the end of the connection find room.
const reserved = 4

// add enters one letter unless fewer than spare half octets would be left.
func (h *letters) add(name byte, spare int) {
	n := h.len()
	if k := index(frequent, name); k != 0 {
		if n+1+spare <= 2*len(h) {
			h.put(n, k)
		}
		return
	}
	if n+2+spare <= 2*len(h) {
		h.put(n, escape)
		h.put(n+1, index(seldom, name))
	}
}

func (h *letters) put(n int, v uint8) { h[n/2] |= v << (n % 2 * 4) }
func (h *letters) get(n int) uint8    { return h[n/2] >> (n % 2 * 4) & 15 }

// len is the number of half octets in use.
func (h *letters) len() int {
	if h[8] != 0 {
		return 16 + (bits.Len8(h[8])+3)/4
	}
	return (bits.Len64(binary.LittleEndian.Uint64(h[:8])) + 3) / 4
}

// appendTo appends the history as Zeek writes it.
func (h *letters) appendTo(b []byte) []byte {
	for n := 0; n < 2*len(h) && h.get(n) != 0; n++ {
		v, names := h.get(n), frequent
		if v == escape {
			n++
			v, names = h.get(n), seldom
		}
		b = append(b, names[v-1])
	}
	return b
}

// index is the place of name in names, from 1; 0 if it is not there.
func index(names string, name byte) uint8 {
	for i := range len(names) {
		if names[i] == name {
			return uint8(i + 1)
		}
	}
	return 0
}

// History is Zeek's history of the flow so far: s SYN, h SYN-ACK, a pure ACK,
// d payload, f FIN, r RST, t retransmitted payload, w zero window, g content
// gap, i FIN with RST, q SYN with FIN or RST, and ^ where Zeek turned the
// direction round. The upper case is the originator's. When client is not the
// side that Zeek takes for the originator (it goes by the first packet where
// there is no SYN), upper and lower case are exchanged, so that the upper case
// is always the client's.
//
// Rules (update_history and update_window in TCPSessionAdapter.cc): A, D, I and
// Q are entered once for each direction; S, H, F and R also when the sequence
// number is not that of the last of the kind, S and H sharing one account; T,
// W and G at the 1st, 10th, 100th … of the kind. Segments with SYN, FIN or RST
// enter neither A nor D.
func (s *State) History(client tcp.Side) string {
	return string(s.AppendHistory(nil, client))
}

// AppendHistory is History for a caller that brings the room.
func (s *State) AppendHistory(dst []byte, client tcp.Side) []byte {
	start := len(dst)
	dst = s.letters.appendTo(dst)
	if client.Index() == s.originator() {
		return dst
	}
	for i, c := range dst[start:] {
		if c != '^' {
			dst[start+i] = c ^ 0x20
		}
	}
	return dst
}

// originator is the index of the side that Zeek takes for it.
func (s *State) originator() int { return int(s.wire >> 7) }

func (s *State) add(i int, l letter, spare int) {
	name := letterNames[l]
	if l != letterFlip && i != s.originator() {
		name |= 0x20
	}
	s.letters.add(name, spare)
}

func (s *State) addOnce(i int, bit uint8, l letter) bool {
	if s.once[i]&bit != 0 {
		return false
	}
	s.once[i] |= bit
	s.add(i, l, 0)
	return true
}

// enterPlain makes the entries of a segment without SYN, FIN and RST.
func (s *State) enterPlain(i int, seg *tcp.Segment) {
	if seg.Len > 0 {
		s.addOnce(i, onceData, letterD)
	} else if seg.Flags&tcp.ACK != 0 {
		s.addOnce(i, onceACK, letterA)
	}
}

// enterControl makes the entries of a segment with SYN, FIN or RST.
func (s *State) enterControl(i int, control tcp.Flags, seg *tcp.Segment) {
	switch control {
	case tcp.SYN:
		s.enterSYN(i, seg)
	case tcp.FIN:
		v := uint8(hash(seg.Seq.Add(seg.Len)) >> 8)
		if !s.addOnce(i, onceFIN, letterF) && v != s.fin[i] {
			s.add(i, letterF, 0)
		}
		s.fin[i] = v
	case tcp.RST:
		v := hash(seg.Seq)
		if !s.addOnce(i, onceRST, letterR) && v != s.rst[i] {
			s.add(i, letterR, 0)
		}
		s.rst[i] = v
	default:
		if control.Has(tcp.FIN | tcp.RST) {
			s.addOnce(i, onceFINRST, letterI)
		} else {
			s.addOnce(i, onceMulti, letterQ)
		}
	}
}

// enterSYN enters S or H. Zeek compares numbers relative to the start of the
// sequence space, and a SYN starts it anew as long as its sender has neither
// closed nor reset: so another ISN makes an entry only after that. Such a SYN
// nearly always belongs to the next connection of its four-tuple. Zeek makes
// no entry for its repetition, here each makes one, and none does when the
// start is not known any more.
func (s *State) enterSYN(i int, seg *tcp.Segment) {
	l := letterS
	if seg.Flags&tcp.ACK != 0 {
		l = letterH
	}
	if s.addOnce(i, onceSYN, l) {
		return
	}
	if start, known := s.start(i); known && seg.Seq != start {
		s.add(i, l, 0)
	}
}

// tenfold counts one more in n, and reports whether that makes a power of ten.
func tenfold[T uint8 | uint16](n *T) bool {
	if *n+1 == 0 {
		return false
	}
	*n++
	for p := uint32(1); ; p *= 10 {
		if p >= uint32(*n) {
			return p == uint32(*n)
		}
	}
}

// hash spreads a sequence number over 16 bits.
func hash(v tcp.Seq) uint16 { return uint16(uint32(v) * 0x9e3779b1 >> 16) }
