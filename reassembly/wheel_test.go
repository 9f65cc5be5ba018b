package reassembly

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Flows end when their retention does, to the nanosecond and in one order,
// however often one sweeps, and wherever the clock leaps or steps back meanwhile.
func TestSweepRhythms(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	const flows = 4000
	ended := func(seed uint64, pause func(*rand.Rand) int64) (list []string) {
		clock, rhythm := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
		at, swept := int64(1e18), int64(0)
		next := at + pause(rhythm)
		table := NewTable(Options{MaxFlows: flows}, func(f *Flow) {
			if f.Ended != EndExpired {
				return
			}
			if list = append(list, fmt.Sprint(f.ID, f.Final)); f.Final <= swept {
				t.Errorf("seed %d: what should end at %d did not when one swept at %d", seed, f.Final, swept)
			}
		})
		for i := range flows {
			if at += clock.Int64N(300) * 1e6; i%1000 == 0 {
				at += clock.Int64N(500) * 1e9
			}
			for k := range 2 + clock.IntN(3) { // refused, and at times refused again soon afterwards
				s := between(5*i+k+1, at-clock.Int64N(900)*1e6, k%2 == 0, uint16(i), tcp.SYN, 5, 0)
				if k%2 == 1 {
					s.Flags, s.Seq, s.Ack = tcp.RST|tcp.ACK, 0, 6
				}
				table.Step(s)
			}
			if at >= next {
				Together(table).Sweep(at)
				swept = at
				next = at + pause(rhythm)
			}
		}
		Together(table).Finish(at)
		return list
	}
	for seed := range uint64(20) {
		seldom := ended(seed, func(*rand.Rand) int64 { return 1e12 })
		for _, most := range []int64{1, 1e8, 3e9, 400e9} {
			often := ended(seed, func(r *rand.Rand) int64 { return r.Int64N(most) })
			if !slices.Equal(often, seldom) {
				t.Fatalf("seed %d: sweeps up to %d ns apart end %d flows, one sweep %d, or in another order", seed, most, len(often), len(seldom))
			}
		}
		if len(seldom) < flows/4 {
			t.Errorf("seed %d: %d flows of %d ended: the test says little", seed, len(seldom), flows)
		}
	}
}
