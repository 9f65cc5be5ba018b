package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func retransmissionTimeout() Rule {
	return Rule{
		ID:       "retransmission-timeout",
		Title:    "payload repeated in vain",
		Severity: Warning,
		Doc:      retransmissionTimeoutDoc,
		RFC:      []string{"RFC 9293 §3.8.3", "RFC 1122 §4.2.3.5", "RFC 5482 §3"},
		needs:    signRepeats,
		Check: func(c *Context, f *reassembly.Flow, emit func(Finding)) {
			checkGaveUp(c, f, tcp.SideA, emit)
			checkGaveUp(c, f, tcp.SideB, emit)
		},
	}
}

const retransmissionTimeoutDoc = `What it means
  One side repeated payload, at growing gaps, and no acknowledgement of it came.
  Then its host gave the connection up, and it does that without a word: no RST,
  no FIN. The application gets ETIMEDOUT; the peer, if it lives, knows nothing
  and holds its end open.

Signature
  At least three repetitions of the same payload with no new acknowledgement,
  and then either silence for longer than the next gap would be (likely), or the
  sender's own RST (certain): at once, or when the peer sends something later.
  Or at least four repetitions within at least 6 s, and the input ends before
  the next one is due: the host is still trying (possible). An ICMP error that
  answered the payload names who returns it.

Look-alikes
  A shorter outage, from which TCP recovers by itself: the capture ends in it.
  A receiver whose window is closed: it does not read.
  A FIN repeated in vain: fin-unacked.
  Payload that the server never took because nobody accepted the connection: it
  had acknowledged nothing but the SYN.
  Acknowledgements that the capture does not hold: one direction missing, or
  gaps.

What it usually is
  A host or a network that is gone, a firewall that forgot the connection and
  drops in silence, a tunnel whose MTU swallows large segments (then small ones
  pass).

What to do
  Capture at the peer at the same time. Linux tries for about 15 minutes
  (tcp_retries2=15); TCP_USER_TIMEOUT gives up sooner on one socket.

What would prove it
  A capture at the peer that shows the payload arriving (the host) or not (the
  path); ETIMEDOUT in the sender's log.`

// gaveUpRepeats is from how many repetitions in vain a silence means that the
// sender has given up.
const gaveUpRepeats = 3

// What a host repeats in vain that is still trying says something from
// triesRepeats on and after triesFor, ns: a shorter outage is ordinary.
const (
	triesRepeats = 4
	triesFor     = 6e9
)

// checkGaveUp asks whether side s repeated payload in vain and gave up.
func checkGaveUp(c *Context, f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	o := s.Other()
	d, p, r := f.Endpoint(s), f.Endpoint(o), &f.Reset
	if d.Repeats < gaveUpRepeats || sentFIN(f, s) || p.Ack == d.ISS.Add(1) && p.PayloadBytes == 0 {
		return
	}
	span := d.RepeatAt - d.UnansweredAt
	sure, end := Certain, Evidence{}
	switch {
	case r.Ref != 0:
		if r.By != s || c.reset != resetGaveUp {
			return
		}
		if end = rstEvidence(f); restarted(f, s) {
			sure = Likely // it need not have given up
		}
	case d.LastAt > d.RepeatAt+patience(f):
		return // it goes on
	case f.Until-d.RepeatAt < min(span, maxRTO)*11/10+patience(f): // the next repetition is not due yet
		if f.Ended != reassembly.EndInput || d.Repeats < triesRepeats || span < triesFor || p.ZeroWindows > 0 {
			return
		}
		sure = Possible
	default:
		sure = Likely
	}
	icmp, who, why := whyInVain(f, s)
	n := newFinding(f, who, sure, icmp,
		Evidence{Ref: d.UnansweredRef, At: d.UnansweredAt, Side: s, What: fmt.Sprintf("the %s's payload", role(f, s))},
		Evidence{Ref: d.RepeatRef, At: d.RepeatAt, Side: s, What: fmt.Sprintf("the last of %d repetitions", d.Repeats)}, end)
	n.Duration, n.Censored = span, sure == Possible
	gone := fmt.Sprintf("then nothing for %s", Span(f.Until-d.RepeatAt))
	switch {
	case end.Ref != 0:
		gone = fmt.Sprintf("its RST %s later shows that it had given up", Span(r.At-d.RepeatAt))
		if restarted(f, s) {
			gone = fmt.Sprintf("its RST %s later shows that its host knew the connection no longer", Span(r.At-d.RepeatAt))
		}
	case n.Censored && f.GoesOn:
		gone = "and the next repetition is not due yet"
	case n.Censored:
		gone = "and the next repetition was not due yet when the capture ended"
	}
	n.Verdict = fmt.Sprintf("%s repeated its payload %s within %s without an acknowledgement, %s: %s",
		f.Addr(s), times(d.Repeats), Span(span), gone, why)
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}

// whyInVain tells whom the repetitions of side s leave to blame, and why, with the
// ICMP error that answered them, if one did.
func whyInVain(f *reassembly.Flow, s tcp.Side) (icmp Evidence, who Party, why string) {
	o := s.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	if icmp, who, why = returned(f, s, d.UnansweredAt); why != "" {
		return icmp, who, why
	}
	if p.LastAt > d.UnansweredAt+patience(f) {
		return icmp, Path, fmt.Sprintf("%s is alive and acknowledges only up to %d, so the payload must have been lost on the way",
			f.Addr(o), rel(f, s, p.Ack))
	}
	why = "a host that is gone and a path that drops look the same from here"
	if silence := d.UnansweredAt - p.LastAt; silence >= forgets {
		why += fmt.Sprintf("; the %s had been silent for %s before, so a device on the way may have forgotten the connection", role(f, o), Span(silence))
	}
	return icmp, Unknown, why
}

// maxRTO bounds the gap between two repetitions, ns: TCP_RTO_MAX of Linux, and
// at least the 60 s of RFC 6298 §2.5.
const maxRTO = 120e9
