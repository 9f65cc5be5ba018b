package fsm

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// exceptions are the segments on which the table differs from the letter of
// RFC 9293 §3.10.7, with what the table says instead.
var exceptions = []struct {
	name, why string
	match     func(c tcb, s segment) bool
	table     func(c tcb, s segment) outcome
}{
	{
		"the SYN-ACK of a simultaneous open",
		"figure 7 of §3.5 enters ESTABLISHED; by the first check of §3.10.7.4 the segment is old and would only " +
			"be answered, and the answer would complete the handshake one segment later",
		func(c tcb, s segment) bool {
			return c.state == SynRcvd && s.flags&^flagFIN == flagSYN|flagACK && s.seq == c.irs &&
				before(c.iss, s.ack) && upTo(s.ack, c.nxt)
		},
		func(c tcb, s segment) outcome {
			if s.has(flagFIN) && s.text+1 <= c.wnd {
				return outcome{state: CloseWait}
			}
			return outcome{state: Established}
		},
	},
	{
		"another SYN for a passive opener in SYN_RCVD",
		"the fourth check of §3.10.7.4 goes back to LISTEN without a word; what an observer can know is the " +
			"answer: an RST ends the connection, a new SYN-ACK begins another",
		func(c tcb, s segment) bool { return c.passive && s.has(flagSYN) && !s.has(flagRST) },
		func(c tcb, s segment) outcome { return outcome{state: SynRcvd} },
	},
	{
		"an RST for a passive opener in SYN_RCVD",
		"§3.10.7.4 goes back to LISTEN, for another connection: this one is over",
		func(c tcb, s segment) bool { return c.passive && s.has(flagRST) && s.seq == c.rcv },
		func(c tcb, s segment) outcome { return outcome{state: Closed} },
	},
	{
		"the peer's FIN again in TIME_WAIT",
		"the fifth and eighth checks of §3.10.7.4 restart the 2MSL timer, but by the first check the copy, which " +
			"stands before RCV.NXT, would not come so far",
		func(c tcb, s segment) bool {
			return c.state == TimeWait && s.flags == flagFIN|flagACK && s.seq+s.length() == c.rcv &&
				upTo(c.una-maxWindow, s.ack) && upTo(s.ack, c.nxt)
		},
		func(c tcb, s segment) outcome { return outcome{TimeWait, true} },
	},
	{
		"the ACK of a segment beyond a gap",
		"§3.10.7.4 holds the whole segment (SHLD-31); hosts take its ACK at once. If they did not, two ends that " +
			"open and then close at the same time could wait for each other for ever",
		func(c tcb, s segment) bool {
			return s.flags&^flagFIN == flagACK && before(c.rcv, s.seq) && before(s.seq, c.rcv+c.wnd) && c.state > SynSent
		},
		func(c tcb, s segment) outcome { return c.arrives(segment{flags: flagACK, seq: c.rcv, ack: s.ack}) },
	},
}

// silentAborts are the states in which ABORT sends nothing by §3.10.5, and the
// table nevertheless has an RST that the endpoint sends: it ends where ABORT
// ends. In LISTEN an RST is only ever an answer; TIME_WAIT is the observer's.
var silentAborts = []State{SynSent, Closing, LastAck}

// connections are a TCB for every state, and for every way to be in it that
// matters, at the given initial sequence numbers.
func connections(iss, irs uint32) []tcb {
	list := []tcb{{state: Closed}, {state: Listen}}
	for _, text := range []uint32{0, 5} {
		list = append(list, tcb{state: SynSent, iss: iss, una: iss, nxt: iss + 1 + text, irs: irs, rcv: irs, wnd: 100})
	}
	for _, wnd := range []uint32{0, 1, 100} {
		open := tcb{state: Established, iss: iss, una: iss + 1, nxt: iss + 1, irs: irs, rcv: irs + 1, wnd: wnd}
		sending := open
		sending.nxt += 5
		handshake := open
		handshake.state, handshake.una = SynRcvd, iss
		passive := handshake
		passive.passive = true
		list = append(list, open, sending, handshake, passive,
			open.closed(FinWait1, false), sending.closed(FinWait1, false), handshake.closed(FinWait1, false),
			open.closed(FinWait2, true))
		for _, c := range []tcb{open.heardFIN(), sending.heardFIN()} {
			list = append(list, c, c.closed(Closing, false), c.closed(LastAck, false), c.closed(TimeWait, true))
		}
	}
	return list
}

// closed is the connection after its own FIN, acknowledged or not.
func (c tcb) closed(s State, acked bool) tcb {
	c.state, c.ownFIN, c.nxt = s, true, c.nxt+1
	if acked {
		c.una = c.nxt
	}
	return c
}

// heardFIN is the connection after ten octets and the peer's FIN.
func (c tcb) heardFIN() tcb {
	c.state, c.peerFIN, c.rcv = CloseWait, true, c.rcv+11
	return c
}

// segments are those worth sending to a connection: all flags, a sequence
// number old, current or future, an acknowledgement the same, with and without
// text.
func (c tcb) segments(use func(segment)) {
	seqs := []uint32{c.irs, c.rcv - 12, c.rcv - 2, c.rcv - 1, c.rcv, c.rcv + 1, c.rcv + c.wnd - 1, c.rcv + c.wnd, c.rcv + 1<<30}
	acks := []uint32{c.iss, c.iss + 1, c.una - maxWindow - 1, c.una - maxWindow, c.una - 1, c.una, c.una + 1, c.nxt - 1, c.nxt, c.nxt + 1}
	for f := flags(0); f < 16; f++ {
		for _, seq := range seqs {
			for _, ack := range acks {
				for text := uint32(0); text < 2; text++ {
					use(segment{f, seq, ack, text})
				}
			}
		}
	}
}

// scenario is what the table must do with the events of one segment.
type scenario struct {
	from   State
	events [4]Event
	want   outcome
}

// example is a scenario with a segment that comes down to it.
type example struct {
	scenario
	tcb
	segment
}

// scenarios are all segments on all connections, each with what the switch or
// an exception to it says; many come down to the same. The error names the
// exceptions that nothing needed.
var scenarios = sync.OnceValues(func() (list []example, unused error) {
	known := map[scenario]bool{}
	used := make([]bool, len(exceptions))
	// Sequence numbers in the middle of the space, and such that wrap.
	for _, base := range [][2]uint32{{10_000, 20_000}, {1<<32 - 3, 1<<32 - 6}} {
		for _, c := range connections(base[0], base[1]) {
			c.segments(func(s segment) {
				want := c.arrives(s)
				for i, e := range exceptions {
					if e.match(c, s) && e.table(c, s) != want {
						want, used[i] = e.table(c, s), true
						break
					}
				}
				sc := scenario{from: c.state, want: want}
				copy(sc.events[:], c.classify(s))
				if !known[sc] {
					known[sc] = true
					list = append(list, example{sc, c, s})
				}
			})
		}
	}
	for i, e := range exceptions {
		if !used[i] {
			unused = errors.Join(unused, fmt.Errorf("exception %q is not needed", e.name))
		}
	}
	return list, unused
})

// run drives a table with the events of one segment.
func (t table) run(from State, events []Event) (o outcome) {
	o.state = from
	for _, on := range events {
		if to, ok := t.next(o.state, on); ok {
			o = outcome{to, o.timer || to == TimeWait}
		}
	}
	if o.state != TimeWait {
		o.timer = false
	}
	return o
}

// checkSwitch compares a table with §3.10: segments, user calls, timeouts.
func checkSwitch(t table) error {
	list, unused := scenarios()
	if unused != nil {
		return unused
	}
	for _, e := range list {
		if got := t.run(e.from, e.events[:]); got != e.want {
			return fmt.Errorf("%+v gets %+v: the table goes by %v to %+v, the RFC to %+v", e.tcb, e.segment, e.events, got, e.want)
		}
	}
	for s := Closed; s <= TimeWait; s++ {
		want := map[Event]State{}
		for c := range calls {
			switch next, sent := s.user(c); {
			case sent == flagSYN:
				want[SendSYN] = next
			case sent == flagFIN:
				want[SendFIN] = next
			case sent == flagRST, c == callAbort && slices.Contains(silentAborts, s):
				want[SendRST] = next
			case c == timeWaitTimeout && next != s:
				want[Timeout2MSL] = next
			}
		}
		for _, on := range []Event{SendSYN, SendFIN, SendRST, Timeout2MSL} {
			if to, _ := t.next(s, on); to != want[on] {
				return fmt.Errorf("%v on %v: the table goes to %v, the RFC to %v", s, on, to, want[on])
			}
		}
	}
	return nil
}

func TestSwitch(t *testing.T) {
	if err := checkSwitch(ours); err != nil {
		t.Error(err)
	}
	list, _ := scenarios()
	moves := map[State]int{}
	for _, e := range list {
		if e.want.state != e.from {
			moves[e.from]++
		}
	}
	for s := Listen; s <= TimeWait; s++ {
		if moves[s] == 0 {
			t.Errorf("no segment moves %v", s)
		}
	}
	t.Logf("%d scenarios", len(list))
}
