package reassembly

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

var flowDiff = cmp.Options{cmp.AllowUnexported(Flow{}, compat.State{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(Handshake{})}

// The short ways lead to where the whole one does.
func TestShortWays(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	short, turns := 0, 0
	for seed := range uint64(220) {
		for _, max := range []int{1, 3, 1000} {
			var want, got []*Flow
			whole := NewTable(Options{MaxFlows: max, Compat: true}, func(f *Flow) { want = append(want, f.Clone()) })
			whole.whole = true
			other := NewTable(Options{MaxFlows: max, Compat: true}, func(f *Flow) { got = append(got, f.Clone()) })
			g := newDialogue(seed, 5+int(seed%40), 5)
			for i := range 250 {
				s := g.segment()
				whole.Step(&s)
				at := other.Look(&s)
				other.StepAt(&s, &at)
				if max > 3 {
					sameEntry(t, whole, other, &s)
				}
				if i%50 == 0 {
					Together(whole).Sweep(g.at)
					Together(other).Sweep(g.at)
				}
				if i%97 == 0 {
					Together(other).Peek(g.at, func(*Flow) {})
				}
			}
			Together(whole).Finish(g.at + 1e9)
			Together(other).Finish(g.at + 1e9)
			if whole.n != other.n {
				t.Errorf("seed %d, %d flows: counters %+v, %+v", seed, max, whole.n, other.n)
			}
			if max > 3 {
				if d := cmp.Diff(want, got, flowDiff); d != "" {
					t.Fatalf("seed %d, %d flows: %s", seed, max, d)
				}
			}
			short += other.shortcuts
			turns += other.turns
		}
	}
	if short < 10000 || turns < 1000 {
		t.Errorf("only %d segments went the short way, %d at the begin or the end of a connection", short, turns)
	}
}

// A copy holds nothing of the flow that it replaces, and nothing of the view.
func TestCloneTo(t *testing.T) {
	var want, got []*Flow
	spare := new(Flow)
	table := NewTable(Options{MaxFlows: 100, Compat: true}, func(f *Flow) {
		f.CloneTo(spare)
		want, got = append(want, f.Clone()), append(got, spare.Clone())
	})
	g := newDialogue(1, 5, 40)
	for range 2000 {
		s := g.segment()
		table.Step(&s)
	}
	Together(table).Finish(g.at)
	if d := cmp.Diff(want, got, flowDiff); d != "" || len(want) < 40 {
		t.Errorf("%d flows: %s", len(want), d)
	}
}

// sameEntry compares all that two tables know of the flow of a segment, but
// where it lies.
func sameEntry(t *testing.T, a, b *Table, s *tcp.Segment) {
	t.Helper()
	at := a.spot(&s.Tuple)
	i, k := a.find(&at, &s.Tuple), b.find(&at, &s.Tuple)
	if (i == 0) != (k == 0) {
		t.Fatalf("%v: entries %x and %x", s.Ref, i, k)
	}
	if i == 0 || k&openingBit != 0 {
		return
	}
	x, y := *a.entries.get(i), *b.entries.get(k)
	if p, q := a.compats.get(x.compat), b.compats.get(y.compat); *p != *q {
		t.Fatalf("%v: %+v, %+v", s.Ref, *p, *q)
	}
	for _, e := range []*entry{&x, &y} {
		e.key, e.logHead, e.logTail, e.extra, e.compat, e.gen = key{}, 0, 0, min(e.extra, 1), 0, 0
	}
	if x != y {
		t.Fatalf("%v: %+v, %+v", s.Ref, x, y)
	}
}

// check holds a table's memory to what must be true of it between any two steps.
func (t *Table) check() error {
	used := map[uint32]bool{}
	wide := map[uint32]bool{}
	blocks := map[uint32]bool{}
	count, compats := 0, 0
	var rest behind
	for p, v := range t.index.slots {
		if v == 0 {
			continue
		}
		count++
		i := uint32(v)
		if used[i] {
			return fmt.Errorf("%x stands twice in the index", i)
		}
		used[i] = true
		k, w := t.keyAt(i)
		var tuple tcp.Tuple
		t.putTuple(&tuple, *k, w)
		at := t.spot(&tuple)
		if at.hash != t.hashOf(i) || at.hash>>32 != v>>32 || t.find(&at, &tuple) != i {
			return fmt.Errorf("%x in slot %d is not found by its tuple", i, p)
		}
		if w {
			if wide[k.a] {
				return fmt.Errorf("two flows share addresses %d", k.a)
			}
			wide[k.a] = true
		}
		if i&openingBit != 0 {
			if o := t.openings.get(i &^ openingBit); o.from == 0 {
				return fmt.Errorf("opening %d is free", i&^openingBit)
			}
			continue
		}
		e := t.entries.get(i)
		if e.incarnation == 0 || i == t.aside {
			return fmt.Errorf("entry %d is free", i)
		}
		if e.has(flowDone) && !e.has(flowInWheel) {
			return fmt.Errorf("entry %d is closed and waits in no wheel", i)
		}
		if e.has(flowPending) != (len(t.pending[i]) > 0) {
			return fmt.Errorf("entry %d: %d SYNs held", i, len(t.pending[i]))
		}
		if e.compat != 0 {
			compats++
		}
		rest.count(t, e)
		octets := 0
		for b := e.logHead; b != 0; b = t.blocks.get(b).next {
			if blocks[b] {
				return fmt.Errorf("block %d is in two logs", b)
			}
			blocks[b] = true
			octets += blockSize
		}
		if int(e.logLen) > octets || int(e.logLen) <= octets-blockSize {
			return fmt.Errorf("entry %d: %d octets in a log of %d", i, e.logLen, octets)
		}
		if e.steps > maxSteps+20 {
			return fmt.Errorf("entry %d: %d steps", i, e.steps)
		}
	}
	if count != t.index.count || count > t.opts.MaxFlows {
		return fmt.Errorf("%d slots are taken, %d counted", count, t.index.count)
	}
	for name, n := range map[string][3]int{
		"wides":      {int(t.wides.next), t.wides.unused(), len(wide)},
		"blocks":     {int(t.blocks.next), t.blocks.unused(), len(blocks)},
		"compat":     {int(t.compats.next), t.compats.unused(), compats},
		"extras":     {int(t.extras.next), t.extras.unused(), rest.extras},
		"sides":      {int(t.sides.next), t.sides.unused(), rest.sides},
		"resets":     {int(t.resets.next), t.resets.unused(), rest.resets},
		"suspicions": {int(t.suspicions.next), t.suspicions.unused(), rest.suspicions},
		"flows":      {int(t.entries.next + t.openings.next), t.entries.unused() + t.openings.unused(), count + 1},
	} {
		if n[0]-n[1] != n[2] {
			return fmt.Errorf("%d %s made, %d free, %d in use", n[0], name, n[1], n[2])
		}
	}
	return nil
}

// behind counts what entries have in side tables.
type behind struct{ extras, sides, resets, suspicions int }

func (n *behind) count(t *Table, e *entry) {
	if e.extra == 0 {
		return
	}
	n.extras++
	x := t.extra(e)
	for _, i := range x.sides {
		n.sides += int(min(i, 1))
	}
	if x.resets != 0 {
		n.resets++
		n.suspicions += int(min(t.resets.get(x.resets).suspicion, 1))
	}
}

func TestTableMemory(t *testing.T) {
	for seed := range uint64(60) {
		max := 1 + int(seed%8)*int(seed%8)
		table := NewTable(Options{MaxFlows: max, Seed: seed, Compat: seed%2 == 0}, func(*Flow) {})
		g := newDialogue(seed, 3, 3*max)
		for i := range 400 {
			s := g.segment()
			table.Step(&s)
			if i%23 == 0 {
				Together(table).Sweep(g.at)
			}
			if i%29 == 0 {
				Together(table).Peek(g.at, func(*Flow) {})
			}
			if err := table.check(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
		}
		Together(table).Finish(g.at)
		if held := table.entries.next + table.openings.next + table.blocks.next; held != 0 || table.Held() > 0 {
			t.Fatalf("seed %d, in the end: %d flows, memory for %d", seed, table.Held(), held)
		}
	}
}

// A log cannot grow beyond what its length and its numbers can tell, however
// long a connection goes wrong.
func TestLongStrife(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	most, steps := uint16(0), uint8(0)
	flags := [...]tcp.Flags{tcp.ACK, tcp.ACK, tcp.ACK, tcp.RST, tcp.RST | tcp.ACK, tcp.FIN | tcp.ACK, tcp.SYN, tcp.SYN | tcp.ACK, tcp.FIN}
	for seed := range uint64(60) {
		table := NewTable(Options{MaxFlows: 10}, func(*Flow) {})
		r := rand.New(rand.NewPCG(seed, 1))
		var a, b [16]byte
		a[15], b[15] = 1, 2
		at := int64(1e18)
		for i := range 3000 {
			tuple, side := tcp.MakeTuple(&a, &b, 1000, 80)
			seq, ack := tcp.Seq(100), tcp.Seq(500)
			if r.IntN(2) == 0 {
				tuple, side = tcp.MakeTuple(&b, &a, 80, 1000)
				seq, ack = ack, seq
			}
			at += r.Int64N(2e9)
			if r.IntN(30) == 0 {
				at += r.Int64N(100e9)
			}
			f := flags[r.IntN(len(flags))]
			if f&tcp.SYN == 0 {
				seq++
			}
			s := tcp.Segment{At: at, Ref: tcp.Ref(0, uint64(i)+1), Tuple: tuple, From: side, Kind: tcp.KindTCP,
				Flags: f, Seq: seq.Add(r.Uint32N(3)), Ack: ack.Add(1 + r.Uint32N(3)), Window: 100, IPID: uint16(i) + 1}
			if f&tcp.SYN != 0 {
				s.Seq = seq
			}
			table.Step(&s)
			for k := uint32(1); k <= table.entries.next; k++ {
				e := table.entries.get(k)
				most, steps = max(most, e.logLen), max(steps, e.steps)
			}
			if err := table.check(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
		}
	}
	if steps < maxSteps {
		t.Errorf("at most %d steps: the bound was not reached", steps)
	}
	t.Logf("at most %d octets, %d steps", most, steps)
}

// unused is how many values were given back.
func (s *slab[T]) unused() (n int) {
	for _, m := range s.free {
		n += bits.OnesCount64(m)
	}
	return n
}
