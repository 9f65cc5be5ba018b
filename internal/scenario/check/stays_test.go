package check

import (
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// The stays of an endpoint add up to its time in each state and end in its
// state, they do not overlap, and a step that was taken back is in none of them.
func TestStaysAreWhatIsBelieved(t *testing.T) {
	retired := 0
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Flows {
			for i := range f.Steps {
				if f.Steps[i].Retired {
					retired++
				}
			}
			for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
				sums, last, state := [fsm.States]int64{}, int64(0), fsm.Closed
				f.Stays(side, func(x reassembly.Stay) bool {
					if x.From < last || x.To < x.From {
						t.Errorf("%s: flow %s: %v overlaps what was before", s.Name, f.ID, x)
					}
					last, state = x.To, fsm.Closed
					if x.To == reassembly.OpenEnd {
						last, state = f.Until, x.State
					}
					sums[x.State] += max(0, last-x.From)
					return true
				})
				if e := f.Endpoint(side); sums != e.StateNS || state != max(e.State, fsm.Closed) {
					t.Errorf("%s: flow %s: stays of %v in %v, want %v in %v", s.Name, f.ID, sums, state, e.StateNS, e.State)
				}
			}
		}
	}
	if retired == 0 {
		t.Error("no scenario takes a step back: the test shows nothing")
	}
}
