package reassembly

import (
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// A doubt falls on what is open and began before, whether it is an entry or an
// opening, and on nothing else.
func TestDoubt(t *testing.T) {
	const at = int64(1e18)
	for d, want := range map[Doubt]Quality{Unwatched: QualityCaptureLoss, Leapt: QualityClockStep} {
		got := map[uint16]Quality{}
		table := NewTable(Options{MaxFlows: 10}, func(f *Flow) { got[f.Tuple.PortA] = f.Quality & (QualityCaptureLoss | QualityClockStep) })
		table.Step(between(1, at, true, 1, tcp.SYN, 10, 0)) // half open
		table.Step(between(2, at, true, 2, tcp.SYN, 10, 0)) // open
		table.Step(between(3, at, false, 2, tcp.SYN|tcp.ACK, 20, 11))
		table.Step(between(4, at, true, 3, tcp.SYN, 10, 0)) // ended
		table.Step(between(5, at, false, 3, tcp.RST|tcp.ACK, 0, 11))
		table.Step(between(6, at+2e9, true, 4, tcp.SYN, 10, 0)) // begun later
		table.Step(between(7, at+2e9, true, 5, tcp.SYN, 10, 0))
		table.Step(between(8, at+2e9, false, 5, tcp.SYN|tcp.ACK, 20, 11))
		Together(table).Doubt(d, at+1e9, AnySource)
		Together(table).Finish(at + 3e9)
		if len(got) != 5 || got[1] != want || got[2] != want || got[3] != 0 || got[4] != 0 || got[5] != 0 {
			t.Errorf("doubt %d: %v", d, got)
		}
	}
}

// What one source tells no longer is doubtful of the flows that were seen there,
// in either direction, and of no others.
func TestDoubtOfOneSource(t *testing.T) {
	const at = int64(1e18)
	got := map[uint16]bool{}
	table := NewTable(Options{MaxFlows: 10}, func(f *Flow) { got[f.Tuple.PortA] = f.Quality&QualityCaptureLoss != 0 })
	frame := 0
	step := func(source int, client bool, port uint16, flags tcp.Flags, seq, ack tcp.Seq) {
		frame++
		s := between(frame, at, client, port, flags, seq, ack)
		s.Ref = tcp.Ref(source, uint64(frame))
		table.Step(s)
	}
	for port, seen := range map[uint16][2]int{1: {0, 0}, 2: {1, 1}, 3: {0, 1}, 4: {1, 0}} { // there and back
		step(seen[0], true, port, tcp.SYN, 10, 0)
		step(seen[1], false, port, tcp.SYN|tcp.ACK, 20, 11)
	}
	step(0, true, 5, tcp.SYN, 10, 0)
	step(1, true, 6, tcp.SYN, 10, 0)
	step(1, true, 7, tcp.ACK, 10, 20) // and nothing of the other direction
	Together(table).Doubt(Unwatched, at+1e9, 0)
	Together(table).Finish(at + 3e9)
	for port, want := range map[uint16]bool{1: true, 2: false, 3: true, 4: true, 5: true, 6: false, 7: false} {
		if doubted, ok := got[port]; !ok || doubted != want {
			t.Errorf("flow %d: doubted %v, want %v", port, doubted, want)
		}
	}
}
