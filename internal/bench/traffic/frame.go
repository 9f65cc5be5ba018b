package traffic

import (
	"encoding/binary"
	"math/rand/v2"
)

// Lengths of headers, and the largest segment behind a link of 1,500 octets.
const (
	etherLen = 14
	tagLen   = 4
	ip4Len   = 20
	ip6Len   = 40
	tcpLen   = 20
	mss4     = 1448 // with timestamps
	mss6     = 1428
)

// TCP's control bits.
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

// options is which TCP options a segment carries.
type options uint8

const (
	noOptions options = 1 + iota
	timestamps
	opening // what Linux puts into a SYN
)

// segment is a segment before it is encoded.
type segment struct {
	from         side
	flags        byte
	opts         options
	ipid, window uint16
	seq, ack     uint32
	length       int // of the payload
	tsval, tsecr uint32
}

// encoder turns segments into frames.
type encoder struct {
	out    *file
	header [etherLen + tagLen + ip6Len + tcpLen + 20]byte
	text   []byte
	// sums are those of text: sums[i] is of its first i words of 16 bits, so
	// that the checksum of any payload costs a subtraction.
	sums []uint64
}

// textMask bounds where in the text a payload begins.
const textMask = 64<<10 - 2

func newEncoder(out *file, rng *rand.Rand) *encoder {
	e := &encoder{out: out, text: make([]byte, textMask+2+2*mss4)}
	const letters = "etaoin shrdlu cmfwyp vbgkqj xz\n"
	for i := range e.text {
		e.text[i] = letters[rng.IntN(len(letters))]
	}
	e.sums = make([]uint64, 1, len(e.text)/2+1)
	for i := 0; i < len(e.text); i += 2 {
		e.sums = append(e.sums, e.sums[i/2]+uint64(binary.LittleEndian.Uint16(e.text[i:])))
	}
	return e
}

// payload is what a sender has at a sequence number, and its sum.
func (e *encoder) payload(seq uint32, n int) (b []byte, sum uint64) {
	off := int(seq & textMask)
	sum = e.sums[(off+n)/2] - e.sums[off/2]
	if n%2 == 1 {
		sum += uint64(e.text[off+n-1])
	}
	return e.text[off : off+n], sum
}

// encode writes the frame of a segment of c at a time in ns.
func (e *encoder) encode(at int64, c *conn, s *segment) {
	be := binary.BigEndian
	n := e.link(c, s)
	tcpAt := n + ip4Len
	if c.v6 {
		tcpAt = n + ip6Len
	}
	t := e.header[tcpAt:]
	size := tcpLen + putOptions(t[tcpLen:], s)
	from, to := s.from, s.from.other()
	be.PutUint16(t[0:], c.ends[from].port)
	be.PutUint16(t[2:], c.ends[to].port)
	be.PutUint32(t[4:], s.seq)
	be.PutUint32(t[8:], s.ack)
	t[12], t[13] = byte(size/4)<<4, s.flags
	be.PutUint16(t[14:], s.window)
	t[16], t[17], t[18], t[19] = 0, 0, 0, 0
	text, textSum := e.payload(s.seq, s.length)
	var pseudo uint64
	if c.v6 {
		pseudo = e.ip6(c, s, n, size+s.length)
	} else {
		pseudo = e.ip4(c, s, n, size+s.length)
	}
	// Sums are taken over little-endian words, so these two are turned round.
	pseudo += protoTCP<<8 + uint64(swap16(uint16(size+s.length)))
	binary.LittleEndian.PutUint16(t[16:], ^fold(pseudo+textSum+sum(t[:size])))

	headers := e.header[:tcpAt+size]
	dst := e.out.record(at, len(headers)+s.length)
	copy(dst[copy(dst, headers):], text)
}

const protoTCP = 6

// link writes the Ethernet header and returns its length.
func (e *encoder) link(c *conn, s *segment) int {
	h := e.header[:]
	to, from := byte(2+s.from.other()), byte(2+s.from)
	copy(h, []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from})
	kind := uint16(0x0800)
	if c.v6 {
		kind = 0x86dd
	}
	n := etherLen
	if c.vlan != 0 {
		binary.BigEndian.PutUint16(h[12:], 0x8100)
		binary.BigEndian.PutUint16(h[14:], c.vlan)
		n += tagLen
	}
	binary.BigEndian.PutUint16(h[n-2:], kind)
	return n
}

// ip4 writes an IPv4 header and returns the sum of its addresses.
func (e *encoder) ip4(c *conn, s *segment, at, payload int) uint64 {
	be := binary.BigEndian
	h := e.header[at : at+ip4Len]
	be.PutUint32(h[0:], 0x45000000|uint32(ip4Len+payload))
	be.PutUint32(h[4:], uint32(s.ipid)<<16|0x4000) // do not fragment
	be.PutUint32(h[8:], uint32(s.from.ttl())<<24|protoTCP<<16)
	be.PutUint32(h[12:], c.ends[s.from].addr)
	be.PutUint32(h[16:], c.ends[s.from.other()].addr)
	addresses := sum(h[12:])
	binary.LittleEndian.PutUint16(h[10:], ^fold(addresses+sum(h[:12])))
	return addresses
}

// ip6 writes an IPv6 header and returns the sum of its addresses.
func (e *encoder) ip6(c *conn, s *segment, at, payload int) uint64 {
	be := binary.BigEndian
	h := e.header[at : at+ip6Len]
	be.PutUint32(h[0:], 6<<28)
	be.PutUint32(h[4:], uint32(payload)<<16|protoTCP<<8|uint32(s.from.ttl()))
	put := func(b []byte, addr uint32) {
		be.PutUint64(b[0:], 0x20010db8_00000000)
		be.PutUint64(b[8:], uint64(addr))
	}
	put(h[8:], c.ends[s.from].addr)
	put(h[24:], c.ends[s.from.other()].addr)
	return sum(h[8:])
}

// putOptions writes the options in Linux's order and returns their length.
func putOptions(b []byte, s *segment) int {
	be := binary.BigEndian
	switch s.opts {
	case timestamps:
		be.PutUint32(b, 0x0101080a)
		be.PutUint32(b[4:], s.tsval)
		be.PutUint32(b[8:], s.tsecr)
		return 12
	case opening:
		be.PutUint32(b, 0x02040000|1460)
		be.PutUint32(b[4:], 0x0402080a) // SACK permitted, timestamps
		be.PutUint32(b[8:], s.tsval)
		be.PutUint32(b[12:], s.tsecr)
		be.PutUint32(b[16:], 0x01030307) // window scale 7
		return 20
	}
	return 0
}

// sum adds up words of 16 bits, little-endian, as the Internet checksum allows
// (RFC 1071 §2 (B)). len(b) is a multiple of 4.
func sum(b []byte) (s uint64) {
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.LittleEndian.Uint32(b))
	}
	return s
}

// fold brings a sum down to 16 bits with end-around carry.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func swap16(v uint16) uint16 { return v>>8 | v<<8 }
