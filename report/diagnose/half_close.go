package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func halfClose() Rule {
	return Rule{
		ID:       "half-close",
		Title:    "a half-close in use",
		Severity: Info,
		Doc:      halfCloseDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 1122 §4.2.2.13"},
		needs:    signStillReads,
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkHalfClose(f, tcp.SideA, emit)
			checkHalfClose(f, tcp.SideB, emit)
		},
	}
}

const halfCloseDoc = `What it means
  One side said that it has nothing more to send, and went on reading. The other
  side stands in CLOSE_WAIT and uses it as it is meant to be used: it sends what
  is left, and closes then. Nothing is wrong.

Signature
  FIN, an acknowledgement that covers it, new payload from the other side, and
  an acknowledgement of that payload by the side that had sent the FIN: its
  application used shutdown() and not close().

Look-alikes
  close(): the closer answers such payload with an RST (write-after-fin).
  Payload that was on its way when the FIN came, or is repeated: it says nothing
  of shutdown().
  A leak: no payload flows (fin-unanswered).

What it usually is
  ssh, "nc -N", a proxy that hands an end of file through, gRPC, an HTTP/1
  client that closes its sending side after the request.

What to do
  Nothing. FIN_WAIT_2 has no timeout on a socket that a process still reads, so
  if such connections pile up, look for a peer that never finishes.

What would prove it
  The packets do.`

// checkHalfClose asks whether side s went on reading after its FIN.
func checkHalfClose(f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	o := s.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	if !d.HalfCloseAlive || !sentFIN(f, s) {
		return
	}
	payload := Evidence{Side: o, What: fmt.Sprintf("new payload of the %s", role(f, o))}
	if m := firstMark(f, o, reassembly.DataAfterFIN, 0); m != nil {
		payload.Ref, payload.At = m.Ref, m.At
	}
	taken := Evidence{Side: s, What: fmt.Sprintf("the %s acknowledges it: it still reads", role(f, s))}
	if m := firstMark(f, s, reassembly.DataAck, 0); m != nil {
		taken.Ref, taken.At = m.Ref, m.At
	}
	n := newFinding(f, Nobody, Certain, finEvidence(f, s), finAckEvidence(f, s), payload, taken)
	end := "the " + role(f, o) + soFar(f, " has not closed so far", " had not closed yet when the capture ended")
	n.Censored = p.FINRef == 0 && f.Reset.Ref == 0
	n.Duration = f.Until - d.FINAt
	switch {
	case p.FINRef != 0:
		n.Duration = p.FINAt - d.FINAt
		end = fmt.Sprintf("the %s closed %s after it", role(f, o), Span(n.Duration))
	case f.Reset.Ref != 0:
		n.Duration = f.Reset.At - d.FINAt
		end = fmt.Sprintf("an RST ended it %s later", Span(n.Duration))
	}
	n.Duration = max(n.Duration, 0)
	n.Verdict = fmt.Sprintf("%s closed only its sending half: it acknowledged payload that %s sent after the FIN; %s",
		f.Addr(s), f.Addr(o), end)
	if n.rests(f, onPackets) {
		emit(n)
	}
}
