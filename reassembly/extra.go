package reassembly

import "github.com/lastack/lastack/reassembly/tcp"

// extra is what only some flows need: above all those with an RST, of which a
// scan shows as many as there are ports. What still fewer need stands behind
// indexes of its own, 0 where there is none.
type extra struct {
	spoken   [2]spoken
	sides    [2]uint32 // of what only some endpoints need
	holes    uint32    // of both directions' holes
	resets   uint32    // of what is known of RSTs
	previous uint32    // of the incarnation before
	icmp     uint32    // of the first ICMP error
	// challenge is when and by whom something was sent that draws a challenge
	// ACK (RFC 5961 §3, §4); at is 0 when nothing waits for one.
	challengeAt   int64
	challengeFrom tcp.Side
}

// extraSide is what only some endpoints need.
type extraSide struct {
	restart restart // of its stay in TIME_WAIT

	retransmits, copies                 uint32
	outOfOrder, zeroWindows, keepalives uint32
	dataAfterFIN                        uint32 // payload segments
	finRepeats                          uint32
	afterFINSeq                         tcp.Seq // the first of that payload
	octetsHigh                          uint32  // how often end.octets passed 2^32
	spilled                             [3]uint32

	repeats                     uint32
	repeatAt, unansweredAt      int64
	repeatRef, unansweredRef    tcp.PacketRef
	stalledAt, stalledUntil     int64
	earlyRepeats, firstDataLen  uint32
	lastEarlyRepeat             int64
	firstData, firstPlain       int64
	firstDataRef, firstPlainRef tcp.PacketRef
	unseenAt                    int64 // when octets of it were acknowledged that were not captured
	// ahead is how far it had sent by a bare acknowledgement at aheadAt that stood
	// beyond what was captured of it; aheadAt is 0 when there was none.
	ahead         tcp.Seq
	aheadAt       int64
	dataBeforeFIN int64 // its last new payload before that which dataAfterFIN counts
}

// spoken describes a segment that was neither a copy of a frame nor an RST.
type spoken struct {
	at       int64
	ref      tcp.PacketRef // 0 when there was none
	ack, end tcp.Seq
}

type restart struct {
	count uint32
	at    int64
	ref   tcp.PacketRef
}

// resets is what is known of a flow's RSTs.
type resets struct {
	reset     Reset
	resetSeq  tcp.Seq // of the RST in reset
	suspicion uint32  // index of what is to be found out of one, 0 for none
	effective bool    // reset took effect
}

// suspicion is the first RST of a live endpoint, Ref 0 when there is none, until
// it proves to be denied; then it is what Denied tells.
type suspicion struct {
	Denied
	ts uint32 // the latest timestamp of its sender by then
}

// open reports that the RST may still prove to be denied.
func (q *suspicion) open() bool { return q.Ref != 0 && q.ProofRef == 0 }

// icmpError is an ICMP error that quotes the flow.
type icmpError struct {
	at       int64
	ref      tcp.PacketRef
	reporter [16]byte
	kind     uint8
	code     uint8
}

// extra is the side table's record of e, made when first needed.
func (t *Table) extra(e *entry) *extra {
	return made(&t.extras, &e.extra)
}

// side is what only some endpoints need, made when first needed.
func (t *Table) side(e *entry, s tcp.Side) *extraSide {
	return made(&t.sides, &t.extra(e).sides[s.Index()])
}

// made is the value behind an index, which is made when first needed.
func made[T any](s *slab[T], i *uint32) *T {
	if *i == 0 {
		*i = s.alloc()
		var zero T
		*s.get(*i) = zero
	}
	return s.get(*i)
}

// gap tells those who need it for other tools' fields that octets of a side are
// missing.
func (t *Table) gap(e *entry, s tcp.Side) {
	if e.compat != 0 {
		t.compats.get(e.compat).Gap(s)
	}
}

func (t *Table) holesOf(x *extra) *[2]holes { return made(&t.holes, &x.holes) }
func (t *Table) resetsOf(x *extra) *resets  { return made(&t.resets, &x.resets) }

// Nothing is known beyond the entry; nobody writes here.
var (
	noExtra     extra
	noSide      extraSide
	noResets    resets
	noSuspicion suspicion
)

// known is what extra holds of e, to be read only.
func (t *Table) known(e *entry) *extra {
	if e.extra == 0 {
		return &noExtra
	}
	return t.extras.get(e.extra)
}

// knownSide is what x holds of one side, to be read, and written only where it is
// not the zero value.
func (t *Table) knownSide(x *extra, s tcp.Side) *extraSide {
	if n := x.sides[s.Index()]; n != 0 {
		return t.sides.get(n)
	}
	return &noSide
}

// suspected is what is to be found out of one of x, to be read, and written only
// where it is not the zero value.
func (t *Table) suspected(x *resets) *suspicion {
	if x.suspicion == 0 {
		return &noSuspicion
	}
	return t.suspicions.get(x.suspicion)
}

// knownResets is what is known of the RSTs of e, to be read only.
func (t *Table) knownResets(e *entry) *resets {
	if e.extra == 0 || t.extra(e).resets == 0 {
		return &noResets
	}
	return t.resets.get(t.extra(e).resets)
}

// freeExtra frees what e has in side tables.
func (t *Table) freeExtra(e *entry) {
	if e.compat != 0 {
		t.compats.release(e.compat)
		e.compat = 0
	}
	if e.extra == 0 {
		return
	}
	x := t.extras.get(e.extra)
	drop(&t.sides, x.sides[0])
	drop(&t.sides, x.sides[1])
	drop(&t.holes, x.holes)
	if x.resets != 0 {
		drop(&t.suspicions, t.resets.get(x.resets).suspicion)
		t.resets.release(x.resets)
	}
	drop(&t.previouses, x.previous)
	drop(&t.icmps, x.icmp)
	t.extras.release(e.extra)
	e.extra = 0
}

// drop gives back the value behind an index, if there is one.
func drop[T any](s *slab[T], i uint32) {
	if i != 0 {
		s.release(i)
	}
}

// spoke is the last segment of a side that was neither a copy nor an RST. For
// nearly all it is the last one of all, with the highest numbers; then it takes
// no room of its own.
func (t *Table) spoke(e *entry, s tcp.Side) spoken {
	d := e.end(s)
	if d.has(spokeApart) {
		return t.extra(e).spoken[s.Index()]
	}
	return spoken{d.lastAt, d.lastRef, d.ack, d.nxt}
}

// keepSpoken sets aside what a side said last, because a copy of a frame or an
// RST is about to be the last one of all.
func (t *Table) keepSpoken(e *entry, s tcp.Side) {
	if !e.end(s).has(spokeApart) {
		t.setSpoken(e, s, t.spoke(e, s))
	}
}

func (t *Table) setSpoken(e *entry, s tcp.Side, w spoken) {
	t.extra(e).spoken[s.Index()] = w
	e.end(s).bits |= spokeApart
}

// speaks notes a segment as the last of its sender.
func (t *Table) speaks(e *entry, s *tcp.Segment) {
	d := e.end(s.From)
	w := spoken{s.At, s.Ref, s.Ack, s.End()}
	if w == (spoken{d.lastAt, d.lastRef, d.ack, d.nxt}) {
		d.bits &^= spokeApart
		return
	}
	t.setSpoken(e, s.From, w)
}

// counter is a small counter of an end.
type counter uint8

const (
	countSYN counter = iota
	countFIN
	countRST
)

// spill is what a full counter gives to extra, so that it never reads 0.
const spill = 128

// count adds one to a small counter.
func (t *Table) count(e *entry, s tcp.Side, which counter, n *uint8) {
	if *n == 255 {
		t.side(e, s).spilled[which] += spill
		*n -= spill
	}
	*n++
}

// take counts octets of payload that had not been seen.
func (t *Table) take(e *entry, s *tcp.Segment, octets uint32) {
	if octets == 0 {
		return
	}
	d := e.end(s.From)
	if d.octets += octets; d.octets < octets {
		t.side(e, s.From).octetsHigh++
	}
	d.dataAt, d.dataRef, d.dataLen = s.At, s.Ref, s.Len
}
