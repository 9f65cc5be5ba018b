package reassembly

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/reassembly/tcp"
)

// both steps segments through the whole path and the short ways.
type both struct {
	t            *testing.T
	whole, other *Table
	want, got    []*Flow
	at           int64
	n            uint64
}

func newBoth(t *testing.T) *both {
	b := &both{t: t, at: 1e18}
	b.whole = NewTable(Options{MaxFlows: 10, Compat: true}, func(f *Flow) { b.want = append(b.want, f.Clone()) })
	b.whole.whole = true
	b.other = NewTable(Options{MaxFlows: 10, Compat: true}, func(f *Flow) { b.got = append(b.got, f.Clone()) })
	return b
}

func (b *both) step(s tcp.Segment) {
	b.t.Helper()
	a, z := [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 2}
	tuple, _ := tcp.MakeTuple(&a, &z, 4000, 80)
	b.at += 5e6
	b.n++
	s.At, s.Ref, s.Tuple, s.Kind, s.TTL, s.IPID = b.at, tcp.Ref(0, b.n), tuple, tcp.KindTCP, 64, uint16(b.n%60000+1)
	if s.Window == 0 {
		s.Window = 60000
	}
	b.whole.Step(&s)
	b.other.Step(&s)
	sameEntry(b.t, b.whole, b.other, &s)
}

func (b *both) finish() {
	b.t.Helper()
	Together(b.whole).Finish(b.at + 1e9)
	Together(b.other).Finish(b.at + 1e9)
	if d := cmp.Diff(b.want, b.got, flowDiff); d != "" {
		b.t.Error(d)
	}
}

// confirmTentative, which the whole path goes through as well: the last octets of a log's only record look like a tentative step: they are
// the upper half of an acknowledgement number.
func TestNumberLikeTentativeStep(t *testing.T) {
	for _, upper := range []tcp.Seq{0x8406, 0x8409} {
		b := newBoth(t)
		x, y := tcp.SideA, tcp.SideB
		if upper == 0x8409 {
			x, y = y, x
		}
		ack := upper<<16 | 0x1234
		b.step(tcp.Segment{From: x, Flags: tcp.ACK, Seq: 1001, Ack: ack})
		b.step(tcp.Segment{From: x, Flags: tcp.SYN, Seq: 1000}) // its own, late
		b.step(tcp.Segment{From: y, Flags: tcp.ACK, Seq: ack, Ack: 1001})
		b.finish()
		// CLOSED to ESTABLISHED, and the server's LISTEN, SYN_RCVD, ESTABLISHED.
		if n := len(b.got[0].Steps); n != 3 {
			t.Errorf("acknowledgement %#x: %d steps, want 3", uint32(ack), n)
		}
	}
}

// Holes that nobody filled stand before the acknowledgements again when a stream
// is beyond 4 GB.
func TestStaleHoles(t *testing.T) {
	b := newBoth(t)
	nxt := tcp.Seq(5000)
	data := func(n uint32) {
		b.step(tcp.Segment{From: tcp.SideA, Flags: tcp.ACK, Seq: nxt, Ack: 777, Len: n})
		nxt = nxt.Add(n)
		b.step(tcp.Segment{From: tcp.SideB, Flags: tcp.ACK, Seq: 777, Ack: nxt})
	}
	b.step(tcp.Segment{From: tcp.SideA, Flags: tcp.SYN, Seq: 4999, Options: tcp.OptWindowScale, WScale: 12})
	b.step(tcp.Segment{From: tcp.SideB, Flags: tcp.SYN | tcp.ACK, Seq: 776, Ack: 5000, Options: tcp.OptWindowScale, WScale: 12})
	b.step(tcp.Segment{From: tcp.SideA, Flags: tcp.ACK, Seq: 5000, Ack: 777})
	data(1000)
	nxt += 1000
	first := nxt // after the first hole
	data(1000)
	for range 3 {
		nxt += 900e6
		data(1000)
	}
	for nxt != first-1500 {
		data(min(60000, uint32(first-1500-nxt)))
	}
	data(1700)
	data(1000)
	b.finish()
}
