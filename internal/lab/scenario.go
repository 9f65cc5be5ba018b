//go:build linux

package lab

import (
	"slices"
	"time"
)

// Scenario is one thing that can happen to a connection, played by
// applications of its own on a network of its own.
type Scenario struct {
	Name  string // of small letters and hyphens; unique
	Class string // what it is about: the row of a table
	Does  string // what the applications and the wire do
	// Expect lists the rules that ought to name the connection when the
	// client's interface was captured, ExpectServer those for the server's;
	// nil there means the same.
	Expect, ExpectServer []string
	// Possible lists rules that may name it besides.
	Possible []string
	// Repeats: it makes kernels retransmit, or may. Where it does not and one of
	// them does, for want of time, it is played again.
	Repeats bool
	// Kernel lists moves that the kernels must have made on the labelled
	// connections, such as "client FIN_WAIT_1>CLOSING": without them the
	// scenario was not what its label says, and it is played again.
	Kernel []string
	// Only restricts the scenario to a family; zero plays it in both.
	Only   Family
	OneWay time.Duration // delay of the wire; zero is defaultOneWay
	Router bool          // a router stands before the server
	// Tail is for how long the captures go on after Play returned; zero is
	// defaultTail.
	Tail time.Duration
	// Timestamps: it turns on the timestamps of RFC 7323, and is not played
	// without.
	Timestamps bool
	// Large: it is so much work that it is played once in each family.
	Large bool
	// Hosts is how many addresses the client's side has; zero is one.
	Hosts int
	Play  func(b *Bench)
}

const (
	defaultOneWay = 2 * time.Millisecond
	defaultTail   = 1500 * time.Millisecond // beyond the first repetitions of a lost FIN
	longTail      = 66 * time.Second        // beyond TIME_WAIT and FIN_WAIT_2
)

// Scenarios lists all scenarios.
func Scenarios() []Scenario {
	return slices.Concat(
		of("opening", openings()), of("refusal", refusals()), repeating(of("accept queue", overflows())),
		of("closing", closings()), of("silence", silences()), repeating(of("loss", losses())),
		of("reset", resets()), repeating(of("timeout", timeouts())), of("forgery", forgeries()),
		of("TIME_WAIT", timeWaits()), of("reuse", reuses()), of("pattern", patterns()), of("incident", incidents()), repeating(of(Mixed, mixes())))
}

// Mixed is the class of the scenarios in which hundreds of connections of all
// behaviours run at once, also on a wire that loses, repeats and reorders.
const Mixed = "mixed"

// repeating says of scenarios that they make kernels retransmit.
func repeating(ss []Scenario) []Scenario {
	for i := range ss {
		ss[i].Repeats = true
	}
	return ss
}

// of puts scenarios into a class.
func of(class string, ss []Scenario) []Scenario {
	for i := range ss {
		ss[i].Class = class
	}
	return ss
}
