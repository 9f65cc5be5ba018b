package jsonl

import (
	"sync"

	"github.com/lastack/lastack/fsm"
)

// stepWords is what steps say after their packet: it is one of few texts, and
// a flow has ten steps.
type stepWords struct {
	// moves is what comes up to the event, by endpointIndex, the state that the
	// endpoint leaves and the one that it enters.
	moves [len(endpointNames)][fsm.States][fsm.States]string
	// causes is the rest, with the comma behind the step.
	causes [fsm.Events][fsm.Timer + 1]string
}

// wordsOfSteps makes them when the first flow is written.
var wordsOfSteps = sync.OnceValue(func() *stepWords {
	w := new(stepWords)
	for i, endpoint := range endpointNames {
		for from := range fsm.States {
			for to := range fsm.States {
				w.moves[i][from][to] = `,"endpoint":"` + string(endpoint) +
					`","from":"` + fsm.State(from).String() + `","to":"` + fsm.State(to).String() + `","event":"`
			}
		}
	}
	for on := range fsm.Events {
		for basis := range fsm.Timer + 1 {
			w.causes[on][basis] = fsm.Event(on).String() + `","basis":"` + basis.String() + `"},`
		}
	}
	return w
})
