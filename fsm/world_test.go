package fsm

import (
	"fmt"
	"slices"
)

// The exploration drives two endpoints by a table over channels that lose,
// repeat and reorder, and looks at every world that can come about. There is
// no text, and every sequence space begins at 0: the SYN is number 0 and the
// FIN number 1.

// channel is what is on the way to one endpoint, at most two segments without
// order. A segment may be delivered any number of times before it is dropped;
// one that finds no room is lost.
type channel [2]segment

// endpoint is a connection and what the invariants need to know of its past.
type endpoint struct {
	tcb
	after bool // its FIN went out after the peer's had come in
}

// world is both endpoints; wire[i] leads to end[i].
type world struct {
	end  [2]endpoint
	wire [2]channel
}

const window = 4 // more than any sequence number here

// put adds a segment, once. room is how many the channel holds.
func (c *channel) put(s segment, room int) {
	for i := range c[:room] {
		switch c[i] {
		case s:
			return
		case segment{}:
			c[i] = s
			slices.SortFunc(c[:], func(a, b segment) int { return int(b.pack()) - int(a.pack()) })
			return
		}
	}
}

// take removes segment i.
func (c *channel) take(i int) {
	copy(c[i:], c[i+1:])
	c[len(c)-1] = segment{}
}

func (s segment) pack() uint64 { return uint64(s.flags)<<4 | uint64(s.seq)<<2 | uint64(s.ack) }

func (e endpoint) pack() uint64 {
	p := uint64(e.state)<<7 | uint64(e.una)<<5 | uint64(e.nxt)<<3 | uint64(e.rcv)<<1
	if e.after {
		p++
	}
	return p
}

// pack is a number for the world that does not tell the endpoints apart.
func (w *world) pack() uint64 {
	half := func(i int) uint64 {
		return w.end[i].pack()<<16 | w.wire[i][0].pack()<<8 | w.wire[i][1].pack()
	}
	a, b := half(0), half(1)
	return min(a, b)<<32 | max(a, b)
}

// explorer walks the worlds of one table.
type explorer struct {
	next func(State, Event) (State, bool)
	room int   // of a channel
	err  error // of a step that no table should take
}

// move applies an event to an endpoint. It reports whether the table has it,
// and notes an end that none of the RFC's ways to end explains.
func (x *explorer) move(e *endpoint, on Event) bool {
	to, ok := x.next(e.state, on)
	if !ok {
		return false
	}
	if to == Closed && on != SendRST && on != RecvRST && (on != Timeout2MSL || e.state != TimeWait) &&
		(on != RecvACKOfFIN || !e.after) {
		x.err = fmt.Errorf("%v on %v ends the connection", e.state, on)
	}
	e.state = to
	return true
}

// emit sends a segment of endpoint i: its flags with the ACK that it owes.
func (x *explorer) emit(w *world, i int, f flags, seq uint32) {
	s := segment{flags: f, seq: seq}
	if w.end[i].rcv > 0 && f != flagRST {
		s.flags |= flagACK
		s.ack = w.end[i].rcv
	}
	w.wire[1-i].put(s, x.room)
}

// A step is something that may happen to endpoint i; it is false when it
// cannot happen, or changes nothing, in that world.
type step func(x *explorer, w *world, i int) bool

func fresh(e *endpoint) bool { return e.state == Closed && e.nxt == 0 && e.rcv == 0 }

// connect is an active OPEN, or SEND in LISTEN.
func connect(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	if !fresh(e) && e.state != Listen || !x.move(e, SendSYN) {
		return false
	}
	e.nxt = 1
	x.emit(w, i, flagSYN, 0)
	return true
}

// listen is a passive OPEN.
func listen(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	if !fresh(e) {
		return false
	}
	e.state = Listen
	return true
}

// closeCall is the user's CLOSE, §3.10.4.
func closeCall(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	switch {
	case e.state == Listen, e.state == SynSent:
		e.state = Closed
		return true
	case e.nxt != 1 || !x.move(e, SendFIN):
		return false
	}
	e.nxt, e.ownFIN, e.after = 2, true, e.peerFIN
	x.emit(w, i, flagFIN, 1)
	return true
}

// abort is the user's ABORT, §3.10.5, or a host that gives up with an RST.
func abort(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	if !x.move(e, SendRST) {
		return false
	}
	x.emit(w, i, flagRST, e.nxt)
	return true
}

// retransmit sends the front of the retransmission queue again, §3.10.8.
func retransmit(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	if e.state == Closed || e.state == Listen || e.una == e.nxt {
		return false
	}
	f := flagSYN
	if e.una == 1 {
		f = flagFIN
	}
	x.emit(w, i, f, e.una)
	return true
}

// keepalive probes the peer, §3.8.4. Only in FIN_WAIT_2 is there nothing else
// to send: the RFC knows no other way out when the peer is gone.
func keepalive(x *explorer, w *world, i int) bool {
	e := &w.end[i]
	if e.state != FinWait2 {
		return false
	}
	x.emit(w, i, flagACK, e.nxt-1)
	return true
}

// expire is the end of 2MSL.
func expire(x *explorer, w *world, i int) bool { return x.move(&w.end[i], Timeout2MSL) }

// receive delivers a segment to endpoint i.
func (x *explorer) receive(w *world, i int, s segment) {
	e := &w.end[i]
	if reply, ok := e.refuses(s); ok {
		if !s.has(flagRST) {
			w.wire[1-i].put(reply, x.room)
		}
		return
	}
	events := e.classify(s)
	for _, on := range events {
		x.move(e, on)
		e.account(on)
	}
	switch {
	case s.has(flagRST) && !before(e.rcv, s.seq): // took effect, or is old
	case e.nxt == 0 && slices.Contains(events, RecvSYN): // LISTEN answers
		e.nxt = 1
		x.emit(w, i, flagSYN, 0)
	case e.una == 0 && slices.Contains(events, RecvSYN): // simultaneous open
		x.emit(w, i, flagSYN, 0)
	case e.state == SynSent || e.state == Listen || e.state == Closed:
	case s.length() > 0, before(s.seq, e.rcv), s.has(flagRST): // taken, old, or a challenge ACK
		x.emit(w, i, flagACK, e.nxt)
	}
}

// refuses says whether the endpoint answers a segment with an RST, §3.5.2
// groups 1 and 2, and with which.
func (e *endpoint) refuses(s segment) (segment, bool) {
	bad := false
	switch e.state {
	case Closed:
		if !s.has(flagACK) {
			return segment{flags: flagRST | flagACK, ack: s.seq + s.length()}, true
		}
		bad = true
	case Listen:
		bad = s.has(flagACK)
	case SynSent, SynRcvd:
		bad = s.has(flagACK) && s.ack != 1 && s.flags&flagRST == 0
	}
	return segment{flags: flagRST, seq: s.ack}, bad
}

// account moves the variables of the connection by what it accepted.
func (e *endpoint) account(on Event) {
	switch on {
	case RecvSYN:
		e.rcv = 1
	case RecvSYNACK:
		e.rcv, e.una = 1, max(e.una, 1)
	case RecvACKOfSYN:
		e.una = max(e.una, 1)
	case RecvACKOfFIN:
		e.una = 2
	case RecvFIN:
		e.rcv, e.peerFIN = 2, true
	}
}

var anything = []step{connect, listen, closeCall, abort, retransmit, keepalive, expire}

// successors calls use with every world that w can become by one step.
func (x *explorer) successors(w world, use func(world)) {
	for i := range w.end {
		for _, s := range anything {
			if n := w; s(x, &n, i) {
				use(n)
			}
		}
		for k, s := range w.wire[i] {
			if s == (segment{}) {
				continue
			}
			n := w
			x.receive(&n, i, s)
			use(n)
			n = w
			n.wire[i].take(k)
			use(n)
		}
	}
}
