package jsonl

import (
	"sync"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
)

// flowWords are the parts of a flow line that are one of few texts.
type flowWords struct {
	// closes is from the handshake's end to the reset.
	closes [reassembly.Closes][reassembly.CloserBoth + 1]string
	// states is from there to the first step, by the client's and the server's.
	states [fsm.States][fsm.States]string
	// moves is what a step says between its packet and its event, by
	// endpointIndex, the state that the endpoint leaves and the one that it enters.
	moves [len(endpointNames)][fsm.States][fsm.States]string
	// causes is the rest of a step, with the comma behind it.
	causes [fsm.Events][fsm.Timer + 1]string
}

// wordsOfFlows makes them when the first flow is written.
var wordsOfFlows = sync.OnceValue(func() *flowWords {
	w := new(flowWords)
	for how := range reassembly.Close(reassembly.Closes) {
		for who := range reassembly.CloserBoth + 1 {
			w.closes[how][who] = `},"close":"` + how.String() + `","active_closer":"` + who.String() + `"`
		}
	}
	for a := range fsm.State(fsm.States) {
		for b := range fsm.State(fsm.States) {
			w.states[a][b] = `,"client_state":"` + a.String() + `","server_state":"` + b.String() + `","transitions":[`
			for i, endpoint := range endpointNames {
				w.moves[i][a][b] = `,"endpoint":"` + string(endpoint) +
					`","from":"` + a.String() + `","to":"` + b.String() + `","event":"`
			}
		}
	}
	for on := range fsm.Event(fsm.Events) {
		for basis := range fsm.Timer + 1 {
			w.causes[on][basis] = on.String() + `","basis":"` + basis.String() + `"},`
		}
	}
	return w
})
