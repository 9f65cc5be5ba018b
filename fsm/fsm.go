// Package fsm is the TCP state machine of RFC 9293 §3.3.2 as a table of edges,
// and beside it a second table: what an observer between the endpoints may
// conclude, which the RFC has no need to say.
//
// In comes a state of one endpoint and what that endpoint did or got; out goes
// the next state. Sequence numbers, packets and time are not known here: that
// a segment is acceptable, or is "the ACK of my FIN", has been decided before.
// A segment that means several things is applied as several events, in the
// order of RFC 9293 §3.10.7.4: RST, SYN, ACK, FIN.
package fsm

import "fmt"

// State is one of the eleven states of RFC 9293 §3.3.2. The zero value is none.
type State uint8

// The states, in the order of the RFC.
const (
	Closed State = 1 + iota
	Listen
	SynSent
	SynRcvd
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

// States is the number of states, plus one for the invalid zero value: the
// length of an array that is indexed by State.
const States = int(TimeWait) + 1

var stateNames = [States]string{
	Closed: "CLOSED", Listen: "LISTEN", SynSent: "SYN_SENT", SynRcvd: "SYN_RCVD",
	Established: "ESTABLISHED", FinWait1: "FIN_WAIT_1", FinWait2: "FIN_WAIT_2",
	CloseWait: "CLOSE_WAIT", Closing: "CLOSING", LastAck: "LAST_ACK", TimeWait: "TIME_WAIT",
}

// String is the name in capitals, as reports spell it: "CLOSE_WAIT".
func (s State) String() string {
	return name("State", stateNames[:], uint8(s))
}

// Event is what an endpoint did or got. The zero value is none.
type Event uint8

// The events of the RFC's machine come first, then those that only an observer
// has. A received segment is an event when the endpoint acts on it: an
// unacceptable one (RFC 9293 §3.10.7.4, first check), a copy of what it already
// has, or one that draws a challenge ACK (RFC 5961) is none.
const (
	SendSYN Event = 1 + iota
	SendFIN
	SendRST // an abort; never the answer to an unacceptable segment, which leaves the state
	RecvSYN // without ACK: a connection request
	RecvSYNACK
	RecvACKOfSYN
	RecvACKOfFIN
	RecvFIN // in sequence; in TIME_WAIT the copy of the one that led there
	RecvRST
	Timeout2MSL // the TIME_WAIT timer

	SendSYNACK // the endpoint's SYN-ACK proves that it had received a SYN
	RecvICMP   // a hard ICMP error that quotes the SYN or the SYN-ACK (RFC 9293 §3.9.2.2)
	Timeout    // retransmissions of a SYN or FIN were given up (RFC 9293 §3.8.3)
	Reuse      // a new connection took the four-tuple over
	Pickup     // the first segment of a connection whose opening was not seen
	Revise     // a later packet disproved an earlier step; it goes back there, so no table has it
)

// Events is the number of events, plus one for the invalid zero value.
const Events = int(Revise) + 1

var eventNames = [Events]string{
	SendSYN: "send_syn", SendFIN: "send_fin", SendRST: "send_rst",
	RecvSYN: "recv_syn", RecvSYNACK: "recv_syn_ack", RecvACKOfSYN: "recv_ack_of_syn",
	RecvACKOfFIN: "recv_ack_of_fin", RecvFIN: "recv_fin", RecvRST: "recv_rst",
	Timeout2MSL: "timeout_2msl", SendSYNACK: "send_syn_ack", RecvICMP: "recv_icmp",
	Timeout: "timeout", Reuse: "reuse", Pickup: "pickup", Revise: "revise",
}

// String is the name that reports and scripts use: "recv_ack_of_fin".
func (e Event) String() string {
	return name("Event", eventNames[:], uint8(e))
}

// Basis is how sure an observer is of a step. The zero value is none.
type Basis uint8

const (
	// Seen: proved by the packet itself, or by a later acknowledgement of it.
	Seen Basis = 1 + iota
	// Presumed: a segment passed the tap on its way and nothing has proved yet
	// that it arrived.
	Presumed
	// Implied: a later packet proves that it must have happened.
	Implied
	// Revised: a later packet disproved an earlier step; this one goes back.
	Revised
	// Timer: time passed, by the profile of the hosts.
	Timer
)

var basisNames = [...]string{
	Seen: "seen", Presumed: "presumed", Implied: "implied", Revised: "revised", Timer: "timer",
}

// String is the name that reports and scripts use: "presumed".
func (b Basis) String() string {
	return name("Basis", basisNames[:], uint8(b))
}

// name is names[v], or "kind(v)" for the zero value and what is out of range.
func name(kind string, names []string, v uint8) string {
	if v == 0 || int(v) >= len(names) {
		return fmt.Sprintf("%s(%d)", kind, v)
	}
	return names[v]
}
