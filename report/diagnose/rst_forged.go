package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func rstForged() Rule {
	return Rule{
		ID:       "rst-forged",
		Title:    "an RST that the named endpoint did not send",
		Severity: Error,
		Doc:      rstForgedDoc,
		RFC:      []string{"RFC 5961 §3", "RFC 3360 §2.1", "RFC 9293 §3.10.7.4"},
		needs:    signReset | signDenied,
		Check:    checkForged,
	}
}

const rstForgedDoc = `What it means
  An RST bears the address of an endpoint that did not send it. Somebody on the
  path, or somebody who guessed the numbers, tried to end the connection.

Signature
  Proof: the endpoint goes on, later than anything that was in flight, as if it
  had sent no RST. Certain.
  Inference: the RST's time to live is three or more off that endpoint's, and it
  answers nothing that the endpoint would answer so. Likely; only possible where
  the difference is that of two common initial values over the same distance,
  for some hosts send an RST with another one, and where an RST as for want of a
  socket comes from within two hops of it: another stack may have sent it, of
  the machine on which the host is a container.
  Or it came a hop or two less far, and answers payload as a host does that has
  no such socket, right after that endpoint had been heard. Likely: a translator
  or firewall that lost its state answers so.

Look-alikes
  A path that changes: it moves the time to live by a hop or two, and takes no
  socket away.
  A device that forgot an idle connection and answers for the host:
  rst-on-dead-connection. A firewall that answers a FIN: time-wait-missing.
  An inexact RST that drew a challenge ACK and did no harm: rst-challenged.
  An opener's answer to a stray SYN-ACK: it leaves the opener as it is.
  Segments that overtake an RST: they come within two round trips.

What it usually is
  A firewall or an intrusion prevention system that ends connections by policy
  (RFC 3360); a state's filter; an attacker who can see the path. On the named
  host itself: a local firewall's "REJECT --reject-with tcp-reset".

What to do
  Compare the RST's time to live with that of other devices of the path: the
  difference to the initial value (64, 128, 255) is its distance. Ask who runs
  what stands there. TLS does not protect against it; IPsec, or TCP-AO
  (RFC 5925), do.

What would prove it
  A capture at the named endpoint that shows no RST leaving.`

func checkForged(c *Context, f *reassembly.Flow, emit func(Finding)) {
	switch {
	case f.Denied.Ref != 0:
		if x, ok := challenge(f, f.Denied.By); ok && x.cause.Ref == f.Denied.Ref {
			return // rst-challenged tells it
		}
		denied(f, emit)
	case c.reset == resetForged:
		foreignRST(f, emit)
	}
}

// denied reports an RST that its named sender went on after.
func denied(f *reassembly.Flow, emit func(Finding)) {
	x := &f.Denied
	n := newFinding(f, Middlebox, Certain,
		Evidence{Ref: x.Ref, At: x.At, Side: x.By, What: fmt.Sprintf("an RST in the name of the %s", role(f, x.By))},
		Evidence{Ref: x.ProofRef, At: x.ProofAt, Side: x.ProofSide, What: fmt.Sprintf("the %s goes on", role(f, x.By))})
	n.Duration = x.ProofAt - x.At
	effect := "it had no effect"
	if f.Reset.Ref == x.Ref {
		effect = fmt.Sprintf("%s took it and lost the connection", f.Addr(x.By.Other()))
	}
	n.Verdict = fmt.Sprintf("an RST in the name of %s was not its own: %s later it went on as if it had sent none, and %s",
		f.Addr(x.By), Span(n.Duration), effect)
	if own := f.Endpoint(x.By).TTL; own != x.TTL && x.TTL != 0 {
		n.Verdict += fmt.Sprintf(" (time to live %d, its own %d)", x.TTL, own)
	}
	on := onClock
	if n.Duration <= patience(f) {
		on |= onPayload // the proof is what was acknowledged, and not the time
	}
	if n.rests(f, on) {
		emit(n)
	}
}

// foreignRST reports an RST that has come another way than the segments of its
// named sender.
func foreignRST(f *reassembly.Flow, emit func(Finding)) {
	r := &f.Reset
	own := f.Endpoint(r.By).TTL
	sure := Likely
	if n := nearer(f); foreign(f) && (n == 0 || r.Class != reassembly.ResetActive && max(n, -n) < apart) {
		sure = Possible // for want of a socket another stack of that machine answers
	}
	n := newFinding(f, Middlebox, sure, lastOf(f, r), rstEvidence(f))
	who := "something on the path must have sent it"
	if !foreign(f) {
		who = fmt.Sprintf("something in front of it must have sent it, which no longer knew a connection on which the %s had been heard %s before", role(f, r.By), Span(r.AnswerAt-r.HeardAt))
	}
	n.Verdict = fmt.Sprintf("an RST in the name of %s has a time to live of %d, its other segments %d: %s", f.Addr(r.By), r.TTL, own, who)
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// lastOf is the last segment that the sender of an RST sent before it.
func lastOf(f *reassembly.Flow, r *reassembly.Reset) Evidence {
	return Evidence{Ref: r.HeardRef, At: r.HeardAt, Side: r.By,
		What: fmt.Sprintf("the %s's last segment, time to live %d", role(f, r.By), f.Endpoint(r.By).TTL)}
}

// challenged is an inexact RST or a SYN that drew a challenge ACK.
type challenged struct {
	cause, ack *reassembly.Mark
}

// challenge looks for the first challenge ACK that answers a segment of side s.
func challenge(f *reassembly.Flow, s tcp.Side) (x challenged, ok bool) {
	for i := range f.Marks {
		switch m := &f.Marks[i]; {
		case m.Side == s && (m.Kind == reassembly.RSTInexact || m.Kind == reassembly.SYNOnLive):
			x.cause = m
		case m.Side == s.Other() && m.Kind == reassembly.ChallengeACK && x.cause != nil:
			x.ack = m
			return x, true
		}
	}
	return x, false
}
