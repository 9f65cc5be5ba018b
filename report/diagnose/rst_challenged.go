package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func rstChallenged() Rule {
	return Rule{
		ID:       "rst-challenged",
		Title:    "an inexact RST or SYN drew a challenge ACK",
		Severity: Info,
		Doc:      rstChallengedDoc,
		RFC:      []string{"RFC 5961 §3.2", "RFC 5961 §4.2", "RFC 9293 §3.10.7.4"},
		needs:    marked(reassembly.ChallengeACK),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkChallenged(f, tcp.SideA, emit)
			checkChallenged(f, tcp.SideB, emit)
		},
	}
}

const rstChallengedDoc = `What it means
  An RST whose number lay in the window but was not the next expected one, or a
  SYN in the middle of a connection, reached an endpoint. It did not end the
  connection: the endpoint asked back with an acknowledgement, as RFC 5961 wants
  it. A peer that really had sent it would answer that with an exact RST.

Signature
  The RST or SYN, and within a round trip a bare ACK by the other side that
  acknowledges nothing new. The verdict says how it went on.

Look-alikes
  An exact RST: it ends the connection.
  An RST outside the window: it is ignored in silence.
  A SYN by a client that had lost the old connection: it answers the challenge
  with an RST and tries again; that is syn-on-live-connection.

What it usually is
  A blind attack on the connection, a device that injects RSTs and does not see
  all packets, or a real RST that overtook payload.

What to do
  Nothing: the connection was protected. Many of them, on many connections, are
  worth a look at who sends them.

What would prove it
  A capture at the named sender: the RST or SYN leaves it or not.`

// checkChallenged asks whether something in the name of side s was challenged.
func checkChallenged(f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	x, ok := challenge(f, s)
	if !ok {
		return
	}
	o, d, r := s.Other(), f.Endpoint(s), &f.Reset
	confirmed := r.Ref != 0 && r.By == s && r.InAnswerTo == x.ack.Ref
	went := d.LastAt > x.ack.At+patience(f) && !confirmed
	what := "an RST"
	if x.cause.Kind == reassembly.SYNOnLive {
		if what = "a SYN"; !went {
			return // its sender wants a new connection
		}
	}
	story := "nothing more came of it"
	switch {
	case confirmed:
		story = "it answered with an exact RST, so the first was its own"
	case went:
		story = "it went on with the connection, so somebody else sent it, or the path had held it back"
	}
	who := Unknown
	if f.Denied.Ref == x.cause.Ref {
		who = Middlebox
	}
	n := newFinding(f, who, Certain,
		markEvidence(x.cause, fmt.Sprintf("%s in the name of the %s, inside the window but not exact", what, role(f, s))),
		markEvidence(x.ack, fmt.Sprintf("the %s asks back with a challenge ACK", role(f, o))))
	if confirmed {
		n.Evidence = append(n.Evidence, rstEvidence(f))
	}
	n.Verdict = fmt.Sprintf("%s in the name of %s did not end the connection: %s challenged it, and %s",
		what, f.Addr(s), f.Addr(o), story)
	if n.rests(f, onPackets) {
		emit(n)
	}
}
