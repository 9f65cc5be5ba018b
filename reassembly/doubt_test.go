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
		Together(table).Doubt(d, at+1e9)
		Together(table).Finish(at + 3e9)
		if len(got) != 5 || got[1] != want || got[2] != want || got[3] != 0 || got[4] != 0 || got[5] != 0 {
			t.Errorf("doubt %d: %v", d, got)
		}
	}
}
