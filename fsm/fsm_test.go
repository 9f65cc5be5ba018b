package fsm

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The names are an interface: reports and scripts spell them so.
const (
	wantStates = "CLOSED LISTEN SYN_SENT SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT"
	wantEvents = "send_syn send_fin send_rst recv_syn recv_syn_ack recv_ack_of_syn recv_ack_of_fin recv_fin recv_rst " +
		"timeout_2msl send_syn_ack recv_icmp timeout reuse pickup revise"
	wantBases = "seen presumed implied revised timer"
)

// statesByName are the states under the names that String gives.
func statesByName() map[string]State {
	states := map[string]State{}
	for s := Closed; s <= TimeWait; s++ {
		states[s.String()] = s
	}
	return states
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		kind, want string
		String     func(uint8) string
	}{
		{"State", wantStates, func(v uint8) string { return State(v).String() }},
		{"Event", wantEvents, func(v uint8) string { return Event(v).String() }},
		{"Basis", wantBases, func(v uint8) string { return Basis(v).String() }},
	} {
		names := strings.Fields(test.want)
		for i, want := range names {
			if got := test.String(uint8(i + 1)); got != want {
				t.Errorf("%s %d is %q, want %q", test.kind, i+1, got, want)
			}
		}
		for _, v := range []int{0, len(names) + 1, 255} {
			if got, want := test.String(uint8(v)), fmt.Sprintf("%s(%d)", test.kind, v); got != want {
				t.Errorf("%s %d is %q, want %q", test.kind, v, got, want)
			}
		}
	}
	if want := len(strings.Fields(wantStates)) + 1; States != want {
		t.Errorf("States is %d, want %d", States, want)
	}
	if want := len(strings.Fields(wantEvents)) + 1; Events != want {
		t.Errorf("Events is %d, want %d", Events, want)
	}
}

func TestZeroValuesAreInvalid(t *testing.T) {
	var s State
	var e Event
	var b Basis
	if s == Closed || e == SendSYN || b == Seen {
		t.Error("a zero value is the first of its kind")
	}
}

// Every value of both types, valid or not: no lookup panics, and none outside
// the range finds an edge.
func TestLookupRange(t *testing.T) {
	for from := range 256 {
		for on := range 256 {
			to, ok := Next(State(from), Event(on))
			seen, okSeen := Observe(State(from), Event(on))
			valid := from != 0 && from < States && on != 0 && on < Events
			if (ok || okSeen) && !valid {
				t.Errorf("State(%d) on Event(%d) moves", from, on)
			}
			if ok != (to != 0) || okSeen != (seen != 0) {
				t.Errorf("State(%d) on Event(%d): the state and the flag disagree", from, on)
			}
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	allocs := testing.AllocsPerRun(100, func() {
		for from := Closed; from <= TimeWait; from++ {
			for on := SendSYN; on <= Revise; on++ {
				Next(from, on)
				Observe(from, on)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// Next and Observe answer exactly as the two lists say, and no two edges
// share a cell, within a list or across them.
func TestLookupsAreTheLists(t *testing.T) {
	type cell struct {
		from State
		on   Event
	}
	rfc, observer := map[cell]State{}, map[cell]State{}
	add := func(list map[cell]State, edges []Edge) {
		for _, e := range edges {
			c := cell{e.From, e.On}
			if rfc[c] != 0 || observer[c] != 0 {
				t.Errorf("%v on %v stands twice", e.From, e.On)
			}
			list[c] = e.To
		}
	}
	add(rfc, RFC())
	add(observer, Observer())
	for from := Closed; from <= TimeWait; from++ {
		for on := SendSYN; on <= Revise; on++ {
			c := cell{from, on}
			if to, _ := Next(from, on); to != rfc[c] {
				t.Errorf("Next(%v, %v) is %v, the list has %v", from, on, to, rfc[c])
			}
			if to, _ := Observe(from, on); to != max(rfc[c], observer[c]) {
				t.Errorf("Observe(%v, %v) is %v, the list has %v", from, on, to, max(rfc[c], observer[c]))
			}
		}
	}
}

// Every edge says where it comes from. Only a connection whose opening was not
// seen has no section: to the RFC there is no such thing.
func TestEdgesCiteTheirSection(t *testing.T) {
	section := regexp.MustCompile(`^3(\.\d+)+(, figure \d+)?$`)
	for _, e := range append(RFC(), Observer()...) {
		if e.On != Pickup && !section.MatchString(e.RFC) {
			t.Errorf("%v on %v cites %q", e.From, e.On, e.RFC)
		}
		if e.Note == "" {
			t.Errorf("%v on %v has no note", e.From, e.On)
		}
	}
}

// testdata/grid.txt was typed and read against the RFC cell by cell; it is not
// written by any program.
func TestGrid(t *testing.T) {
	want, err := os.ReadFile("testdata/grid.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := Grid(); got != string(want) {
		t.Errorf("Grid() is\n%swant\n%s", got, want)
	}
}
