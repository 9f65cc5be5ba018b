package diagnose

import (
	"fmt"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Remarks are sentences on what a connection shows beside its findings and what
// a person would measure by hand: for how long it was idle before it was closed,
// whether an acknowledgement was delayed by its sender or by the path, what the
// capture does not hold, and whether both ends are one host. None without
// packets that show it.
func Remarks(f *reassembly.Flow) []string {
	var out []string
	for _, s := range []string{idleRemark(f), delayedACKRemark(f), unseenRemark(f), oneClockRemark(f)} {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// leastTold is the shortest idle time that is remarked on, ns.
const leastTold = 3e9

// idleRemark tells for how long a connection was idle before its first close,
// by packets and by timestamps.
func idleRemark(f *reassembly.Flow) string {
	side, at, _, ok := firstClose(f)
	if !ok || f.Quality&reassembly.QualityClockStep != 0 {
		return ""
	}
	since, ref, by := lastUse(f, side, at)
	gap := at - since
	heard, hz, timed := heardNS(f, side)
	if (since == 0 || gap < leastTold) && (!timed || heard < leastTold) {
		return ""
	}
	out := fmt.Sprintf("The %s closed first, ", role(f, side))
	if since != 0 {
		out += fmt.Sprintf("%s after %s", hundredths(gap), useWords(f, ref, by))
	}
	idle := gap
	if timed && (since == 0 || unseen(f) || by != side) {
		if since != 0 {
			out += "; "
		}
		out += fmt.Sprintf("by the timestamps it had last heard of the %s %s before (%d ticks a second)",
			role(f, side.Other()), hundredths(heard), hz)
		if since == 0 || unseen(f) {
			idle = heard
		}
	}
	timer := nearTimer(idle, roleSide(f, side))
	switch waited, known := unanswered(f, ref, at); {
	case waited:
		out += ", which got no answer"
	case known && timer != "":
		out += ", which fits " + timer
	}
	return out + "."
}

// useWords says what a last use was.
func useWords(f *reassembly.Flow, ref tcp.PacketRef, by tcp.Side) string {
	if ref == f.Handshake.ACKRef || ref == f.Handshake.SYNACKRef {
		return "the handshake"
	}
	return "the " + role(f, by) + "'s last payload"
}

// nearTimer says which usual timer of the side that closes a length in ns is
// near, if any.
func nearTimer(ns int64, closer part) string {
	names, seconds := timerNear(ns, closer)
	if names == "" {
		return ""
	}
	return fmt.Sprintf("a timer of %s (a default of %s)", Span(seconds*1e9), names)
}

// Linux delays an acknowledgement by at least 40 ms and at most 200 (TCP_DELACK_MIN
// and _MAX, include/net/tcp.h).
const (
	leastDelay = 35e6
	mostDelay  = 210e6
)

// delayedACKRemark tells that the time to the acknowledgement of a FIN is its
// sender's and not the path's.
func delayedACKRemark(f *reassembly.Flow) string {
	for _, s := range []tcp.Side{f.Client, f.Server()} {
		d := f.Endpoint(s)
		took := d.FINAckAt - d.FINAt
		if !sentFIN(f, s) || d.FINAckRef == 0 || d.FINRepeats > 0 || f.RTT == 0 ||
			took < leastDelay || took > mostDelay || f.RTT > leastDelay/2 {
			continue
		}
		return fmt.Sprintf("The %s to the acknowledgement of the %s's FIN are a delayed ACK of the %s, not the path, whose round trip took %s.",
			tenths(time.Duration(took), time.Millisecond)+" ms", role(f, s), role(f, s.Other()), Span(f.RTT))
	}
	return ""
}

// unseenRemark tells what was acknowledged that the capture does not hold.
func unseenRemark(f *reassembly.Flow) string {
	c, s := f.Endpoint(f.Client).AckedUnseen, f.Endpoint(f.Server()).AckedUnseen
	switch {
	case c == 0 && s == 0:
		return ""
	case c == 0:
		return fmt.Sprintf("%s of the server were acknowledged and are not in the capture.", capital(octets(s)))
	case s == 0:
		return fmt.Sprintf("%s of the client were acknowledged and are not in the capture.", capital(octets(c)))
	}
	return fmt.Sprintf("%s of the server and %s of the client were acknowledged and are not in the capture.", octets(s), count(c))
}

// oneClockRemark tells that both ends' timestamps come from one clock. Kernels
// that start each connection's timestamps at random show nothing of the kind.
func oneClockRemark(f *reassembly.Flow) string {
	c, s, h := f.Endpoint(f.Client), f.Endpoint(f.Server()), &f.Handshake
	if !c.HasSYNTSVal || !s.HasSYNTSVal || h.FirstSYNRef == 0 || h.FirstSYN != h.LastSYN || h.SYNACKRef == 0 {
		return ""
	}
	// A clock that started with the connection is everybody's.
	const started = 10_000
	hz := flowRate(f, f.Client)
	if hz == 0 {
		hz = flowRate(f, f.Server())
	}
	apart := int64(int32(s.SYNTSVal - c.SYNTSVal))
	if hz == 0 || c.SYNTSVal < started || apart < 0 || apart > (h.SYNACK-h.FirstSYN)*hz/1e9+1 {
		return ""
	}
	return fmt.Sprintf("Both ends took their timestamps from one clock (%d and %d in the handshake): the same host, in two containers for instance.",
		c.SYNTSVal, s.SYNTSVal)
}

// hundredths writes seconds with two decimals, as a timer is measured: "29.96 s".
func hundredths(ns int64) string {
	if ns >= 100e9 {
		return Span(ns)
	}
	return fmt.Sprintf("%.2f s", float64(ns)/1e9)
}
