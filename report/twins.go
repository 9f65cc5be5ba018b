package report

import (
	"math/bits"
	"slices"

	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	// apart is how far two copies of a frame lie apart at most when they come
	// from one place: mirror ports, and the interfaces of one host. Beyond it
	// the flow table takes what has no IP ID for a retransmission.
	apart = 2 * millisecond
	// roundTrip is how long a segment and its answer are at least on the way from
	// one vantage point to the other, both ways together. Then the copies of
	// what one host sends are later, and of what the other sends earlier, than
	// they would be at one place, whatever the clocks say.
	roundTrip = 1 * millisecond
	// twinMatches segments that two sources share are enough to say so.
	twinMatches = 3
	// twinShare is the least share of matches, one in so many segments of the
	// flows that two sources share, with which they hold the same traffic. With
	// two full captures it is one in two.
	twinShare = 4

	twinSlots  = 1 << 15
	tupleSlots = 1 << 13
	maxSources = 64 // further ones are not compared
)

// Twins looks for sources that hold the same traffic, captured at two vantage
// points. Their packets must not be merged into one story: each would look
// retransmitted. Memory is bounded; what is forgotten is the oldest.
type Twins struct {
	group   func(source int) int // sources of different groups are not compared
	segs    []twinSegment
	tuples  []twinTuple
	pairs   map[[2]int]*twinPair
	first   [maxSources]uint64 // order of a source's first and last segment, from 1
	last    [maxSources]uint64
	counter uint64
}

// twinSegment is the fingerprint of a segment and where it was seen.
type twinSegment struct {
	print   uint64
	at      int64
	source  uint8
	strong  bool // it cannot be that of a retransmission
	matched bool
}

// twinTuple is what is known of a four-tuple.
type twinTuple struct {
	hash    uint64
	sources uint64 // a bit for each
	ipid    [2]uint16
	delays  [2]spread // of what each side sent, from one source to another
	a, b    uint8     // these sources, a before b; the first two that match
	strong  uint64    // matches among the delays, and all of them, that have
	all     uint64    // not been counted for the pair
}

// spread is a range of delays. The zero value is empty.
type spread struct {
	low, high int64
	any       bool
}

func (s *spread) add(d int64) {
	if !s.any {
		*s = spread{d, d, true}
		return
	}
	s.low, s.high = min(s.low, d), max(s.high, d)
}

// crossed reports whether the segments of one side reach the one source first,
// and those of the other side the other, or would if the clocks agreed.
func (t *twinTuple) crossed() bool {
	x, y := &t.delays[0], &t.delays[1]
	return x.any && y.any && (x.low-y.high >= roundTrip || y.low-x.high >= roundTrip)
}

// twinPair counts what two sources share.
type twinPair struct {
	strong, all uint64 // segments that both hold, far apart or crossed
	total       uint64 // segments of tuples that both hold
}

// NewTwins makes a detector for sources that are in the groups given; nil means
// that all are in one.
func NewTwins(group func(source int) int) *Twins {
	if group == nil {
		group = func(int) int { return 0 }
	}
	return &Twins{
		group: group, segs: make([]twinSegment, twinSlots), tuples: make([]twinTuple, tupleSlots),
		pairs: map[[2]int]*twinPair{},
	}
}

// Add takes a segment in capture order. It reports two sources when it has
// become clear that they are twins.
func (w *Twins) Add(s *tcp.Segment) (a, b int, found bool) {
	src := s.Ref.File()
	if s.Kind != tcp.KindTCP || src >= maxSources {
		return 0, 0, false
	}
	w.counter++
	if w.first[src] == 0 {
		w.first[src] = w.counter
	}
	w.last[src] = w.counter
	t, strong := w.tuple(s, src)

	p := fingerprint(s, w.group(src))
	slot := &w.segs[p%twinSlots]
	if slot.print != p {
		*slot = twinSegment{print: p, at: s.At, source: uint8(src), strong: strong}
		return 0, 0, false
	}
	other := int(slot.source)
	if other == src || slot.matched {
		return 0, 0, false
	}
	slot.matched = true
	pair := w.pair(other, src)
	w.match(pair, t, slot, s)
	if w.twins(pair, other, src) {
		return min(other, src), max(other, src), true
	}
	return 0, 0, false
}

// match counts two copies of a segment: at once when they lie far apart, else as
// soon as the copies of its flow turn out to be crossed.
func (w *Twins) match(pair *twinPair, t *twinTuple, slot *twinSegment, s *tcp.Segment) {
	strong := uint64(0)
	if slot.strong { // an IP ID is new only in the first of the copies
		strong = 1
	}
	delay := s.At - slot.at
	if delay > apart {
		pair.strong, pair.all = pair.strong+strong, pair.all+1
	}
	a, b := slot.source, uint8(s.Ref.File())
	if a > b {
		a, b, delay = b, a, -delay
	}
	if t.a == t.b {
		t.a, t.b = a, b
	} else if t.a != a || t.b != b {
		return
	}
	t.delays[s.From.Index()].add(delay)
	if -apart <= delay && delay <= apart {
		t.strong, t.all = t.strong+strong, t.all+1
	}
	if t.crossed() {
		pair.strong, pair.all = pair.strong+t.strong, pair.all+t.all
		t.strong, t.all = 0, 0
	}
}

// twins decides. A retransmission repeats all that an IP ID or a timestamp does
// not tell apart, so without these the sources must also have run at the same
// time: one that was cut in pieces has not.
func (w *Twins) twins(p *twinPair, a, b int) bool {
	enough := func(matches uint64) bool { return matches >= twinMatches && matches*twinShare >= p.total }
	together := w.last[a] > w.first[b] && w.last[b] > w.first[a]
	return enough(p.strong) || together && enough(p.all)
}

// tuple counts the segment for the pairs of sources that share its tuple, and
// reports whether its fingerprint is strong.
func (w *Twins) tuple(s *tcp.Segment, src int) (t *twinTuple, strong bool) {
	h := s.Tuple.Hash(routeSeed)
	t = &w.tuples[h%tupleSlots]
	if t.hash != h {
		*t = twinTuple{hash: h}
	}
	t.sources |= 1 << src
	for others := t.sources &^ (1 << src); others != 0; others &= others - 1 {
		w.pair(bits.TrailingZeros64(others), src).total++
	}
	d := s.From.Index()
	changed := t.ipid[d] != s.IPID
	t.ipid[d] = s.IPID
	return t, s.Options&tcp.OptTimestamps != 0 || s.IPID != 0 && changed
}

func (w *Twins) pair(a, b int) *twinPair {
	k := [2]int{min(a, b), max(a, b)}
	p := w.pairs[k]
	if p == nil {
		p = new(twinPair)
		w.pairs[k] = p
	}
	return p
}

// fingerprint hashes what two captures of a segment have in common, for sources
// of one group.
func fingerprint(s *tcp.Segment, group int) uint64 {
	t := s.Tuple
	t.Tag = uint32(s.IPID)<<16 | uint32(s.Flags)<<2 | uint32(s.From)
	h := t.Hash(uint64(s.Seq)<<32 | uint64(s.Ack))
	t.Tag = s.Len ^ uint32(group)<<20
	if s.Options&tcp.OptTimestamps != 0 {
		h ^= uint64(s.TSVal)<<32 | uint64(s.TSEcr)
	}
	return t.Hash(h) | 1 // 0 is an empty slot
}

// Groups gives each of n sources a group such that no two twins share one, and
// as few groups as can be found in order.
func Groups(n int, twins [][2]int) []int {
	groups := make([]int, n)
	for i := range groups {
		var taken []int
		for _, t := range twins {
			switch {
			case t[0] == i && t[1] < i:
				taken = append(taken, groups[t[1]])
			case t[1] == i && t[0] < i:
				taken = append(taken, groups[t[0]])
			}
		}
		for slices.Contains(taken, groups[i]) {
			groups[i]++
		}
	}
	return groups
}

// TagGroup keeps the flows of a group apart from those of the others.
func TagGroup(s *tcp.Segment, group int) {
	s.Tuple.Tag ^= uint32(group) * 0x9e3779b1
}
