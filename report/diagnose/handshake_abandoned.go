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
  answered the SYN-ACK with an RST, or had sent one before. No application ever
  saw a connection.

Signature
  SYN, SYN-ACK, and an RST by the client with the sequence number after its SYN,
  before any acknowledgement of the SYN-ACK. An RST before the SYN-ACK answers
  nothing: the client had given up, or a device in its name. Likely then.

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
	if r.At < h.SYNACK {
		if gaveUpEarly(f, &n) {
			emit(n)
		}
		return
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

// gaveUpEarly fills a finding on an RST that came before the SYN-ACK. It is false
// where the two may have been captured in the wrong order, and without the SYN. A TCP
// that gives up in SYN_SENT need not send an RST (RFC 9293 §3.10.5), so that somebody
// else may have.
func gaveUpEarly(f *reassembly.Flow, n *Finding) bool {
	const disorder = 1e6
	h, r := &f.Handshake, &f.Reset
	n.lower(f, Likely, 0)
	n.Duration = r.At - h.FirstSYN
	n.Verdict = fmt.Sprintf("%s sent an RST %s after its SYN, before the SYN-ACK of %s came (%s after the SYN), so the connection never opened: it had given up, or a device had in its name",
		f.Addr(f.Client), Span(n.Duration), f.Addr(f.Server()), Span(h.SYNACK-h.FirstSYN))
	return h.FirstSYNRef != 0 && n.Duration >= 0 && h.SYNACK-r.At > disorder
}
