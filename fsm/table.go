package fsm

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Edge is one move of the machine: in state From, on event On, the endpoint
// goes to To. RFC is the section that says so, of RFC 9293 unless another is
// named; Note says what the section leaves to the reader.
type Edge struct {
	From State
	On   Event
	To   State
	RFC  string
	Note string
}

// Next is the state that follows from on an event, by RFC 9293. It is false
// when the event does not move that state, and for values out of range.
func Next(from State, on Event) (State, bool) { return lookup(&rfcNext, from, on) }

// Observe is Next, and where the RFC has no edge, what an observer concludes.
func Observe(from State, on Event) (State, bool) { return lookup(&observed, from, on) }

type grid [States][Events]State

func lookup(g *grid, from State, on Event) (State, bool) {
	if int(from) >= States || int(on) >= Events {
		return 0, false
	}
	to := g[from][on]
	return to, to != 0
}

// index lays a list of edges out as a grid.
func index(edges []Edge) (g grid) {
	for _, e := range edges {
		g[e.From][e.On] = e.To
	}
	return g
}

var (
	rfcNext  = index(RFC())
	observed = index(append(Observer(), RFC()...)) // where both have an edge, the RFC's
)

// Grid prints the RFC's table: a line for each state, a column for each event,
// "." where the event leaves the state. It ends in a newline.
func Grid() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, head := range [...]string{
		SendSYN: "snd SYN", SendFIN: "snd FIN", SendRST: "snd RST",
		RecvSYN: "rcv SYN", RecvSYNACK: "rcv SYN,ACK", RecvACKOfSYN: "ACK of SYN",
		RecvACKOfFIN: "ACK of FIN", RecvFIN: "rcv FIN", RecvRST: "rcv RST", Timeout2MSL: "2MSL",
	} {
		fmt.Fprint(w, head, cellEnd(head == "2MSL"))
	}
	for from := Closed; from <= TimeWait; from++ {
		fmt.Fprint(w, from, "\t")
		for on := SendSYN; on <= Timeout2MSL; on++ {
			cell := "."
			if to, ok := Next(from, on); ok {
				cell = to.String()
			}
			fmt.Fprint(w, cell, cellEnd(on == Timeout2MSL))
		}
	}
	w.Flush()
	return text.String()
}

// cellEnd is what follows a cell: the last one of a line takes no padding.
func cellEnd(last bool) string {
	if last {
		return "\n"
	}
	return "\t"
}

// RFC lists the edges of RFC 9293 §3.3.2 and §3.10.
//
// Figure 5 and §3.5.2 would have the sender of an RST rest in TIME_WAIT;
// §3.10.5, which says what ABORT does, deletes the connection, and so do hosts.
//
// One move of §3.10.7.4 is left out: on another SYN a passive opener goes back
// from SYN_RCVD to LISTEN, sending nothing. The segment alone does not tell
// whether the endpoint took it; an RST or a SYN-ACK in answer does, and is an
// event of its own (SendRST, Reuse).
func RFC() []Edge {
	const (
		abort  = "ABORT"
		silent = "ABORT sends nothing here; an RST that a host does send (3.5.2) ends it as well"
	)
	return []Edge{
		{Closed, SendSYN, SynSent, "3.10.1", "active OPEN"},
		{Listen, SendSYN, SynSent, "3.10.2", "SEND, or an active OPEN (3.10.1), turns a passive OPEN into an active one"},
		{Listen, RecvSYN, SynRcvd, "3.10.7.2", "the answer is a SYN-ACK"},
		{SynSent, SendRST, Closed, "3.10.5", silent},
		{SynSent, RecvSYN, SynRcvd, "3.10.7.3", "simultaneous open; the answer is a SYN-ACK"},
		{SynSent, RecvSYNACK, Established, "3.10.7.3", "one whose ACK covers the SYN; what data it acknowledges does not matter"},
		{SynSent, RecvRST, Closed, "3.10.7.3", "refused; without an ACK of the SYN an RST is ignored"},
		{SynRcvd, SendFIN, FinWait1, "3.10.4", "CLOSE before the handshake is complete"},
		{SynRcvd, SendRST, Closed, "3.10.5", abort},
		{SynRcvd, RecvSYNACK, Established, "3.5, figure 7", "simultaneous open; 3.10.7.4 alone would only answer it"},
		{SynRcvd, RecvACKOfSYN, Established, "3.10.7.4", "the third segment of the handshake"},
		{SynRcvd, RecvFIN, CloseWait, "3.10.7.4", "the ACK of the own SYN, if the segment carries it, was applied before"},
		{SynRcvd, RecvRST, Closed, "3.10.7.4", "a passive opener returns to LISTEN: this connection is over"},
		{Established, SendFIN, FinWait1, "3.10.4", "CLOSE"},
		{Established, SendRST, Closed, "3.10.5", abort},
		{Established, RecvFIN, CloseWait, "3.10.7.4", "the peer closed first"},
		{Established, RecvRST, Closed, "3.10.7.4", "reset by the peer"},
		{FinWait1, SendRST, Closed, "3.10.5", abort},
		{FinWait1, RecvACKOfFIN, FinWait2, "3.10.7.4", "half-closed (3.6.1)"},
		{FinWait1, RecvFIN, Closing, "3.10.7.4", "the ACK of the own FIN, if the segment carries it, was applied before"},
		{FinWait1, RecvRST, Closed, "3.10.7.4", "reset by the peer"},
		{FinWait2, SendRST, Closed, "3.10.5", abort},
		{FinWait2, RecvFIN, TimeWait, "3.10.7.4", "starts the 2MSL timer"},
		{FinWait2, RecvRST, Closed, "3.10.7.4", "reset by the peer"},
		{CloseWait, SendFIN, LastAck, "3.10.4", "CLOSE after the peer's"},
		{CloseWait, SendRST, Closed, "3.10.5", abort},
		{CloseWait, RecvRST, Closed, "3.10.7.4", "reset by the peer"},
		{Closing, SendRST, Closed, "3.10.5", silent},
		{Closing, RecvACKOfFIN, TimeWait, "3.10.7.4", "starts the 2MSL timer"},
		{Closing, RecvRST, Closed, "3.10.7.4", "reset after both had closed"},
		{LastAck, SendRST, Closed, "3.10.5", silent},
		{LastAck, RecvACKOfFIN, Closed, "3.10.7.4", "the passive closer does not wait 2MSL"},
		{LastAck, RecvRST, Closed, "3.10.7.4", "the peer had already forgotten the connection"},
		{TimeWait, RecvFIN, TimeWait, "3.10.7.4", "restarts the 2MSL timer: the last ACK was lost"},
		{TimeWait, RecvRST, Closed, "3.10.7.4", "RFC 1337 advises to ignore it"},
		{TimeWait, Timeout2MSL, Closed, "3.10.8", "TIME-WAIT TIMEOUT"},
	}
}

// Observer lists what an observer concludes beyond the RFC's edges. None of
// them has a cell that the RFC fills. Two are on events of the RFC's machine,
// in states that are not quite the RFC's: an endpoint is CLOSED to the observer
// until it shows itself, so it may have been in LISTEN; and one in TIME_WAIT,
// which only a timer ends, may be long gone.
func Observer() []Edge {
	const (
		listener  = "its SYN-ACK proves that it was in LISTEN and had received a SYN"
		gaveUp    = "the user timeout (3.10.8), or the last retransmission, passed without an ACK"
		forgotten = "a new connection on the four-tuple proves that this one is forgotten"
	)
	return []Edge{
		{Closed, Pickup, Established, "", "mid-stream: the opening was not seen; what else the packet proves follows as steps of its own"},
		{Closed, RecvSYN, SynRcvd, "3.10.7.2", "an event only once the SYN is answered by a SYN-ACK: a CLOSED port answers with an RST"},
		{Closed, SendSYNACK, SynRcvd, "3.10.7.2", listener},
		{Listen, SendSYNACK, SynRcvd, "3.10.7.2", listener},
		{SynSent, SendSYNACK, SynRcvd, "3.10.7.3", "simultaneous open: its SYN-ACK proves that a SYN had arrived"},
		{SynSent, RecvICMP, Closed, "3.9.2.2", "SHLD-26: unreachable, while opening"},
		{SynRcvd, RecvICMP, Closed, "3.9.2.2", "SHLD-26: unreachable, while opening; in the synchronized states hosts ignore it"},
		{SynSent, Timeout, Closed, "3.8.3", gaveUp},
		{SynRcvd, Timeout, Closed, "3.8.3", gaveUp},
		{FinWait1, Timeout, Closed, "3.8.3", gaveUp},
		{Closing, Timeout, Closed, "3.8.3", gaveUp},
		{LastAck, Timeout, Closed, "3.8.3", gaveUp},
		{TimeWait, SendRST, Closed, "3.5.2", "no user is left to ABORT: an RST in answer proves that TIME_WAIT was gone"},
		{SynSent, Reuse, Closed, "3.5.1", forgotten},
		{SynRcvd, Reuse, Closed, "3.5.1", forgotten},
		{Established, Reuse, Closed, "3.5.1", forgotten},
		{FinWait1, Reuse, Closed, "3.5.1", forgotten},
		{FinWait2, Reuse, Closed, "3.5.1", forgotten},
		{CloseWait, Reuse, Closed, "3.5.1", forgotten},
		{Closing, Reuse, Closed, "3.5.1", forgotten},
		{LastAck, Reuse, Closed, "3.5.1", forgotten},
		{TimeWait, Reuse, Closed, "3.6.1", "MAY-2: a SYN with a higher sequence number, or a newer timestamp (RFC 6191)"},
	}
}
