//go:build linux

package lab

import (
	"slices"
	"time"
)

// Scenario is one thing that can happen to a connection, played by
// applications of its own on a network of its own.
type Scenario struct {
	Name string // of small letters and hyphens; unique
	Does string // what the applications and the wire do
	// Expect lists the rules that ought to name the connection when the
	// client's interface was captured, ExpectServer those for the server's;
	// nil there means the same.
	Expect, ExpectServer []string
	// Only restricts the scenario to a family; zero plays it in both.
	Only   Family
	OneWay time.Duration // delay of the wire; zero is defaultOneWay
	Router bool          // a router stands before the server
	// Tail is for how long the captures go on after Play returned; zero is
	// defaultTail.
	Tail time.Duration
	Play func(b *Bench)
}

const (
	defaultOneWay = 2 * time.Millisecond
	defaultTail   = 1500 * time.Millisecond // beyond the first repetitions of a lost FIN
	longTail      = 66 * time.Second        // beyond TIME_WAIT and FIN_WAIT_2
)

// Scenarios lists all scenarios.
func Scenarios() []Scenario {
	return slices.Concat(openings(), refusals(), overflows(), closings(), silences(), losses(), resets(),
		timeouts(), forgeries(), timeWaits(), reuses())
}

// families are those in which the scenario is played.
func (s Scenario) families() []Family {
	if s.Only != 0 {
		return []Family{s.Only}
	}
	return []Family{IPv4, IPv6}
}
