package decode

import (
	"math/bits"

	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Bounds of what waits for missing fragments: about 1.1 MiB in all.
const (
	maxDatagrams = 1024
	maxSpans     = 32  // separate pieces of one datagram
	prefixSize   = 512 // octets kept of its beginning: every header, no payload
	maxDatagram  = 65535

	timeout4 = 30e9 // nanoseconds of event time, as in Linux: ipfrag_time,
	timeout6 = 60e9 // and RFC 8200 §4.5
)

// fragmentKey tells the fragments of one datagram from others (RFC 791 §3.2,
// RFC 8200 §4.5; the latter leaves the protocol out).
type fragmentKey struct {
	src, dst [16]byte
	id       uint32
	tag      uint32
	protocol layers.IPProtocol
	v6       bool
}

// span is a half-open stretch of a datagram.
type span struct{ from, to uint32 }

// datagram is what is known of an incomplete one.
type datagram struct {
	key          fragmentKey
	newer, older *datagram // in order of their first fragments
	since        int64
	lost         tally // its fragments, should it never be completed
	total        uint32
	hasTotal     bool
	poisoned     bool // it can never be completed: swallow the rest
	why          reason
	snapped      bool // a fragment was cut by the snaplen
	next         layers.IPProtocol
	ttl          uint8
	spans        [maxSpans]span // in order, apart
	n            int
	prefix       [prefixSize]byte
	have         [prefixSize / 64]uint64 // which octets of prefix are known
}

// defragmenter holds the incomplete datagrams. The zero value is empty.
type defragmenter struct {
	byKey          map[fragmentKey]*datagram
	oldest, newest *datagram
	free           *datagram // linked by older
	out            [prefixSize]byte
}

// piece is one fragment.
type piece struct {
	at       int64
	ref      tcp.PacketRef
	from, to uint32
	more     bool
	snapped  bool
	protocol layers.IPProtocol
	ttl      uint8
	data     []byte // as far as captured
}

// fragment keeps a fragment, and goes on with the datagram that it completes.
// Overlapping fragments are how packets are smuggled past observers, and hosts
// disagree on what they mean; so an exact repetition is ignored, and anything
// else that overlaps makes the datagram worthless (as RFC 5722 has it, and
// Linux for IPv4 too).
func (d *Decoder) fragment(protocol layers.IPProtocol, id uint32, offset int, more bool, f frame) Result {
	pk := &d.pk
	if pk.quoting {
		if offset > 0 {
			return NotTCP
		}
		return d.payload(protocol, f)
	}
	if !carriesTCP(protocol) {
		return NotTCP
	}
	if f.wire == 0 || more && f.wire%8 != 0 || offset+f.wire > maxDatagram {
		return d.malformed(badFragment)
	}
	key := fragmentKey{src: pk.ip.src, dst: pk.ip.dst, id: id, tag: pk.tag, v6: pk.ip.v6}
	if !key.v6 {
		key.protocol = protocol
	}
	p := piece{
		at: pk.at, ref: pk.ref,
		from: uint32(offset), to: uint32(offset + f.wire), more: more,
		snapped: pk.snapped || !pk.prefixOnly && len(f.data) < f.wire, protocol: protocol, ttl: pk.ip.ttl, data: f.data,
	}
	g := d.frags.find(key, p, &d.count)
	g.lost.add(1, p.ref)
	if !g.poisoned {
		g.insert(p)
	}
	if g.poisoned {
		// What follows of it counts with what came before.
		d.count.reasons[g.why].add(g.lost.count, g.lost.first)
		g.lost = tally{}
		return Fragment
	}
	if !g.complete() {
		return Fragment
	}
	whole := frame{d.frags.out[:copy(d.frags.out[:], g.known())], int(g.total)}
	pk.snapped, pk.ip.ttl = g.snapped, g.ttl
	pk.reassembled, pk.prefixOnly = true, true
	protocol = g.next
	d.frags.remove(g)
	d.count.reassembled++
	return d.payload(protocol, whole)
}

// find is the datagram of a fragment, a new one if need be.
func (m *defragmenter) find(key fragmentKey, p piece, c *counters) *datagram {
	if g := m.byKey[key]; g != nil {
		if !g.expired(p.at) {
			return g
		}
		m.drop(g, lostExpired, c)
	}
	for m.oldest != nil && m.oldest.expired(p.at) {
		m.drop(m.oldest, lostExpired, c)
	}
	if len(m.byKey) >= maxDatagrams {
		m.drop(m.oldest, lostEvicted, c)
	}
	g := m.free
	if g == nil {
		g = new(datagram)
	} else {
		m.free = g.older
		*g = datagram{}
	}
	g.key, g.since, g.older = key, p.at, m.newest
	if m.newest != nil {
		m.newest.newer = g
	} else {
		m.oldest = g
	}
	m.newest = g
	if m.byKey == nil {
		m.byKey = make(map[fragmentKey]*datagram)
	}
	m.byKey[key] = g
	return g
}

// drop gives up on a datagram and counts its fragments.
func (m *defragmenter) drop(g *datagram, why reason, c *counters) {
	if g.lost.count > 0 {
		c.reasons[why].add(g.lost.count, g.lost.first)
	}
	m.remove(g)
}

// remove takes a datagram out; its memory is used again.
func (m *defragmenter) remove(g *datagram) {
	delete(m.byKey, g.key)
	if g.older != nil {
		g.older.newer = g.newer
	} else {
		m.oldest = g.newer
	}
	if g.newer != nil {
		g.newer.older = g.older
	} else {
		m.newest = g.older
	}
	g.newer, g.older = nil, m.free
	m.free = g
}

// waiting counts the fragments held.
func (m *defragmenter) waiting() tally {
	var t tally
	for g := m.oldest; g != nil; g = g.newer {
		if g.lost.count > 0 {
			t.add(g.lost.count, g.lost.first)
		}
	}
	return t
}

// expired reports whether a datagram has waited for too long at the given
// time. Captures step back in time too: by as much means another datagram.
func (g *datagram) expired(at int64) bool {
	limit := int64(timeout4)
	if g.key.v6 {
		limit = timeout6
	}
	age := at - g.since
	return age > limit || age < -limit
}

// insert adds a fragment, or poisons the datagram.
func (g *datagram) insert(p piece) {
	if !p.more {
		if g.hasTotal && g.total != p.to {
			g.poison(lostOverlap)
			return
		}
		g.total, g.hasTotal = p.to, true
	}
	if g.hasTotal && (p.to > g.total || g.n > 0 && g.spans[g.n-1].to > g.total) {
		g.poison(lostOverlap)
		return
	}
	i := 0
	for i < g.n && g.spans[i].to <= p.from {
		i++
	}
	// spans[i] is the first one that p could overlap.
	overlaps := i < g.n && g.spans[i].from < p.to
	repeats := overlaps && g.spans[i].from <= p.from && p.to <= g.spans[i].to
	switch {
	case overlaps && !repeats:
		g.poison(lostOverlap)
	case !repeats && !g.place(i, span{p.from, p.to}):
		g.poison(lostPieces)
	case !g.remember(p):
		g.poison(lostOverlap)
	}
	g.snapped = g.snapped || p.snapped
	if p.from == 0 {
		g.next, g.ttl = p.protocol, p.ttl
	}
}

func (g *datagram) poison(why reason) { g.poisoned, g.why = true, why }

// place puts a span before the one at index i, which it does not overlap,
// joins it to its neighbours, and reports whether there was room.
func (g *datagram) place(i int, s span) bool {
	joinsBefore := i > 0 && g.spans[i-1].to == s.from
	joinsAfter := i < g.n && g.spans[i].from == s.to
	switch {
	case joinsBefore && joinsAfter:
		g.spans[i-1].to = g.spans[i].to
		copy(g.spans[i:g.n], g.spans[i+1:g.n])
		g.n--
	case joinsBefore:
		g.spans[i-1].to = s.to
	case joinsAfter:
		g.spans[i].from = s.from
	case g.n == maxSpans:
		return false
	default:
		copy(g.spans[i+1:g.n+1], g.spans[i:g.n])
		g.spans[i] = s
		g.n++
	}
	return true
}

// remember copies what the prefix can hold of a fragment, and reports whether
// it agrees with what is there already.
func (g *datagram) remember(p piece) bool {
	for j, b := range p.data {
		at := int(p.from) + j
		if at >= prefixSize {
			break
		}
		word, bit := at/64, uint64(1)<<(at%64)
		if g.have[word]&bit != 0 && g.prefix[at] != b {
			return false
		}
		g.prefix[at] = b
		g.have[word] |= bit
	}
	return true
}

// complete reports whether no fragment is missing.
func (g *datagram) complete() bool {
	return g.hasTotal && g.n == 1 && g.spans[0] == span{0, g.total}
}

// known is the beginning of the datagram, as far as it was captured without a
// gap.
func (g *datagram) known() []byte {
	n := 0
	for _, word := range g.have {
		ones := bits.TrailingZeros64(^word)
		n += ones
		if ones < 64 {
			break
		}
	}
	return g.prefix[:n]
}
