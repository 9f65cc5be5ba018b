package reassembly

import (
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// between makes a segment between two hosts.
func between(n int, at int64, client bool, port uint16, flags tcp.Flags, seq, ack tcp.Seq) *tcp.Segment {
	var a, b [16]byte
	a[10], a[11], b[10], b[11] = 0xff, 0xff, 0xff, 0xff
	a[15], b[15] = 1, 2
	tuple, side := tcp.MakeTuple(&a, &b, port, 80)
	if !client {
		tuple, side = tcp.MakeTuple(&b, &a, 80, port)
	}
	return &tcp.Segment{At: at, Ref: tcp.Ref(0, uint64(n)), Tuple: tuple, From: side, Kind: tcp.KindTCP,
		Flags: flags, Seq: seq, Ack: ack, Window: 1000, TTL: 64, IPID: uint16(n)}
}

// Small counters are added up as what they are: 128 probes from each side are 256,
// and not none.
func TestProbesFromBothSides(t *testing.T) {
	for _, n := range []int{127, 128, 129} {
		var flows []*Flow
		table := NewTable(Options{}, func(f *Flow) { flows = append(flows, f.Clone()) })
		for i := range 2 * n {
			table.Step(between(i+1, 1e18+int64(i)*1e9, i%2 == 0, 1000, tcp.FIN, tcp.Seq(i), 0))
		}
		Together(table).Finish(2e18)
		if f := flows[0]; f.Close != CloseFINUnacked || f.ActiveCloser != CloserClient {
			t.Errorf("%d FINs from each side, no ACK: %v, closed by %v", n, f.Close, f.ActiveCloser)
		}
	}
}

// What was presumed and never proved stays so, also when a later step on the
// same event is taken back.
func TestPresumedStays(t *testing.T) {
	var flows []*Flow
	table := NewTable(Options{}, func(f *Flow) { flows = append(flows, f.Clone()) })
	steps := func(until int64) (out []fsm.Basis) {
		Together(table).Peek(until, func(f *Flow) {
			for _, s := range f.Steps {
				if s.On == fsm.RecvRST && s.Ref.Frame() == 2 {
					out = append(out, s.Basis)
				}
			}
		})
		return out
	}
	at := int64(1e18)
	table.Step(between(1, at, false, 1000, tcp.SYN|tcp.ACK, 2, 1016))
	table.Step(between(2, at+1e9, true, 1000, tcp.RST, 1016, 2))
	table.Step(between(3, at+2e9, false, 1000, tcp.SYN, 2, 0))
	table.Step(between(4, at+3e9, false, 1000, tcp.ACK, 6, 1017))
	table.Step(between(5, at+70e9, true, 1000, tcp.RST, 1022, 14))
	before := steps(at + 71e9)
	table.Step(between(6, at+150e9, false, 1000, tcp.ACK, 16, 1022))
	after := steps(at + 151e9)
	if len(before) != 1 || len(after) != 1 || before[0] != after[0] {
		t.Errorf("the RST's step was %v, and is %v once another one is disproved", before, after)
	}
}

// What the wheel remembers is bounded by the flows that the table holds.
func TestWheelIsBounded(t *testing.T) {
	table := NewTable(Options{MaxFlows: 64}, func(*Flow) {})
	const refused = 200_000
	for i := range refused { // a scan of closed ports
		table.Step(between(2*i+1, 1e18+int64(i)*1e3, true, uint16(i), tcp.SYN, tcp.Seq(i), 0))
		table.Step(between(2*i+2, 1e18+int64(i)*1e3, false, uint16(i), tcp.RST|tcp.ACK, 0, tcp.Seq(i+1)))
		if i%4096 == 0 {
			Together(table).Sweep(1e18 + int64(i)*1e3)
		}
	}
	waiting := 0
	for _, b := range table.wheel.buckets {
		waiting += cap(b)
	}
	if waiting > 100*64 {
		t.Errorf("%d flows are held of at most 64, and the wheel has room for %d", table.Held(), waiting)
	}
}

// Room for a new flow is found in about as many looks whether it was connections
// or half-open ones that filled the table before.
func TestEvictionLooks(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	const max = 1 << 15
	table := NewTable(Options{MaxFlows: max, Compat: true}, func(*Flow) {})
	n, at := 0, int64(1e18)
	for i := range max { // connections that end ...
		for k, f := range []tcp.Flags{tcp.SYN, tcp.RST | tcp.ACK} {
			n++
			table.Step(between(n, at, k == 0, uint16(i), f, tcp.Seq(5-5*k), tcp.Seq(6*k)))
		}
	}
	at += 300e9
	Together(table).Sweep(at)
	var looks uint64
	for i := range max + 1000 { // ... and then a flood
		n++
		s := between(n, at+int64(i), true, uint16(i), tcp.SYN, tcp.Seq(i), 0)
		s.Tuple.Tag = 1 + uint32(i>>16)
		before := table.hands[0]
		evicted := table.n.Evicted
		table.Step(s)
		if table.n.Evicted > evicted {
			gone := uint64(table.entries.next) // a whole turn leaves the hand where it was
			if d := uint64(table.hands[0]+table.entries.next-before) % gone; d != 0 {
				gone = d
			}
			looks += gone
		}
	}
	if per := looks / table.n.Evicted; per > 1000 {
		t.Errorf("%d evictions looked at %d entries each, all of them free", table.n.Evicted, per)
	}
}
