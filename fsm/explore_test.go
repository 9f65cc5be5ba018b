package fsm

import (
	"fmt"
	"strings"
	"testing"
)

// numbers are what a state says of SND.UNA, SND.NXT and RCV.NXT: which of SYN
// and FIN were sent, acknowledged and received. It is the meaning of the
// states in §3.3.2. SYN_SENT and SYN_RCVD may close before their SYN is
// acknowledged, so FIN_WAIT_1 leaves that open.
var numbers = map[State]struct{ minUNA, maxUNA, nxt, rcv uint32 }{
	Listen:      {0, 0, 0, 0},
	SynSent:     {0, 0, 1, 0},
	SynRcvd:     {0, 0, 1, 1},
	Established: {1, 1, 1, 1},
	FinWait1:    {0, 1, 2, 1},
	FinWait2:    {2, 2, 2, 1},
	CloseWait:   {1, 1, 1, 2},
	Closing:     {1, 1, 2, 2},
	LastAck:     {1, 1, 2, 2},
	TimeWait:    {2, 2, 2, 2},
}

// broken is the invariant that a world breaks, or nil.
func (w *world) broken() error {
	for i := range w.end {
		e, peer := &w.end[i], &w.end[1-i]
		if want, ok := numbers[e.state]; ok {
			if e.una < want.minUNA || e.una > want.maxUNA || e.nxt != want.nxt || e.rcv != want.rcv {
				return fmt.Errorf("%v with una %d, nxt %d, rcv %d", e.state, e.una, e.nxt, e.rcv)
			}
		}
		switch {
		case e.after != (e.state == LastAck) && e.state != Closed:
			return fmt.Errorf("%v, and the own FIN went out after the peer's: %v", e.state, e.after)
		case e.una > peer.rcv:
			return fmt.Errorf("%v had %d acknowledged, and the peer in %v received %d", e.state, e.una, peer.state, peer.rcv)
		case e.rcv > peer.nxt:
			return fmt.Errorf("%v received %d, and the peer in %v sent %d", e.state, e.rcv, peer.state, peer.nxt)
		}
	}
	return nil
}

// settle makes the channel reliable and lets both users close: the connection
// must end, without ABORT and without giving up. known are worlds for which
// that has been shown.
func (x *explorer) settle(w world, known map[uint64]bool) error {
	var path []uint64
	start := w
	for range 100 {
		p := w.pack()
		if known[p] || w.end[0].state == Closed && w.end[1].state == Closed {
			for _, p := range path {
				known[p] = true
			}
			return nil
		}
		path = append(path, p)
		x.advance(&w)
	}
	return fmt.Errorf("%v and %v never end, but rest in %v and %v",
		start.end[0].state, start.end[1].state, w.end[0].state, w.end[1].state)
}

// advance lets the users close, delivers what is under way, and when nothing
// is, lets time pass: retransmissions first, the long 2MSL last.
func (x *explorer) advance(w *world) {
	for i := range w.end {
		closeCall(x, w, i)
	}
	quiet := true
	for i := range w.end {
		if s := w.wire[i][0]; s != (segment{}) {
			w.wire[i].take(0)
			x.receive(w, i, s)
			quiet = false
		}
	}
	for _, s := range []step{retransmit, keepalive, expire} {
		for i := range w.end {
			if quiet && s(x, w, i) {
				quiet = false
			}
		}
	}
}

// explore visits all worlds breadth first and returns the pairs of states that
// occur, and how many worlds there are.
func (x *explorer) explore() (pairs map[[2]State]bool, worlds int, err error) {
	var w world
	for i := range w.end {
		w.end[i].tcb = tcb{state: Closed, wnd: window}
	}
	pairs = map[[2]State]bool{}
	seen, known := map[uint64]bool{w.pack(): true}, map[uint64]bool{}
	for queue := []world{w}; len(queue) > 0; queue = queue[1:] {
		w := queue[0]
		if err := w.broken(); err != nil {
			return nil, 0, err
		}
		pairs[[2]State{w.end[0].state, w.end[1].state}] = true
		pairs[[2]State{w.end[1].state, w.end[0].state}] = true
		if err := x.settle(w, known); err != nil {
			return nil, 0, err
		}
		x.successors(w, func(n world) {
			if p := n.pack(); !seen[p] {
				seen[p] = true
				queue = append(queue, n)
			}
		})
		if x.err != nil {
			return nil, 0, x.err
		}
	}
	return pairs, len(seen), nil
}

// legitimate are the pairs of states that can occur together, each pair once,
// under the earlier state. They follow from numbers: nobody has more
// acknowledged than the peer has received, nor received more than the peer has
// sent. So FIN_WAIT_2 meets only peers that have the FIN and whose own has not
// come; TIME_WAIT only those that both FINs have reached. LAST_ACK does not
// meet itself, nor CLOSING: its FIN, sent after the peer's had come, carries
// the ACK of that. CLOSED goes with everything: it is also the endpoint that
// is not there yet, was reset, or has forgotten.
const legitimate = `
CLOSED      CLOSED LISTEN SYN_SENT SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT
LISTEN      LISTEN SYN_SENT
SYN_SENT    SYN_SENT SYN_RCVD FIN_WAIT_1
SYN_RCVD    SYN_RCVD ESTABLISHED FIN_WAIT_1
ESTABLISHED ESTABLISHED FIN_WAIT_1
FIN_WAIT_1  FIN_WAIT_1 CLOSE_WAIT CLOSING LAST_ACK
FIN_WAIT_2  CLOSE_WAIT CLOSING LAST_ACK
CLOSING     CLOSING TIME_WAIT
LAST_ACK    TIME_WAIT
TIME_WAIT   TIME_WAIT
`

// checkExploration explores a table with the smallest channels.
func checkExploration(t table) error {
	_, err := explored(t, 1)
	return err
}

// explored explores a table with channels of that many segments and compares
// the pairs. It returns the number of worlds.
func explored(t table, room int) (worlds int, err error) {
	x := explorer{next: t.next, room: room}
	pairs, worlds, err := x.explore()
	if err != nil {
		return 0, err
	}
	want, states := map[[2]State]bool{}, statesByName()
	for line := range strings.SplitSeq(strings.TrimSpace(legitimate), "\n") {
		f := strings.Fields(line)
		for _, peer := range f[1:] {
			want[[2]State{states[f[0]], states[peer]}] = true
			want[[2]State{states[peer], states[f[0]]}] = true
		}
	}
	for a := Closed; a <= TimeWait; a++ {
		for b := a; b <= TimeWait; b++ {
			if p := [2]State{a, b}; pairs[p] != want[p] {
				return 0, fmt.Errorf("%v with %v: occurs %v, legitimate %v", a, b, pairs[p], want[p])
			}
		}
	}
	return worlds, nil
}

// Every state is in the pairs, so this also says that all eleven are reached.
func TestExploration(t *testing.T) {
	for room := 1; room <= 2; room++ {
		worlds, err := explored(ours, room)
		if err != nil {
			t.Errorf("channels of %d: %v", room, err)
		}
		t.Logf("channels of %d: %d worlds", room, worlds)
	}
}
