//go:build linux

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lastack/lastack/fsm"
)

// Transition is one move of one endpoint as its kernel made it, in the terms
// of RFC 9293. TIME_WAIT to TIME_WAIT is a restart of the 2MSL timer.
type Transition struct {
	// Time is when it happened, in ns since 1970 UTC, on the clock of the
	// captures; the trace gives it in whole microseconds. Where Until is
	// given, the move was not seen but came between the two, and the socket
	// may have been in other states for a moment.
	Time   int64          `json:"time_ns"`
	Until  int64          `json:"until_ns,omitempty"`
	Host   string         `json:"host"` // "client" or "server"
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	From   string         `json:"from"`
	To     string         `json:"to"`
	// Source is "tracepoint" (inet_sock_set_state) or "sock_diag".
	Source string `json:"source"`
}

// is reports whether it is a move as Scenario.Kernel writes it.
func (t *Transition) is(move string) bool {
	return move == fmt.Sprintf("%s %s>%s", t.Host, t.From, t.To)
}

// restartGrace is by how much the end of a TIME_WAIT must move to be a
// restart and not the rounding of the kernel's timer.
const restartGrace = 500 * int64(time.Millisecond)

// history is what the samples of a host showed, in order of time. Of a
// connection only those are kept that showed something new.
type history struct {
	before, after []int64 // of every sample
	seen          map[connection][]observation
}

// observation is what a sample showed of a connection, and the one before it
// did not. The zero state is no socket.
type observation struct {
	sample int // its number
	socketState
}

// add takes the next sample.
func (h *history) add(s sample) {
	n := len(h.before)
	h.before, h.after = append(h.before, s.before), append(h.after, s.after)
	if h.seen == nil {
		h.seen = map[connection][]observation{}
	}
	slow := s.after - s.before
	for c, st := range s.sockets {
		if _, ok := h.seen[c]; !ok {
			h.seen[c] = nil
		}
		// When a timer was read in a slow listing is not known: no restart is told by
		// it, nor by the next listing that shows the timer as it was.
		if slow > restartGrace/2 && st.expires != 0 {
			if st.state == h.last(c).state {
				continue
			}
			st.expires += slow
		}
		if st.expires > s.before || st.state != h.last(c).state { // else the timer is merely late
			h.observe(n, c, st)
		}
	}
	for c := range h.seen {
		if _, ok := s.sockets[c]; !ok {
			h.observe(n, c, socketState{})
		}
	}
}

// last is what was observed last of a connection.
func (h *history) last(c connection) socketState {
	if obs := h.seen[c]; len(obs) > 0 {
		return obs[len(obs)-1].socketState
	}
	return socketState{}
}

func (h *history) observe(n int, c connection, now socketState) {
	obs, was := h.seen[c], h.last(c)
	if d := now.expires - was.expires; now.state != was.state || d > restartGrace || d < -restartGrace {
		h.seen[c] = append(obs, observation{n, now})
	}
}

// since is the number of the first sample that began at a time or later.
func (h *history) since(at int64) int {
	n, _ := slices.BinarySearch(h.before, at)
	return n
}

// start is when a sample began; what it showed was true then. It is 0 before
// the first.
func (h *history) start(n int) int64 {
	if n < 0 {
		return 0
	}
	return h.before[n]
}

// deriveHost puts what the tracepoint saw of full sockets and what the
// samples saw of small ones together, per connection and in order of time. It
// is an error when the trace does not hang together: then it holds a socket of
// another network, or lacks an event.
func deriveHost(host string, events []traceEvent, samples *history) ([]Transition, error) {
	byConn := map[connection][]traceEvent{}
	for _, e := range events {
		if e.remote.Port() != 0 { // a listener has no remote end
			c := connection{e.local, e.remote}
			byConn[c] = append(byConn[c], e)
		}
	}
	for c := range samples.seen {
		if _, ok := byConn[c]; !ok {
			byConn[c] = nil
		}
	}
	var out []Transition
	var errs []error
	for c, es := range byConn {
		d := derivation{host: host, conn: c, state: fsm.Closed, samples: samples, left: samples.seen[c]}
		d.run(es)
		out, errs = append(out, d.out...), append(errs, d.err)
	}
	slices.SortStableFunc(out, func(a, b Transition) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), a.Remote.Compare(b.Remote), a.Local.Compare(b.Local))
	})
	return out, errors.Join(errs...)
}

// derivation follows one connection of one host.
type derivation struct {
	host    string
	conn    connection
	samples *history
	left    []observation // of the connection, that are not used yet
	now     socketState   // the last that was used

	state fsm.State
	// small says that no full socket stands behind the state: TIME_WAIT,
	// FIN_WAIT_2 after close(), or a connection request.
	small   bool
	expires int64
	out     []Transition
	err     error
}

func (d *derivation) run(events []traceEvent) {
	for i := 0; i < len(events); i++ {
		if ghost(events[i:]) {
			i++
			continue
		}
		d.sampleUntil(events[i].at)
		d.event(events[i])
	}
	d.sampleUntil(1<<63 - 1)
}

// ghost reports whether the next two events are of a connect(2) that failed
// because another socket has the connection: the kernel enters SYN_SENT before
// it looks, and leaves it at once.
func ghost(next []traceEvent) bool {
	return len(next) > 1 && next[0].to == fsm.SynSent && next[1].from == fsm.SynSent && next[1].to == fsm.Closed &&
		next[1].at-next[0].at < int64(time.Millisecond)
}

func (d *derivation) move(at, until int64, to fsm.State, source string) {
	if n := len(d.out); n > 0 {
		at = max(at, d.out[n-1].Time) // a sample may have begun before what it follows
	}
	if until <= at {
		until = 0
	}
	from := d.state
	if from == fsm.Closed && to == fsm.SynRcvd { // the listener's, in the RFC's terms
		from = fsm.Listen
	}
	d.out = append(d.out, Transition{Time: at, Until: until, Host: d.host, Local: d.conn.local,
		Remote: d.conn.remote, From: from.String(), To: to.String(), Source: source})
	d.state, d.small, d.expires = to, false, 0
}

const (
	fromTrace = "tracepoint"
	fromDiag  = "sock_diag"
)

// event takes a move of a full socket.
func (d *derivation) event(e traceEvent) {
	switch {
	case d.small && d.state == fsm.SynRcvd && e.from == fsm.Listen && e.to == fsm.SynRcvd:
		d.small = false // the request that was known becomes a full socket
		return
	case d.small && (e.to == fsm.SynRcvd || e.to == fsm.SynSent):
		// A new connection: the small socket of the old one is gone.
		d.move(d.samples.start(d.samples.since(e.at)-1), e.at, fsm.Closed, fromDiag)
	}
	if e.from != d.state && (e.from != fsm.Listen || d.state != fsm.Closed) {
		d.err = fmt.Errorf("%s: the trace takes %v to %v from %v to %v, which was in %v",
			d.host, d.conn.local, d.conn.remote, e.from, e.to, d.state)
	}
	d.state = e.from
	if (e.from == fsm.FinWait2 || e.from == fsm.Closing) && e.to == fsm.Closed {
		d.handOver(e)
		return
	}
	d.move(e.at, 0, e.to, fromTrace)
}

// handOver takes the full socket's end in FIN_WAIT_2 or CLOSING: a small one
// may have taken its place, which the next sample shows.
func (d *derivation) handOver(e traceEvent) {
	n := d.samples.since(e.at)
	if n == len(d.samples.before) {
		d.move(e.at, 0, fsm.Closed, fromTrace)
		return
	}
	st := d.now
	for _, o := range d.left {
		if o.sample <= n {
			st = o.socketState
		}
	}
	switch st.state {
	case fsm.TimeWait:
		until := d.samples.after[n]
		if e.from == fsm.Closing {
			until = 0 // nothing can have come between
		}
		d.move(e.at, until, fsm.TimeWait, fromTrace)
		d.small, d.expires = true, st.expires
	case fsm.FinWait2:
		d.small, d.expires = true, st.expires
	default: // a small one may have come and gone in between
		d.move(e.at, d.samples.after[n], fsm.Closed, fromTrace)
	}
}

// sampleUntil takes the samples that began before a time.
func (d *derivation) sampleUntil(at int64) {
	for len(d.left) > 0 && d.samples.before[d.left[0].sample] < at {
		o := d.left[0]
		d.now, d.left = o.socketState, d.left[1:]
		d.sample(o, d.samples.start(o.sample-1), d.samples.after[o.sample])
	}
}

// sample takes what a sample showed of the connection and the one before, at a
// time, did not. Full sockets are left to the tracepoint, which is exact.
func (d *derivation) sample(o observation, since, after int64) {
	switch {
	case o.state == 0:
		if d.small {
			d.move(since, after, fsm.Closed, fromDiag)
		}
	case o.state == fsm.SynRcvd && (d.state == fsm.Closed || d.small && d.state != fsm.SynRcvd):
		if d.small {
			d.move(since, after, fsm.Closed, fromDiag)
		}
		d.move(since, after, fsm.SynRcvd, fromDiag)
		d.small = true
	case d.small && o.state == fsm.TimeWait:
		if d.state != fsm.TimeWait || o.expires > d.expires+restartGrace {
			d.move(since, after, fsm.TimeWait, fromDiag)
		}
		d.small, d.expires = true, o.expires
	}
}
