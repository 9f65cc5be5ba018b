package check

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A small world: two hosts with a simple TCP, a path that loses packets on
// either side of a tap, and applications that close as told. It writes what the
// tap sees as a transcript and keeps what really happened.
//
// The hosts follow Linux where it matters for a close: an orphan stays 60 s in
// FIN_WAIT_2 and answers payload with an RST, close() with payload unread
// aborts, TIME_WAIT answers repeated FINs, no socket answers with a bare RST.

const (
	ms = int64(1e6)
	s1 = int64(1e9)
)

type segment struct {
	seq, ack int64
	length   int64
	flags    string // of "SFRP."
	passive  bool
}

func (g segment) has(f string) bool { return strings.Contains(g.flags, f) }

func (g segment) end() int64 {
	n := g.seq + g.length
	if g.has("S") {
		n++
	}
	if g.has("F") {
		n++
	}
	return n
}

// host is one end. Sequence numbers are relative: the SYN is 0.
type host struct {
	w    *world
	name string
	peer *host

	alive   bool // a socket exists
	dead    bool // the host is gone and says nothing
	synced  bool
	orphan  bool // the application called close()
	nxt     int64
	una     int64
	rcv     int64
	fin     int64 // sequence number of the own FIN, 0 before it is sent
	gotFIN  bool
	unread  int64
	tries   int
	timer   int // generation of the retransmission timer
	queue   []segment
	ackDue  bool
	waiting int64 // TIME_WAIT or an orphan's FIN_WAIT_2 lasts until then; 0 for neither
	inTW    bool
	onData  func() // the application, when payload came
	onEOF   func() // when the peer's FIN came

	truth truth
}

// truth is what really happened on one host.
type truth struct {
	gotFINAt   int64 // the kernel received the peer's FIN
	closedAt   int64 // the application closed or shut down; 0 for never
	aborted    bool  // the application ended it by an RST, or its payload died unread
	wroteAfter bool  // the application wrote after the peer's FIN had been received
	lostAck    bool  // a packet of its with an acknowledgement was lost behind the tap
	lostAny    bool  // any packet of its was lost
	readOn     bool  // it took payload after its own FIN
	unseenFINs int   // copies of its FIN that were lost before the tap
	diedAt     int64
	refusedAt  int64 // its kernel answered for want of a socket
}

type event struct {
	at  int64
	n   int
	run func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, k int) bool {
	return a[i].at < a[k].at || a[i].at == a[k].at && a[i].n < a[k].n
}
func (a agenda) Swap(i, k int) { a[i], a[k] = a[k], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any     { o := *a; e := o[len(o)-1]; *a = o[:len(o)-1]; return e }

type world struct {
	rng    *rand.Rand
	now    int64
	n      int
	plan   agenda
	c, s   *host
	toC    int64   // from the tap to the client, ns
	toS    int64   // from the tap to the server
	loss   float64 // on each half of the path
	jitter int64   // up to so much more delay on each half, ns: packets overtake
	lines  []string
	frames int
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1))}
	w.c, w.s = &host{w: w, name: "C"}, &host{w: w, name: "S"}
	w.c.peer, w.s.peer = w.s, w.c
	w.toC, w.toS = w.between(10_000, 40*ms), w.between(10_000, 40*ms)
	return w
}

func (w *world) between(lo, hi int64) int64 { return lo + w.rng.Int64N(hi-lo) }

func (w *world) in(d int64, run func()) {
	w.n++
	heap.Push(&w.plan, event{w.now + d, w.n, run})
}

// run lets the world go on until end, ns.
func (w *world) run(end int64) {
	for len(w.plan) > 0 && w.plan[0].at <= end {
		e := heap.Pop(&w.plan).(event)
		w.now = e.at
		e.run()
	}
	w.now = end
}

// transcript is what the tap saw until now.
func (w *world) transcript() string {
	return strings.Join(w.lines, "\n") + fmt.Sprintf("\n%d.%09d end\n", w.now/s1, w.now%s1)
}

// tap writes a packet down as it passes.
func (w *world) tap(h *host, g segment) {
	w.frames++
	l := fmt.Sprintf("%d.%09d %s > %s %s %d:%d(%d)", w.now/s1, w.now%s1, h.name, h.peer.name, g.flags, g.seq, g.seq+g.length, g.length)
	if g.has(".") {
		l += fmt.Sprintf(" ack %d", g.ack)
	}
	if g.passive {
		l += " passive"
	}
	w.lines = append(w.lines, l)
}

// send puts a packet on the path: host, tap, peer.
func (h *host) send(g segment) {
	w := h.w
	if h.dead {
		return
	}
	before, after := w.toC, w.toS
	if h == w.s {
		before, after = after, before
	}
	lossy := !g.has("S") && h.synced
	if lossy && w.jitter > 0 {
		before += w.rng.Int64N(w.jitter)
		after += w.rng.Int64N(w.jitter)
	}
	w.in(before, func() {
		if lossy && w.rng.Float64() < w.loss {
			h.truth.lostAny = true
			if g.has("F") {
				h.truth.unseenFINs++
			}
			return
		}
		w.tap(h, g)
		w.in(after, func() {
			if lossy && w.rng.Float64() < w.loss {
				h.truth.lostAny = true
				h.truth.lostAck = h.truth.lostAck || g.has(".")
				return
			}
			if !h.peer.dead {
				h.peer.receive(g)
			}
		})
	})
}

func (h *host) ack() {
	h.ackDue = false
	h.send(segment{seq: h.nxt, ack: h.rcv, flags: "."})
}

// refuse answers a segment for want of a socket (RFC 9293 §3.5.2).
func (h *host) refuse(g segment) {
	if g.has("R") {
		return
	}
	if h.truth.refusedAt == 0 {
		h.truth.refusedAt = h.w.now
	}
	h.send(segment{seq: g.ack, flags: "R", passive: true})
}

// connect opens from the client; nothing of the opening is lost.
func (w *world) connect(then func()) {
	c, s := w.c, w.s
	c.alive, s.alive = true, true
	c.nxt, c.una, c.rcv = 1, 1, 1
	s.nxt, s.una, s.rcv = 1, 1, 1
	c.send(segment{flags: "S"})
	w.in(w.toC+w.toS, func() { s.send(segment{flags: "S.", ack: 1}) })
	w.in(2*(w.toC+w.toS), func() {
		c.send(segment{seq: 1, ack: 1, flags: "."})
		c.synced, s.synced = true, true
		then()
	})
}

// write sends payload from the application.
func (h *host) write(n int64) {
	if !h.alive || h.fin != 0 {
		return
	}
	if h.gotFIN {
		h.truth.wroteAfter = true
	}
	h.output(segment{seq: h.nxt, length: n, flags: "P."})
}

// output sends what is to be acknowledged, and repeats it until it is.
func (h *host) output(g segment) {
	h.queue = append(h.queue, g)
	h.nxt = g.end()
	g.ack = h.rcv
	h.ackDue = false
	h.send(g)
	if len(h.queue) == 1 {
		h.tries = 0
		h.arm()
	}
}

func (h *host) arm() {
	h.timer++
	gen := h.timer
	rto := max(200*ms, 3*(h.w.toC+h.w.toS)) << h.tries
	h.w.in(rto, func() {
		if h.timer != gen || len(h.queue) == 0 || !h.alive || h.dead {
			return
		}
		if h.tries++; h.tries > 8 {
			h.alive = false // given up, without a word
			return
		}
		for _, g := range h.queue { // all of it: the receiver keeps nothing out of order
			g.ack = h.rcv
			h.send(g)
		}
		h.arm()
	})
}

// shutdown closes the sending half; close gives up reading too.
func (h *host) shutdown() {
	if !h.alive || h.fin != 0 {
		return
	}
	h.truth.closedAt = h.w.now
	h.fin = h.nxt
	h.output(segment{seq: h.nxt, flags: "F."})
}

func (h *host) close() {
	if !h.alive {
		return
	}
	if h.unread > 0 {
		h.abort()
		return
	}
	h.orphan = true
	h.shutdown()
	h.settle()
}

func (h *host) abort() {
	if !h.alive || h.inTW {
		return
	}
	h.truth.aborted = true
	h.truth.closedAt = h.w.now
	h.alive = false
	h.send(segment{seq: h.nxt, ack: h.rcv, flags: "R."})
}

// answered reports that the application closed after the peer's FIN had come.
func (h *host) answered() bool {
	return h.truth.gotFINAt != 0 && h.truth.gotFINAt < h.truth.closedAt
}

// die takes the host away.
func (h *host) die() {
	h.dead = true
	h.truth.diedAt = h.w.now
}

// receive is SEGMENT ARRIVES.
func (h *host) receive(g segment) {
	if !h.synced || g.has("S") {
		return
	}
	if h.waiting != 0 && h.w.now >= h.waiting {
		h.alive, h.waiting, h.inTW = false, 0, false
	}
	switch {
	case !h.alive:
		h.refuse(g)
	case g.has("R"):
		if g.seq == h.rcv || h.gotFIN && g.seq == h.rcv-1 {
			h.alive = false
		}
	case h.inTW:
		h.ack()
		h.waiting = h.w.now + 60*s1
	default:
		h.established(g)
	}
}

func (h *host) established(g segment) {
	if g.ack > h.una && g.ack <= h.nxt {
		h.una = g.ack
		for len(h.queue) > 0 && h.queue[0].end() <= h.una {
			h.queue = h.queue[1:]
		}
		h.tries = 0
		h.timer++
		if len(h.queue) > 0 {
			h.arm()
		}
		h.settle()
	}
	if !h.alive || g.length == 0 && !g.has("F") {
		return
	}
	if g.seq != h.rcv {
		h.ack()
		return
	}
	if g.length > 0 {
		if h.orphan {
			h.truth.aborted = true
			h.alive = false
			h.send(segment{seq: h.nxt, flags: "R", passive: true})
			return
		}
		h.rcv += g.length
		h.truth.readOn = h.truth.readOn || h.fin != 0
		h.unread += g.length
	}
	if g.has("F") {
		h.rcv++
		h.gotFIN = true
		h.truth.gotFINAt = h.w.now
		h.ack()
		h.settle()
		if h.onEOF != nil {
			h.onEOF()
		}
		return
	}
	if h.onData != nil {
		h.onData()
	}
	if !h.ackDue {
		h.ackDue = true
		h.w.in(h.w.between(0, 40*ms), func() {
			if h.ackDue && h.alive {
				h.ack()
			}
		})
	}
}

// settle moves a closing socket on.
func (h *host) settle() {
	acked := h.fin != 0 && h.una > h.fin
	switch {
	case !h.alive || !acked:
	case h.gotFIN && h.truth.gotFINAt < h.truth.closedAt:
		h.alive = false // LAST_ACK is over
	case h.gotFIN:
		h.inTW, h.waiting = true, h.w.now+60*s1
	case h.orphan && h.waiting == 0:
		h.waiting = h.w.now + 60*s1 // FIN_WAIT_2 without an owner
	}
}
