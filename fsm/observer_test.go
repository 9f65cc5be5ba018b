package fsm

import (
	"fmt"
	"testing"
)

// conclusion is what an observer's event means, in words and as a rule over
// the RFC's table: the state that follows, 0 where the event proves nothing.
type conclusion struct {
	on      Event
	meaning string
	to      func(rfc func(State, Event) (State, bool), from State) State
}

// has reports whether the RFC's table has any of the events in that state.
func has(rfc func(State, Event) (State, bool), from State, events ...Event) bool {
	for _, on := range events {
		if _, ok := rfc(from, on); ok {
			return true
		}
	}
	return false
}

// endsIf is CLOSED where the condition holds.
func endsIf(condition bool) State {
	if condition {
		return Closed
	}
	return 0
}

// orListener is LISTEN for an endpoint that has not shown itself.
func orListener(s State) State {
	if s == Closed {
		return Listen
	}
	return s
}

var conclusions = []conclusion{
	{RecvSYN, "leads where the RFC says; CLOSED may be LISTEN, which shows itself only by its answer",
		func(rfc func(State, Event) (State, bool), from State) State {
			to, _ := rfc(orListener(from), RecvSYN)
			return to
		}},
	{SendSYNACK, "proves a SYN to have arrived, and leads where that leads",
		func(rfc func(State, Event) (State, bool), from State) State {
			to, _ := rfc(orListener(from), RecvSYN)
			return to
		}},
	{RecvICMP, "ends whoever waits for the other half of the handshake",
		func(rfc func(State, Event) (State, bool), from State) State {
			return endsIf(has(rfc, from, RecvSYNACK))
		}},
	{Timeout, "ends whoever retransmits a SYN or FIN: waits for its ACK",
		func(rfc func(State, Event) (State, bool), from State) State {
			return endsIf(has(rfc, from, RecvSYNACK, RecvACKOfSYN, RecvACKOfFIN))
		}},
	{Reuse, "ends every connection there is; in CLOSED and LISTEN there is none",
		func(_ func(State, Event) (State, bool), from State) State {
			return endsIf(from != Closed && from != Listen)
		}},
	{SendRST, "ends every connection there is: who aborts, and who answers that there is none, has none",
		func(_ func(State, Event) (State, bool), from State) State {
			return endsIf(from != Closed && from != Listen)
		}},
	{Pickup, "the one way into a connection without its opening; a known one needs none",
		func(_ func(State, Event) (State, bool), from State) State {
			if from == Closed {
				return Established
			}
			return 0
		}},
	{Revise, "goes back to a state that only the flow table remembers",
		func(func(State, Event) (State, bool), State) State { return 0 }},
}

// checkObserver holds an observer's table against the meaning of its events,
// and against the RFC's table: it agrees wherever that one has an edge.
func checkObserver(t table) error {
	means := map[Event]conclusion{}
	for _, c := range conclusions {
		means[c.on] = c
	}
	for from := Closed; from <= TimeWait; from++ {
		for on := SendSYN; on <= Revise; on++ {
			got, _ := t.observe(from, on)
			want, ok := t.next(from, on)
			c, concluded := means[on]
			switch {
			case ok && got != want:
				return fmt.Errorf("%v on %v: the RFC goes to %v, the observer to %v", from, on, want, got)
			case concluded && got != c.to(t.next, from):
				return fmt.Errorf("%v on %v leads to %v, but %s: %v", from, on, got, c.meaning, c.to(t.next, from))
			case !concluded && got != want:
				return fmt.Errorf("%v on %v leads to %v; nothing but a %v would prove that", from, on, got, on)
			}
		}
	}
	return nil
}

func TestObserver(t *testing.T) {
	if err := checkObserver(ours); err != nil {
		t.Error(err)
	}
}

// An edge of the observer's on an event of the RFC's machine is a claim that
// the RFC's table cannot make: each stands here.
func TestObserverOnEventsOfTheRFC(t *testing.T) {
	type cell struct {
		from State
		on   Event
	}
	reasons := map[cell]string{
		{Closed, RecvSYN}:   "the endpoint was in LISTEN and had not shown it",
		{TimeWait, SendRST}: "TIME_WAIT was gone; by §3.10.5 ABORT would end it too, in silence",
	}
	for _, e := range Observer() {
		c := cell{e.From, e.On}
		if e.On <= Timeout2MSL && reasons[c] == "" {
			t.Errorf("%v on %v is the RFC's business", e.From, e.On)
		}
		delete(reasons, c)
	}
	for c := range reasons {
		t.Errorf("%v on %v is not in the table", c.from, c.on)
	}
}
