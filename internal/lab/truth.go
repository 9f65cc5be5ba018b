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

// restartGrace is by how much the end of a TIME_WAIT must move to be a
// restart and not the rounding of the kernel's timer.
const restartGrace = 500 * int64(time.Millisecond)

// deriveHost puts what the tracepoint saw of full sockets and what the
// samples saw of small ones together, per connection and in order of time. It
// is an error when the trace does not hang together: then it holds a socket of
// another network, or lacks an event.
func deriveHost(host string, events []traceEvent, samples []sample) ([]Transition, error) {
	byConn := map[connection][]traceEvent{}
	for _, e := range events {
		if e.remote.Port() != 0 { // a listener has no remote end
			c := connection{e.local, e.remote}
			byConn[c] = append(byConn[c], e)
		}
	}
	for _, s := range samples {
		for c := range s.sockets {
			if _, ok := byConn[c]; !ok {
				byConn[c] = nil
			}
		}
	}
	var out []Transition
	var errs []error
	for c, es := range byConn {
		d := derivation{host: host, conn: c, state: fsm.Closed, samples: samples}
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
	samples []sample // of the host, in order of time; the first `taken` are used
	taken   int

	state fsm.State
	// small says that no full socket stands behind the state: TIME_WAIT,
	// FIN_WAIT_2 after close(), or a connection request.
	small   bool
	expires int64
	out     []Transition
	err     error
}

func (d *derivation) run(events []traceEvent) {
	for _, e := range events {
		d.sampleUntil(e.at)
		d.event(e)
	}
	d.sampleUntil(1<<63 - 1)
}

func (d *derivation) move(at, until int64, to fsm.State, source string) {
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
		d.move(d.lastSample(), e.at, fsm.Closed, fromDiag)
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
	for _, s := range d.samples[d.taken:] {
		if s.before < e.at {
			continue
		}
		switch st, ok := s.sockets[d.conn]; {
		case ok && st.state == fsm.TimeWait:
			until := s.after
			if e.from == fsm.Closing {
				until = 0 // nothing can have come between
			}
			d.move(e.at, until, fsm.TimeWait, fromTrace)
			d.small, d.expires = true, st.expires
			return
		case ok && st.state == fsm.FinWait2:
			d.small, d.expires = true, st.expires
			return
		}
		break
	}
	d.move(e.at, 0, fsm.Closed, fromTrace)
}

// sampleUntil takes the samples that began before a time.
func (d *derivation) sampleUntil(at int64) {
	for ; d.taken < len(d.samples) && d.samples[d.taken].before < at; d.taken++ {
		d.sample(d.samples[d.taken])
	}
}

// lastSample is when the last sample that was taken began: what it showed
// was true then.
func (d *derivation) lastSample() int64 {
	if d.taken == 0 {
		return 0
	}
	return d.samples[d.taken-1].before
}

// sample takes what was listed of the connection. Full sockets are left to
// the tracepoint, which is exact.
func (d *derivation) sample(s sample) {
	st, ok := s.sockets[d.conn]
	since := d.lastSample()
	switch {
	case !ok:
		if d.small {
			d.move(since, s.after, fsm.Closed, fromDiag)
		}
	case st.state == fsm.SynRcvd && (d.state == fsm.Closed || d.small && d.state != fsm.SynRcvd):
		if d.small {
			d.move(since, s.after, fsm.Closed, fromDiag)
		}
		d.move(since, s.after, fsm.SynRcvd, fromDiag)
		d.small = true
	case d.small && st.state == fsm.TimeWait:
		if d.state != fsm.TimeWait || st.expires > d.expires+restartGrace {
			d.move(since, s.after, fsm.TimeWait, fromDiag)
		}
		d.small, d.expires = true, st.expires
	}
}
