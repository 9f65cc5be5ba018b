package reassembly

import (
	"math"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Stay is how long one endpoint stood in a state, as finally believed.
type Stay struct {
	State fsm.State
	Basis fsm.Basis // of the step that took it there
	From  int64     // ns
	To    int64     // ns, the first moment out of it; OpenEnd for the last stay
}

// OpenEnd is the end of a stay that no step ended: it outlasts the input.
const OpenEnd = math.MaxInt64

// Believed calls visit for each step of one side that moved it, in order, until
// it is false: with when, and the states as they are finally believed. What was
// disproved is left out, and the return from it. Where the capture's clock
// stepped back, a step is taken to be no earlier than the one before it.
func (f *Flow) Believed(s tcp.Side, visit func(st *Step, at int64, from, to fsm.State) bool) {
	state, at := fsm.Closed, int64(math.MinInt64)
	for i := range f.Steps {
		st := &f.Steps[i]
		if st.Side != s || st.Retired || st.On == fsm.Revise {
			continue
		}
		to, ok := fsm.Observe(state, st.On)
		if !ok || to == state {
			continue
		}
		at = max(at, st.At)
		if !visit(st, at, state, to) {
			return
		}
		state = to
	}
}

// Stays calls visit for each stay of one side in a state other than CLOSED and
// LISTEN, in order and without overlap, until it is false: what Endpoint.State
// and StateNS say.
func (f *Flow) Stays(s tcp.Side, visit func(Stay) bool) {
	var last Stay
	on := true
	f.Believed(s, func(st *Step, at int64, from, to fsm.State) bool {
		last.To = at
		if on = from <= fsm.Listen || visit(last); on {
			last = Stay{State: to, Basis: st.Basis, From: at, To: OpenEnd}
		}
		return on
	})
	if on && last.State > fsm.Listen {
		visit(last)
	}
}
