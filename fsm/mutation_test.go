package fsm

import "testing"

// table is what the checks look at: the program's own, or a mutant of it.
type table struct {
	next, observe func(State, Event) (State, bool)
}

var ours = table{Next, Observe}

// tableOf answers as Next and Observe do, from other grids.
func tableOf(rfc, observer *grid) table {
	next := func(s State, e Event) (State, bool) { return lookup(rfc, s, e) }
	return table{next, func(s State, e Event) (State, bool) {
		if to, ok := next(s, e); ok {
			return to, true
		}
		return lookup(observer, s, e)
	}}
}

// mutants gives one cell of g after the other every value that it could have:
// 0 drops its edge, another state retargets it, or adds one where there is
// none. g is as it was in the end.
func mutants(g *grid, try func(from State, on Event, was, to State)) {
	for from := Closed; from <= TimeWait; from++ {
		for on := SendSYN; on <= Revise; on++ {
			was := g[from][on]
			for to := State(0); to <= TimeWait; to++ {
				if to != was {
					g[from][on] = to
					try(from, on, was, to)
				}
			}
			g[from][on] = was
		}
	}
}

// No change of the RFC's table survives. An edge of it is pinned by two checks
// that know nothing of each other, the switch over §3.10 and the figure with
// its notes; an edge that should not be is at least not in the figure.
func TestMutantsOfTheRFC(t *testing.T) {
	rfc, observer := index(RFC()), index(Observer())
	mutant := tableOf(&rfc, &observer)
	mutants(&rfc, func(from State, on Event, was, to State) {
		if checkFigure(mutant) == nil {
			t.Errorf("%v on %v to %v, not %v: the figure does not object", from, on, to, was)
		}
		if was != 0 && checkSwitch(mutant) == nil {
			t.Errorf("%v on %v to %v, not %v: the switch does not object", from, on, to, was)
		}
	})
}

// No change of the observer's table survives, but in cells that the RFC's
// table covers.
func TestMutantsOfTheObserver(t *testing.T) {
	rfc, observer := index(RFC()), index(Observer())
	mutant := tableOf(&rfc, &observer)
	mutants(&observer, func(from State, on Event, was, to State) {
		if rfc[from][on] == 0 && checkObserver(mutant) == nil {
			t.Errorf("%v on %v to %v, not %v", from, on, to, was)
		}
	})
}

// The exploration finds out every edge that leads astray, but not each that
// leads nowhere: where a step is lost, time and repetition may still end the
// connection.
func TestMutantsOfTheExploration(t *testing.T) {
	unexplored := Edge{From: SynRcvd, On: RecvFIN} // takes a FIN that comes with the SYN
	rfc, observer := index(RFC()), index(Observer())
	mutant := tableOf(&rfc, &observer)
	mutants(&rfc, func(from State, on Event, was, to State) {
		switch {
		case was == 0, to == 0, to == from:
		case from == unexplored.From && on == unexplored.On:
		case checkExploration(mutant) == nil:
			t.Errorf("%v on %v to %v, not %v: no world shows it", from, on, to, was)
		}
	})
}
