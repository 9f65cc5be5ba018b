package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func keepaliveFailed() Rule {
	return Rule{
		ID:       "keepalive-failed",
		Title:    "keepalive probes stayed unanswered, then RST",
		Severity: Warning,
		Doc:      keepaliveFailedDoc,
		RFC:      []string{"RFC 9293 §3.8.4", "RFC 1122 §4.2.3.6"},
		needs:    signReset,
		Check:    checkKeepalive,
	}
}

const keepaliveFailedDoc = `What it means
  One side asked an idle peer for a sign of life, again and again, got none, and
  gave the connection up. Its application gets ETIMEDOUT.

Signature
  Probes (the number before SND.NXT, at most one octet) with no answer of any
  kind, then an RST by the side that probed, not before its next probe was due.
  What the peer sends after that says that it lives, and answers no probe.
  Where the answers passed the tap they may be lost behind it: likely or
  possible where the probes came faster than the first of them after the last
  use, as they do only without an answer, and the RST after the same interval.

Look-alikes
  Probes into a closed window: they are answered, or the gaps grow.
  A probe that meets an RST of the peer: rst-on-dead-connection.
  An application that aborts: no probes go before, or the next was not yet due
  (abortive-close). Where the probes were answered and came as rarely as the
  first, an RST at their interval may be either: abortive-close, possible.
  Payload repeated in vain: retransmission-timeout.

What it usually is
  A host that crashed, was unplugged or moved; a NAT or firewall that forgot the
  idle connection and drops in silence.

What to do
  Where the peer is alive after all, send probes more often than the shortest
  idle timer on the path: net.ipv4.tcp_keepalive_time is two hours by default,
  TCP_KEEPIDLE sets it for one socket. Look for a stateful device on the path.

What would prove it
  A capture at the peer: the probes arrive there or they do not.`

func checkKeepalive(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetProbed {
		return
	}
	r := &f.Reset
	s := r.By
	run := probes(f, s, r.PeerAt)
	sure, rests, why := Certain, onSilence, "a host that is gone and a path that drops look the same from here"
	if run.n == 0 {
		run, _ = keepalives(f)
		sure, rests = Likely, onClock
		why = fmt.Sprintf("the answers passed here and cannot have arrived, as it probed again after %s each time", Span(run.lastGap))
	}
	switch {
	case run.n == 1, run.early(r.At):
		sure = Possible // an application may have aborted in the meantime
		why += "; or its application aborted"
	case run.n == 2:
		sure = Likely
	}
	who := Unknown
	icmp, by, said := returned(f, s, run.first.At)
	if said != "" {
		who, why = by, said
	}
	n := newFinding(f, who, sure, icmp, markEvidence(run.first, fmt.Sprintf("the %s probes", role(f, s))),
		markEvidence(run.last, fmt.Sprintf("the last of %d probes", run.n)), rstEvidence(f))
	n.Duration = r.At - run.first.At
	n.Verdict = fmt.Sprintf("%s probed %s in vain within %s and gave up with an RST: %s",
		f.Addr(s), times(uint32(run.n)), Span(n.Duration), why)
	if n.rests(f, rests) {
		emit(n)
	}
}
