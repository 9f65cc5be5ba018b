package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func rstAfterFIN() Rule {
	return Rule{
		ID:       "rst-after-fin",
		Title:    "FIN, then RST by the same side",
		Severity: Info,
		Doc:      rstAfterFINDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.10.5"},
		needs:    signReset,
		Check:    checkRSTAfterFIN,
	}
}

const rstAfterFINDoc = `What it means
  One side closed with a FIN and then reset the connection before the other
  side had closed too. What had been sent before was acknowledged, or only a
  goodbye; the other side may see ECONNRESET where it would have seen an end of
  file.

Signature
  FIN and then an RST by the same side, before both FINs were acknowledged, that
  answers neither payload nor a late FIN of the peer.

Look-alikes
  An RST in answer to payload: write-after-fin, rst-unread-data. But a few
  octets that the other side sends together with its own FIN are a goodbye and
  stay here. So are those that the RST meets before the FIN: a closing alert of
  TLS (24 octets; 31 or 23 in TLS 1.2) that answers the closer's, or that a
  server which had answered everything sends at once; and a few octets within
  3 s of the few with which a server left that had been asked nothing for 1 s.
  An RST in answer to the peer's FIN by a host without the socket:
  time-wait-missing, late-close-reset.
  An RST after both FINs were acknowledged: an orderly close, nothing is found.
  A peer that had not answered the FIN for seconds: fin-unanswered says why the
  closer gave up.

What it usually is
  A browser or a phone that closes politely and frees the socket at once; an
  interrupted command on macOS, whose RST bears the FIN's own number; a second
  close with SO_LINGER 0.

What to do
  Nothing, unless the other side logs errors: then let the closer wait for the
  other side's FIN.

What would prove it
  A trace of the closing process.`

func checkRSTAfterFIN(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetAfterFIN {
		return
	}
	r := &f.Reset
	s, p := r.By, f.Endpoint(r.By.Other())
	sure, bye := sureOfAbort(f), Evidence{}
	said := farewell(f)
	if said {
		sure = min(sure, Likely) // it is not an abort that has to be sure
		bye = Evidence{Ref: p.LastDataRef, At: p.LastData, Side: s.Other(), says: asLastPayload}
	}
	n := newFinding(f, app(f, s), sure, finEvidence(f, s), bye, rstEvidence(f))
	if p.FINRef != 0 && p.FINAt <= r.At || mayHaveClosed(f, s.Other()) {
		// The close may have been complete but for an acknowledgement that the
		// capture does not hold.
		n.lower(f, Possible, reassembly.QualityMidstream)
	}
	n.Duration = r.At - f.Endpoint(s).FINAt
	what := fmt.Sprintf("out of %s: its application did not wait for the %s to close", r.SenderState, role(f, s.Other()))
	if said {
		fin := ""
		if p.FIN > 0 {
			fin = " and its own FIN"
		}
		what = fmt.Sprintf("when the %s said goodbye with %s%s: its application did not wait for that", role(f, s.Other()), octets(p.LastDataLen), fin)
	}
	n.Verdict = fmt.Sprintf("%s sent its FIN and reset the connection %s later, %s", f.Addr(s), Span(n.Duration), what)
	if n.rests(f, onPayload) {
		emit(n)
	}
}
