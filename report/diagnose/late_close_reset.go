package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func lateCloseReset() Rule {
	return Rule{
		ID:       "late-close-reset",
		Title:    "a late answer to a FIN met a peer that had given up",
		Severity: Warning,
		Doc:      lateCloseResetDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.5.2", "RFC 1122 §4.2.2.13"},
		Replaces: []string{"fin-answered-late"},
		needs:    signReset,
		Check:    checkLateClose,
	}
}

const lateCloseResetDoc = `What it means
  One side closed and was acknowledged. The other side's application took longer
  than the closer's host keeps FIN_WAIT_2 for a socket that no process holds
  (60 s on Linux), and when it finally sent its FIN, or payload, there was no
  socket left to take it: RST.

Signature
  FIN, its acknowledgement, nothing from the other side for longer than the
  FIN_WAIT_2 timeout of the profile, then its FIN or payload, answered by an RST
  whose sequence number is the one after the closer's FIN.

Look-alikes
  A shutdown(): a closer that goes on reading has no timeout, and acknowledges
  what comes, however late.
  Payload written in time that only its repetitions carried beyond the timeout:
  rst-on-dead-connection. Late payload or a late FIN that was repeated three
  times, or for 3 s, before the RST is no more than possible: the closer's host
  may have been down.
  An RST within the timeout: write-after-fin for payload, time-wait-missing for
  a bare FIN. A host with a shorter tcp_fin_timeout shows those instead: give
  the right --profile.

What it usually is
  An application that notices the end of file only when it next uses the
  connection: a pool, a worker that was busy, a slow shutdown. CLOSE_WAIT stood
  for the whole time.

What to do
  Close on end of file, on the side that answered late.
  tcp_fin_timeout governs FIN_WAIT_2 of orphans and nothing else. Lowering it
  does not shorten TIME_WAIT and turns more late closes into resets.

What would prove it
  On the late side: a socket in CLOSE_WAIT until the late packet, and
  ECONNRESET or EPIPE in its log right after.`

func checkLateClose(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetLate {
		return
	}
	r := &f.Reset
	s, o := r.By, r.By.Other()
	sure, answer := Certain, finEvidence(f, o)
	if r.Class != reassembly.ResetPassive {
		sure = Likely
	}
	if unheeded(f) {
		sure = Possible // its host may have been down, and have come back without the socket
	}
	what, first := "its own FIN", answer
	if l, ok := findLatePayload(f); ok {
		what, first, answer = "payload", firstWritten(f, &l), l.Evidence
	}
	n := newFinding(f, app(f, o), sure, finEvidence(f, s), finAckEvidence(f, s), first, answer, rstEvidence(f))
	n.Duration = first.At - closedSince(f, s)
	n.Verdict = fmt.Sprintf("%s answered the %s's FIN with %s only after %s, when the %s's host had given the socket up (FIN_WAIT_2 lasts %s), and got an RST: its application closed too late",
		f.Addr(o), role(f, s), what, Span(n.Duration), role(f, s), Span(int64(c.Profile.FinWait2)))
	if n.rests(f, onClock) {
		emit(n)
	}
}
