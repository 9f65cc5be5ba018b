package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func writeAfterFIN() Rule {
	return Rule{
		ID:       "write-after-fin",
		Title:    "payload sent to a peer that had closed",
		Severity: Error,
		Doc:      writeAfterFINDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 9293 §3.10.4", "RFC 2525 §2.16"},
		Replaces: []string{"rst-after-fin", "abortive-close"},
		needs:    signReset,
		Check:    checkWriteAfterFIN,
	}
}

const writeAfterFINDoc = `What it means
  One side had closed, and the other side's host had acknowledged that. Its
  application then wrote into the connection all the same. The closer's socket
  takes no more payload and answers with an RST: what was written is lost, and
  the writer's next call fails with ECONNRESET or EPIPE.

Signature
  FIN; payload from the other side in a segment that acknowledges the FIN; an
  RST by the closer within a round trip, whose sequence number is the one after
  its FIN, with no acknowledgement of the payload.

Look-alikes
  A half-close in use: the closer used shutdown(), and acknowledges the payload.
  Payload that was already on its way when the FIN came: its acknowledgement
  number does not cover the FIN. That is the closer's doing: rst-unread-data.
  The same after the FIN_WAIT_2 timeout: late-close-reset.
  A goodbye of a few octets together with the writer's own FIN, such as the
  closing alert of TLS: rst-after-fin.

What it usually is
  Where the client writes: a pooled connection used again after the server had
  closed it for idleness. The request fails though the service is well.
  Where the server writes: an answer that comes when the client has stopped
  waiting for it. Where it is the server's first payload the finding says how
  long after the request it came: the server is slow, or the client's patience
  short.

What to do
  Test a pooled connection before use (a readable socket that is idle means end
  of file), keep the pool's idle time below the server's, and repeat requests
  that are safe to repeat. Where the server's answers come too late, look for
  what keeps it, and compare that with the client's time limit.

What would prove it
  On the writing side: the socket in CLOSE_WAIT before the write, and the error
  in its log after it.`

func checkWriteAfterFIN(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetWriter {
		return
	}
	r := &f.Reset
	s, o := r.By, r.By.Other()
	l, _ := findLatePayload(f)
	sure := Certain
	if r.Class != reassembly.ResetPassive || l.Ref == f.Endpoint(o).FINRef && f.Endpoint(o).DataAfterPeerFIN == 0 {
		sure = Likely // or its payload is missing
	}
	n := newFinding(f, app(f, o), sure, finEvidence(f, s), finAckEvidence(f, s), l.Evidence, rstEvidence(f))
	const breath = 50e6 // ns: the FIN behind a goodbye is sent in the same breath
	if l.octets <= alert && f.Until-l.At < breath {
		n.lower(f, Possible, reassembly.QualityEndsEarly) // its own FIN may follow
	}
	n.Duration = r.At - f.Endpoint(s).FINAt
	story := "its application wrote to a connection that was over"
	if took, ok := firstAnswer(f, l.At); ok && s == f.Client {
		story = fmt.Sprintf("its first answer, %s after the client's last payload, came when the client had stopped waiting", Span(took))
	}
	n.Verdict = fmt.Sprintf("%s sent %s %s after the %s's FIN, which it had acknowledged, and got an RST: %s",
		f.Addr(o), octets(l.octets), Span(l.At-f.Endpoint(s).FINAt), role(f, s), story)
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// firstAnswer reports that the payload at a time, after the client's FIN, is the
// first that the server ever sent, and how long after the client's last it is.
func firstAnswer(f *reassembly.Flow, at int64) (took int64, ok bool) {
	c, d := f.Endpoint(f.Client), f.Endpoint(f.Server())
	asked := sentFIN(f, f.Client) && !f.Midstream && c.LastDataRef != 0 && c.LastData <= c.FINAt
	return at - c.LastData, asked && d.AckedPeerFIN && d.NxtAtPeerFIN == d.ISS.Add(1)
}
