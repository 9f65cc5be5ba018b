package diagnose

import (
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// clockCell is what is known of the timestamps of one host: its first value and
// its last (RFC 7323 §5.4 lets every host choose the rate).
type clockCell struct {
	first, last stamp
}

type stamp struct {
	at  int64
	val uint32
	ref tcp.PacketRef
}

func (c *clockCell) weight() uint64 { return uint64(max(0, c.last.at-c.first.at)) }

func (c *clockCell) note(s stamp) {
	if c.first.ref == 0 || s.at < c.first.at || s.at == c.first.at && s.ref < c.first.ref {
		c.first = s
	}
	if c.last.ref == 0 || s.at > c.last.at || s.at == c.last.at && s.ref > c.last.ref {
		c.last = s
	}
}

func (c *clockCell) merge(o *clockCell) {
	c.note(o.first)
	c.note(o.last)
}

func (c *clockCell) reset() { *c = clockCell{} }

// clock notes the last timestamps of a flow whose beginning was not captured.
func (s *idleCloses) clock(f *reassembly.Flow) {
	if !f.Midstream {
		return
	}
	for _, side := range []tcp.Side{tcp.SideA, tcp.SideB} {
		if d := f.Endpoint(side); d.Timestamps && d.LastRef != 0 {
			k := serviceOf(f)
			k.host, k.side = addressOf(f, side), roleSide(f, side)
			s.clocks.at(k).note(stamp{d.LastAt, d.LastTSVal, d.LastRef})
		}
	}
}

// rate is how many ticks per second the clock runs of the side that did not
// close. Kernels whose connections share a clock tick 100, 250, 300 or 1,000
// times a second, and two values of it tell which. Kernels that give every
// connection a clock of its own tick 1,000 times (Linux since 4.10,
// net/ipv4/tcp.c), and for them two values fit no rate.
func (s *idleCloses) rate(k place) int64 {
	k = k.whole()
	k.side = k.side.other()
	c := s.clocks.get(k)
	const usual = 1000
	if c == nil || c.last.at-c.first.at < 1e9 {
		return usual
	}
	ticks := int64(int32(c.last.val - c.first.val))
	for _, hz := range []int64{100, 250, 300, usual} {
		want := (c.last.at - c.first.at) / 1e6 * hz / 1000
		if off := max(ticks-want, want-ticks); off <= want/100+2 {
			return hz
		}
	}
	return usual
}
