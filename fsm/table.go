package fsm

// Edge is one move of the machine: in state From, on event On, the endpoint
// goes to To. RFC is the section that says so; Note says what the section
// leaves to the reader.
type Edge struct {
	From State
	On   Event
	To   State
	RFC  string
	Note string
}

// Next is the state that follows From on an event, by RFC 9293. It is false
// when the event does not move that state.
func Next(from State, on Event) (State, bool) { return lookup(&rfcNext, from, on) }

// Observe is Next, and where the RFC has no edge, what an observer concludes.
func Observe(from State, on Event) (State, bool) {
	if to, ok := Next(from, on); ok {
		return to, true
	}
	return lookup(&observerNext, from, on)
}

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
	rfcNext      = index(RFC())
	observerNext = index(Observer())
)

// RFC lists the edges of RFC 9293 §3.3.2 and §3.10.
func RFC() []Edge {
	return []Edge{
		{Closed, SendSYN, SynSent, "3.10.1", "active OPEN"},
		{Listen, SendSYN, SynSent, "3.10.2", "SEND turns a passive OPEN into an active one"},
		{Listen, RecvSYN, SynRcvd, "3.10.7.2", ""},
		{SynSent, SendRST, Closed, "3.10.5", "ABORT, or CLOSE before the answer"},
		{SynSent, RecvSYN, SynRcvd, "3.10.7.3", "simultaneous open"},
		{SynSent, RecvSYNACK, Established, "3.10.7.3", ""},
		{SynSent, RecvRST, Closed, "3.10.7.3", "refused"},
		{SynRcvd, SendFIN, FinWait1, "3.10.4", ""},
		{SynRcvd, SendRST, Closed, "3.10.5", ""},
		{SynRcvd, RecvSYNACK, Established, "3.5, figure 7", "simultaneous open; §3.10.7.4 alone would only answer it"},
		{SynRcvd, RecvACKOfSYN, Established, "3.10.7.4", ""},
		{SynRcvd, RecvFIN, CloseWait, "3.10.7.4", ""},
		{SynRcvd, RecvRST, Closed, "3.10.7.4", "a passive opener returns to LISTEN: this connection is over"},
		{Established, SendFIN, FinWait1, "3.10.4", ""},
		{Established, SendRST, Closed, "3.10.5", ""},
		{Established, RecvFIN, CloseWait, "3.10.7.4", ""},
		{Established, RecvRST, Closed, "3.10.7.4", ""},
		{FinWait1, SendRST, Closed, "3.10.5", ""},
		{FinWait1, RecvACKOfFIN, FinWait2, "3.10.7.4", ""},
		{FinWait1, RecvFIN, Closing, "3.10.7.4", "the ACK of the own FIN, if the segment carries it, was applied before"},
		{FinWait1, RecvRST, Closed, "3.10.7.4", ""},
		{FinWait2, SendRST, Closed, "3.10.5", ""},
		{FinWait2, RecvFIN, TimeWait, "3.10.7.4", ""},
		{FinWait2, RecvRST, Closed, "3.10.7.4", ""},
		{CloseWait, SendFIN, LastAck, "3.10.4", ""},
		{CloseWait, SendRST, Closed, "3.10.5", ""},
		{CloseWait, RecvRST, Closed, "3.10.7.4", ""},
		{Closing, SendRST, Closed, "3.10.5", ""},
		{Closing, RecvACKOfFIN, TimeWait, "3.10.7.4", ""},
		{Closing, RecvRST, Closed, "3.10.7.4", ""},
		{LastAck, SendRST, Closed, "3.10.5", ""},
		{LastAck, RecvACKOfFIN, Closed, "3.10.7.4", ""},
		{LastAck, RecvRST, Closed, "3.10.7.4", ""},
		{TimeWait, RecvFIN, TimeWait, "3.10.7.4", "restarts the 2MSL timer"},
		{TimeWait, RecvRST, Closed, "3.10.7.4", "RFC 1337 advises to ignore it"},
		{TimeWait, Timeout2MSL, Closed, "3.10.8", ""},
	}
}

// Observer lists what an observer concludes beyond the RFC's edges.
func Observer() []Edge {
	return []Edge{
		{Closed, Pickup, Established, "", "mid-stream: the opening was not seen"},
		{Closed, RecvSYN, SynRcvd, "", "a listener shows itself only by its answer"},
		{SynSent, SendSYNACK, SynRcvd, "3.5", "its SYN-ACK proves that a SYN had arrived"},
		{SynSent, RecvICMP, Closed, "RFC 1122 4.2.3.9", "destination unreachable while opening"},
		{SynSent, Timeout, Closed, "3.8.3", "R2 for SYN passed"},
		{SynRcvd, Timeout, Closed, "3.8.3", ""},
		{FinWait1, Timeout, Closed, "3.8.3", ""},
		{Closing, Timeout, Closed, "3.8.3", ""},
		{LastAck, Timeout, Closed, "3.8.3", ""},
		{TimeWait, SendRST, Closed, "3.5.2", "an RST in answer proves that TIME_WAIT was gone"},
		{SynSent, Reuse, Closed, "3.5.1", "a new connection on the tuple proves that the old one was forgotten"},
		{SynRcvd, Reuse, Closed, "3.5.1", ""},
		{Established, Reuse, Closed, "3.5.1", ""},
		{FinWait1, Reuse, Closed, "3.5.1", ""},
		{FinWait2, Reuse, Closed, "3.5.1", ""},
		{CloseWait, Reuse, Closed, "3.5.1", ""},
		{Closing, Reuse, Closed, "3.5.1", ""},
		{LastAck, Reuse, Closed, "3.5.1", ""},
		{TimeWait, Reuse, Closed, "3.6.1", "MAY-2: a SYN with a higher sequence number or newer timestamp"},
	}
}
