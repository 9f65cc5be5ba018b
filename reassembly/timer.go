package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// enter puts an endpoint into a state at event time at, and starts the timer
// that runs in it.
func (t *Table) enter(e *entry, side tcp.Side, to fsm.State, at int64) {
	d := e.end(side)
	from := d.state
	d.state = to
	p := &t.opts.Profile
	switch to {
	case fsm.SynSent:
		d.timer = at + int64(p.SYN)
	case fsm.SynRcvd:
		d.timer = at + int64(p.SYNACK)
	case fsm.FinWait1, fsm.LastAck:
		d.timer = at + int64(p.FIN)
	case fsm.Closing:
		if from != fsm.FinWait1 {
			d.timer = at + int64(p.FIN)
		}
	case fsm.TimeWait:
		d.timer = at + int64(p.TwoMSL)
		if x := t.knownSide(t.known(e), side); x.restart.count != 0 {
			x.restart = restart{}
		}
	}
	switch to {
	case fsm.SynSent, fsm.SynRcvd:
		d.bits &^= wasEstablished
	case fsm.Closed:
	default:
		d.bits |= wasEstablished
		d.bits &^= timedOut
	}
}

// due is the first timer of e that has expired by now: its side and event. The
// side is 0 when none has.
func due(e *entry, now int64) (side tcp.Side, on fsm.Event) {
	var first int64
	for k := range e.ends {
		d := &e.ends[k]
		ev := timerEvent(d.state)
		if ev == 0 || d.timer == 0 || d.timer > now {
			continue
		}
		if side == 0 || d.timer < first {
			side, on, first = tcp.SideA+tcp.Side(k), ev, d.timer
		}
	}
	return side, on
}

// timerEvent is what the timer of a state brings. FIN_WAIT_2 has none: close()
// and shutdown() look alike, and only packets tell whether it is still held.
func timerEvent(s fsm.State) fsm.Event {
	switch s {
	case fsm.TimeWait:
		return fsm.Timeout2MSL
	case fsm.SynSent, fsm.SynRcvd, fsm.FinWait1, fsm.Closing, fsm.LastAck:
		return fsm.Timeout
	}
	return 0
}

// expire runs the timers of e up to now.
func (t *Table) expire(e *entry, now int64) {
	for {
		side, on := due(e, now)
		if side == 0 {
			return
		}
		var r record
		if !fire(e, side, on, &r) {
			return
		}
		t.noteTimer(e, &r)
		e.stepped()
	}
}

// fire lets one timer move its endpoint, and fills in the step, of which nothing is
// set yet.
func fire(e *entry, side tcp.Side, on fsm.Event, r *record) bool {
	d := e.end(side)
	to, ok := fsm.Observe(d.state, on)
	if !ok {
		return false
	}
	r.at, r.kind, r.who = d.timer, uint8(on), whoOf(side, 0, fsm.Timer)
	r.states = uint8(d.state)<<4 | uint8(to)
	d.state = to
	if on == fsm.Timeout {
		d.bits |= timedOut
	}
	return true
}

// meetsTimeWait starts the receiver's 2MSL timer anew: for a repeated FIN
// (RFC 9293 §3.10.7.4), and where the profile says so for any acknowledgement
// (Linux, net/ipv4/tcp_minisocks.c tcp_timewait_state_process).
func (t *Table) meetsTimeWait(e *entry, s *tcp.Segment) {
	if s.Flags&tcp.FIN == 0 && !t.opts.Profile.RestartOnACK {
		return
	}
	side := s.From.Other()
	e.end(side).timer = s.At + int64(t.opts.Profile.TwoMSL)
	r := &t.side(e, side).restart
	r.count++
	r.at, r.ref = s.At, s.Ref
}

// revive decides whether segment s, sent by an endpoint that was believed
// CLOSED, disproves that, and takes the step back if so.
func (t *Table) revive(e *entry, s *tcp.Segment) bool {
	d := e.end(s.From)
	var last record
	t.replay(e, s.From, func(r *record, _, to fsm.State) {
		if to == fsm.Closed {
			last = *r
		}
	})
	switch on := last.on(); on {
	case fsm.Timeout, fsm.Timeout2MSL, fsm.RecvICMP:
		t.retract(e, s.From, on, s)
		d.bits &^= timedOut
	case fsm.RecvRST:
		if t.outlives(e, s) && !d.sentBefore(s) {
			t.retract(e, s.From, on, s)
			t.clearSender(e, s)
		}
	case fsm.SendRST:
		q := t.suspected(t.knownResets(e))
		if s.At-last.at > t.patience(e) && !(q.open() && q.Ref == last.ref && q.overtook(d, s)) {
			t.retract(e, s.From, on, s) // somebody else sent that RST
			d.bits &^= aborted
		}
	case fsm.RecvACKOfFIN:
		return s.Flags&tcp.FIN != 0 && s.End() == d.finEnd
	}
	return d.state != fsm.Closed
}

// clearSender takes back that an RST closed its supposed sender too, when s
// acknowledges what that sender sent after it.
func (t *Table) clearSender(e *entry, s *tcp.Segment) {
	x, side := t.resetsOf(t.extra(e)), s.From.Other()
	r := t.latest(e, side, fsm.SendRST)
	if r == nil || r.ref != x.reset.Ref || s.Flags&tcp.ACK == 0 || !x.resetSeq.Less(s.Ack) {
		return
	}
	t.retract(e, side, fsm.SendRST, s)
	e.end(side).bits &^= aborted
	if q := t.suspected(x); q.open() && q.Ref == x.reset.Ref {
		q.deny(s)
	}
}

// sentBefore reports that a segment is a late copy by its timestamp: of what its
// sender d had sent before its last.
func (d *end) sentBefore(s *tcp.Segment) bool {
	if !d.has(hasTS) || s.Options&tcp.OptTimestamps == 0 {
		return false
	}
	age := int32(s.TSVal - d.tsval)
	return age < 0 || age == 0 && s.Len > 0 && s.End().LessEq(d.nxt)
}

// patience is how long after an RST traffic proves that it had no effect: what
// was in flight proves nothing.
func (t *Table) patience(e *entry) int64 { return max(2*e.rtt, 200e6) }

// outlives reports whether the sender of s can only have sent it after the RST
// that should have closed it: it acknowledges something sent after the RST, or
// comes too late.
func (t *Table) outlives(e *entry, s *tcp.Segment) bool {
	x := t.knownResets(e)
	if x.reset.By != s.From.Other() {
		return false
	}
	if s.At-x.reset.At > t.patience(e) {
		return true
	}
	return s.Flags&tcp.ACK != 0 && x.resetSeq.Less(s.Ack)
}
