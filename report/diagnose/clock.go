package diagnose

import (
	"slices"

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
func (s *idleCloses) clock(c *Context, f *reassembly.Flow) {
	if !f.Midstream {
		return
	}
	for _, side := range []tcp.Side{tcp.SideA, tcp.SideB} {
		if d := f.Endpoint(side); d.Timestamps && d.LastRef != 0 && d.RST == 0 {
			k := c.service
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
	if c == nil {
		return usualRate
	}
	if hz := fitRate(c.last.val-c.first.val, c.last.at-c.first.at); hz != 0 {
		return hz
	}
	return usualRate
}

// usualRate is the rate of most clocks, ticks a second.
const usualRate = 1000

// fitRate is the usual rate at which a clock makes so many ticks in ns, 0 when
// none fits or the time is too short to tell.
func fitRate(ticks uint32, ns int64) int64 {
	if ns < 1e9 {
		return 0
	}
	n := int64(int32(ticks))
	for _, hz := range []int64{100, 250, 300, usualRate} {
		want := ns / 1e6 * hz / 1000
		if off := max(n-want, want-n); off <= want/100+2 {
			return hz
		}
	}
	return 0
}

// flowRate is the rate of a side's clock as one connection tells it: from its
// SYN or SYN-ACK to its last segment. 0 where that does not tell.
func flowRate(f *reassembly.Flow, s tcp.Side) int64 {
	d, at := f.Endpoint(s), f.Handshake.FirstSYN
	if s != f.Client {
		at = f.Handshake.SYNACK
	}
	if !d.Timestamps || !d.HasSYNTSVal || d.RST > 0 || at == 0 {
		return 0
	}
	return fitRate(d.LastTSVal-d.SYNTSVal, d.LastAt-at)
}

// heard is how long before its FIN a side had last heard of the other, by the
// other's own clock (RFC 7323 §3): from the value that the FIN echoes to that of
// the other's last segment, in ticks, of which those after the FIN, which lasted
// after ns, are no part.
func heard(f *reassembly.Flow, closer tcp.Side) (ticks, after int64, ok bool) {
	d, p := f.Endpoint(closer), f.Endpoint(closer.Other())
	if !d.Timestamps || !p.Timestamps || !sentFIN(f, closer) || d.TSEcr == 0 || p.RST > 0 || p.LastAt < d.FINAt {
		return 0, 0, false
	}
	ticks = int64(int32(p.LastTSVal - d.TSEcr))
	return ticks, p.LastAt - d.FINAt, ticks > 0
}

// heardNS is the same in ns, where the one connection tells the clock's rate,
// which comes with it.
func heardNS(f *reassembly.Flow, closer tcp.Side) (ns, hz int64, ok bool) {
	ticks, after, ok := heard(f, closer)
	if hz = flowRate(f, closer.Other()); !ok || hz == 0 {
		return 0, 0, false
	}
	ns = ticks*1e9/hz - after
	return ns, hz, ns > 0
}

// slowestTick is longer than a tick of any timestamp clock in use, ns (RFC 7323
// §5.4 allows up to a second; 100 ms occurs).
const slowestTick = 200e6

// lasted is the longest time, ns, that the timestamps of a side allow between its
// SYN or SYN-ACK and its last segment; ok where they tell. A SYN that offers them to
// a peer without is the last that has one.
func lasted(f *reassembly.Flow, s tcp.Side) (ns int64, ok bool) {
	d := f.Endpoint(s)
	ticks := int64(int32(d.LastTSVal - d.SYNTSVal))
	return ticks * slowestTick, d.HasSYNTSVal && d.Timestamps && f.Endpoint(s.Other()).Timestamps && d.RST == 0 && ticks >= 0
}

// Leaps are when the capture's clock leapt ahead, each with the time that the
// hosts' timestamps know nothing of. The latest are kept.
type Leaps struct{ list [][2]int64 }

const leapsKept = 64

// Add notes that the time between two instants did not pass. It lies in a silence
// of all hosts, later than those before.
func (l *Leaps) Add(from, to int64) {
	if len(l.list) == leapsKept {
		l.list = slices.Delete(l.list, 0, 1)
	}
	l.list = append(l.list, [2]int64{from, to})
}

// Clone is a copy that goes on from here.
func (l *Leaps) Clone() Leaps { return Leaps{slices.Clone(l.list)} }

// within is how much of a span did not pass, ns.
func (l *Leaps) within(from, to int64) (ns int64) {
	for _, x := range l.list {
		ns += max(0, min(to, x[1])-max(from, x[0]))
	}
	return ns
}
