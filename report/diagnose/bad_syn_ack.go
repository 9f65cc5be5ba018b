package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func badSYNACK() Rule {
	return Rule{
		ID:       "bad-syn-ack",
		Title:    "a SYN-ACK acknowledges what was not sent",
		Severity: Warning,
		Doc:      badSYNACKDoc,
		RFC:      []string{"RFC 9293 §3.5", "RFC 9293 §3.10.7.3"},
		needs:    marked(reassembly.BadSYNACK),
		Check:    checkBadSYNACK,
	}
}

const badSYNACKDoc = `What it means
  The answer to the client's SYN acknowledges a number that the client had not
  sent. It belongs to another attempt, or to another connection. The client
  answers with an RST and goes on waiting for a proper one.

Signature
  A SYN-ACK whose acknowledgement is neither the SYN's sequence number plus one
  nor within the payload on the SYN, and an RST by the client with that
  acknowledgement as its sequence number. Without the RST: possible.

Look-alikes
  A SYN-ACK that acknowledges payload on the SYN (TCP Fast Open): proper.
  A SYN-ACK to a SYN that the capture did not see: the client then takes it.
  A bare acknowledgement instead of a SYN-ACK: syn-on-live-connection.
  The repeated SYN-ACK of an old attempt that comes late (RFC 9293, figure 8):
  harmless, the RST clears it.

What it usually is
  A load balancer or firewall with a stale entry for the four-tuple, SYN proxies
  that disagree, two hosts with one address, or a server that still answers the
  attempt before. From many addresses: somebody forges.

What to do
  Compare the time to live of the wrong SYN-ACK with that of a proper one: they
  tell whether the same host sent both. Look at the state tables on the way.

What would prove it
  A capture on the server: did it send that segment?`

func checkBadSYNACK(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	bad := firstMark(f, f.Server(), reassembly.BadSYNACK, h.FirstSYN)
	if h.FirstSYNRef == 0 || bad == nil {
		return
	}
	wait := f.Until - bad.At
	rst := Evidence{}
	if m := firstMark(f, f.Client, reassembly.RSTSent, bad.At); m != nil && m.At-bad.At <= patience(f) {
		rst = markEvidence(m, "the client refuses it with an RST")
		wait = m.At - bad.At
	}
	sure, end := Possible, ""
	if rst.Ref != 0 {
		sure, end = Certain, fmt.Sprintf(", and the client refused it with an RST after %s", Span(wait))
	}
	n := newFinding(f, ServerHost, sure, synEvidence(f), markEvidence(bad, "a SYN-ACK that acknowledges what was not sent"), rst)
	if h.Outcome == reassembly.Complete {
		n.Duration = max(h.ACK-h.FirstSYN, 0)
		end += fmt.Sprintf("; the connection opened %s after the SYN", Span(n.Duration))
	}
	n.Verdict = fmt.Sprintf("%s answered the SYN with a SYN-ACK (%s) for something that the client had not sent%s: it, or something in its name, holds an old attempt",
		f.Addr(f.Server()), frame(bad.Ref), end)
	if n.rests(f, onPackets) {
		emit(n)
	}
}
