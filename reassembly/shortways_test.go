package reassembly

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/reassembly/tcp"
)

// ordinaryTalk is a connection from its SYN to the last acknowledgement. The
// client closes first, or the server, whose last payload comes with its FIN.
func ordinaryTalk(serverFirst bool) (out []tcp.Segment) {
	a, b := [16]byte{10: 0xff, 11: 0xff, 15: 1}, [16]byte{10: 0xff, 11: 0xff, 15: 2}
	next := [2]tcp.Seq{1000, 0xffff_fff0}
	say := func(from int, flags tcp.Flags, n uint32) {
		tuple, side := tcp.MakeTuple(&a, &b, 1000, 80)
		if from == 1 {
			tuple, side = tcp.MakeTuple(&b, &a, 80, 1000)
		}
		k := uint64(len(out) + 1)
		s := tcp.Segment{At: 1e18 + int64(k)*10e6, Ref: tcp.Ref(0, k), Tuple: tuple, From: side, Kind: tcp.KindTCP,
			Flags: flags, Seq: next[from], Ack: next[1-from], Len: n, Window: 500, TTL: 64, IPID: uint16(k),
			Options: tcp.OptTimestamps | tcp.OptAny, TSVal: uint32(1000 + 10*k), TSEcr: uint32(990 + 10*k)}
		if flags&tcp.SYN != 0 {
			s.Options |= tcp.OptWindowScale
		}
		if flags == tcp.SYN {
			s.Ack = 0
		}
		next[from] = s.End()
		out = append(out, s)
	}
	c, s := 0, 1
	say(c, tcp.SYN, 0)
	say(s, tcp.SYN|tcp.ACK, 0)
	say(c, tcp.ACK, 0)
	say(c, tcp.ACK|tcp.PSH, 100)
	say(s, tcp.ACK, 0)
	last := uint32(0)
	if serverFirst {
		c, s, last = s, c, 50
	}
	say(c, tcp.ACK|tcp.FIN, last)
	say(s, tcp.ACK, 0)
	say(s, tcp.ACK|tcp.FIN, 0)
	say(c, tcp.ACK, 0)
	return out
}

// Whatever befalls an ordinary connection, at whatever segment, the short ways
// lead to where the whole one does.
func TestShortWaysOfOrdinaryTalks(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	type change func(s tcp.Segment) []tcp.Segment
	one := func(f func(s *tcp.Segment)) change {
		return func(s tcp.Segment) []tcp.Segment { f(&s); return []tcp.Segment{s} }
	}
	before := func(f func(s *tcp.Segment)) change {
		return func(s tcp.Segment) []tcp.Segment {
			o := s
			o.At -= 5e6
			o.IPID += 1000
			o.Ref = tcp.Ref(0, 100+s.Ref.Frame())
			f(&o)
			return []tcp.Segment{o, s}
		}
	}
	changes := map[string]change{
		"nothing":         one(func(*tcp.Segment) {}),
		"lost":            func(tcp.Segment) []tcp.Segment { return nil },
		"twice":           before(func(*tcp.Segment) {}),
		"a copy":          before(func(s *tcp.Segment) { s.IPID -= 1000 }),
		"late":            one(func(s *tcp.Segment) { s.At += 900e9 }),
		"after a day":     one(func(s *tcp.Segment) { s.At += 86400e9 }),
		"clock back":      one(func(s *tcp.Segment) { s.At -= 35e6 }),
		"zero window":     one(func(s *tcp.Segment) { s.Window = 0 }),
		"old timestamp":   one(func(s *tcp.Segment) { s.TSVal -= 500 }),
		"older than last": one(func(s *tcp.Segment) { s.TSVal -= 15 }),
		"no timestamp":    one(func(s *tcp.Segment) { s.Options &^= tcp.OptTimestamps }),
		"ack of less":     one(func(s *tcp.Segment) { s.Ack-- }),
		"ack of more":     one(func(s *tcp.Segment) { s.Ack++ }),
		"ack far back":    one(func(s *tcp.Segment) { s.Ack -= 5000 }),
		"seq of more":     one(func(s *tcp.Segment) { s.Seq++ }),
		"payload":         one(func(s *tcp.Segment) { s.Len += 10 }),
		"payload and FIN": one(func(s *tcp.Segment) { s.Len += 10; s.Flags |= tcp.FIN }),
		"a FIN":           one(func(s *tcp.Segment) { s.Flags |= tcp.FIN }),
		"no FIN":          one(func(s *tcp.Segment) { s.Flags &^= tcp.FIN }),
		"snapped":         one(func(s *tcp.Segment) { s.Quality |= tcp.Snapped }),
		"RST before":      before(func(s *tcp.Segment) { s.Flags, s.Len = tcp.RST, 0 }),
		"inexact RST":     before(func(s *tcp.Segment) { s.Flags, s.Len, s.Seq = tcp.RST, 0, s.Seq+3 }),
		"stray RST":       before(func(s *tcp.Segment) { s.Flags, s.Len, s.Seq = tcp.RST, 0, s.Seq-9999 }),
		"SYN before":      before(func(s *tcp.Segment) { s.Flags, s.Len, s.Seq = tcp.SYN, 0, s.Seq+77777 }),
		"keepalive":       before(func(s *tcp.Segment) { s.Flags, s.Len, s.Seq = tcp.ACK, 0, s.Seq-1 }),
		"ICMP":            before(func(s *tcp.Segment) { s.Kind, s.ICMPType, s.ICMPCode = tcp.KindICMP, 3, 1 }),
	}
	run := func(whole bool, segments []tcp.Segment, end int64) (flows []*Flow, table *Table) {
		table = NewTable(Options{MaxFlows: 1000, Compat: true}, func(f *Flow) { flows = append(flows, f.Clone()) })
		table.whole = whole
		for i := range segments {
			table.Step(&segments[i])
		}
		Together(table).Finish(end)
		return flows, table
	}
	turns := 0
	compare := func(segments []tcp.Segment, what string) {
		end := segments[len(segments)-1].At + 1e9
		want, _ := run(true, segments, end)
		got, table := run(false, segments, end)
		turns += table.turns
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%s: %s", what, cmp.Diff(want, got, flowDiff))
		}
	}
	for _, serverFirst := range []bool{false, true} {
		talk := ordinaryTalk(serverFirst)
		for first, f := range changes {
			for second, g := range changes {
				for i := range talk {
					for k := i + 1; k < len(talk); k++ {
						segments := slices.Concat(talk[:i], f(talk[i]), talk[i+1:k], g(talk[k]), talk[k+1:])
						compare(segments, fmt.Sprintf("server first %v, %s at %d, %s at %d", serverFirst, first, i, second, k))
					}
				}
			}
		}
	}
	if turns < 10000 {
		t.Errorf("only %d segments went the short way at the begin or the end of a connection", turns)
	}
}

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

// The last octets of a log's only record look like a tentative step, and are the
// upper half of an acknowledgement number.
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
