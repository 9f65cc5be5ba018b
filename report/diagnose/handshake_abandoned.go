package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func handshakeAbandoned() Rule {
	return Rule{
		ID:       "handshake-abandoned",
		Title:    "the client reset the connection it was opening",
		Severity: Info,
		Doc:      handshakeAbandonedDoc,
		RFC:      []string{"RFC 9293 §3.5.2", "RFC 9293 §3.10.7.3"},
		needs:    signNotOpened,
		Check:    checkAbandoned,
	}
}

const handshakeAbandonedDoc = `What it means
  The client asked for a connection, the server agreed, and the client's host
  answered the SYN-ACK with an RST. No application ever saw a connection.

Signature
  SYN, SYN-ACK, and an RST by the client with the sequence number after its SYN,
  before any acknowledgement of the SYN-ACK.

Look-alikes
  An RST with the number that a wrong SYN-ACK acknowledged: bad-syn-ack, and the
  client goes on waiting.
  An RST after the acknowledgement: the connection was open (abortive-close).
  An RST that does not answer the SYN-ACK, long after it: the acknowledgement
  may be missing from the capture. Possible.
  An RST whose time to live is not the client's: somebody else sent it.

What it usually is
  Within a round trip of the SYN: a port scan, a load balancer's half-open
  health check, or a host that never sent the SYN, whose address was forged.
  After a second or more: a connect() that gave up before the SYN-ACK came.

What to do
  Nothing for scans and health checks. Where the SYN-ACK came late: find out
  what delays it, or give the client's connect timeout more time.

What would prove it
  The client's own log; a look at what runs on that address.`

func checkAbandoned(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	const slow = 1e9
	h, r := &f.Handshake, &f.Reset
	if h.Outcome != reassembly.Incomplete || h.SYNACKRef == 0 || r.Ref == 0 || r.By != f.Client || foreign(f) ||
		firstMark(f, f.Server(), reassembly.BadSYNACK, 0) != nil {
		return
	}
	n := newFinding(f, ClientApp, Certain, synEvidence(f), synACKEvidence(f, "the server's SYN-ACK"), rstEvidence(f))
	if survived(f) || h.FirstSYNRef == 0 || r.InAnswerTo != h.SYNACKRef && r.At-h.SYNACK > patience(f) {
		n.Confidence = Possible // the last: its acknowledgement may not have been captured
	}
	n.Duration = r.At - h.SYNACK
	wait := h.SYNACK - h.FirstSYN
	why := "a scan, a half-open health check, or a forged SYN"
	if h.FirstSYNRef == 0 {
		why = "a scan, a health check, or a client that had given up"
	} else if wait >= slow {
		why = fmt.Sprintf("the SYN-ACK came %s after the SYN, when the client had given up", Span(wait))
	}
	n.Verdict = fmt.Sprintf("%s answered the SYN-ACK of %s with an RST after %s, so the connection never opened: %s",
		f.Addr(f.Client), f.Addr(f.Server()), Span(n.Duration), why)
	if n.rests(f, onPackets) {
		emit(n)
	}
}
