package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func rstUnreadData() Rule {
	return Rule{
		ID:       "rst-unread-data",
		Title:    "a close that left payload unread",
		Severity: Warning,
		Doc:      rstUnreadDataDoc,
		RFC:      []string{"RFC 2525 §2.17", "RFC 1122 §4.2.2.13", "RFC 9293 §3.6"},
		needs:    signReset,
		Check:    checkUnread,
	}
}

const rstUnreadDataDoc = `What it means
  One side closed while payload of the peer was unread, or still on its way. TCP
  must tell the peer that payload was lost, and does it with an RST. The RST may
  also destroy what the closer itself had sent last and the peer had not read.
  Where the payload was a server's answer the packets do not tell this from an
  abort after reading it (SO_LINGER 0): the verdict names both.

Signature
  An RST with the header of a live socket, after payload that its sender's
  application never answered. It is likely where more speaks for it: a request
  of the client that the server acknowledged and did not answer, within a second
  (or some round trips, where those are longer); payload on its way when the RST
  was sent, or passing behind it; a window of zero on the side of the RST. Else
  it is no more than possible.
  Or a FIN, and then an RST in answer to payload that was on its way when the
  application closed, or by a live socket whose own window was closed.

Look-alikes
  The same RST when all had been read: abortive-close. With payload unread
  close() sends an RST at once, and so does close() with SO_LINGER 0; the header
  is one. The last answer of a conversation is never answered itself, so a
  client that aborts after it shows the same packets whether it read or not. So
  does a server that drops a request on purpose ("return 444" of nginx with
  reset_timedout_connection). Where the answer may be missing in the capture it
  is abortive-close, possible at most.
  A close a second and more after the server's close_notify (24 octets in TLS
  1.3) and FIN, which leaves just that unread. A remark.
  A health check: the client's RST right after the server's greeting, or in
  answer to the server's FIN when all was said. A remark.
  A keepalive probe with an octet of garbage after the close: no payload.
  A listening socket that is closed: what its application had not accepted yet
  is reset by the kernel, with the first request unread.
  An abort after idleness. A pool that resets its connections 30 s after the
  last response had read it all, most likely. A constant time before the RST
  (idle-timeout-close) speaks for that.
  Payload sent after the FIN had been acknowledged: write-after-fin.
  Payload that came long after a FIN and does not acknowledge it: that FIN was
  lost. Possible at most, and fin-unacked where it was repeated.
  An RST by a host that has no such socket: bare header, it answers a segment.

What it usually is
  An HTTP server that rejects an upload and closes before it has read the body,
  so that the client loses the error page too; a client that stops reading; a
  process that was killed with payload in its receive buffer. After the last
  answer: a load balancer's check (HAProxy's "option httpchk"), or a client that
  sets SO_LINGER 0 to avoid TIME_WAIT.

What to do
  Where payload was unread: read until end of file before close(), or shutdown()
  the sending half and read on for a while ("lingering close").
  Where it is SO_LINGER 0: close with a FIN, and to save ports keep connections
  open and reuse them. For a health check leave it.

What would prove it
  On the closer's host: Recv-Q above 0 just before the close, TCPAbortOnClose or
  TCPAbortOnData counting up in nstat: the former for payload unread, the latter
  for SO_LINGER 0, and for payload after the FIN. A trace of the process shows
  recv() and setsockopt().`

// missingBeforeFIN is how many octets before a side's FIN the capture lacks and
// the peer never acknowledged, where the peer acknowledged all others.
func missingBeforeFIN(f *reassembly.Flow, s tcp.Side) uint32 {
	d, ack := f.Endpoint(s), f.Endpoint(s.Other()).Ack
	if gap := d.FINEnd.Sub(ack) - 1; sentFIN(f, s) && gap > 0 && uint64(ack.Sub(d.ISS))-1 == d.PayloadBytes {
		return uint32(gap)
	}
	return 0
}

func checkUnread(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetUnread {
		return
	}
	n := unreadAtAbort(f)
	if f.Reset.AfterFIN {
		n = unreadAfterFIN(f)
	}
	if n.rests(f, onPayload) {
		emit(n)
	}
}

// unreadAfterFIN is the finding on an RST for payload that came after the FIN of
// the side that sent the RST, or that was on its way then.
func unreadAfterFIN(f *reassembly.Flow) Finding {
	r := &f.Reset
	s, o := r.By, r.By.Other()
	p := f.Endpoint(o)
	payload := Evidence{Ref: p.LastDataRef, At: p.LastData, Side: o, says: asLastPayload}
	size, sure := p.LastDataLen, Certain
	story := "reset the connection %s after the %s's %s, which came after it had closed: it closed while payload was on its way"
	switch closed := f.Endpoint(s).FINAt; {
	case payload.At < closed:
		sure = Likely
		story = "reset the connection %s after the %s's %s, which it never acknowledged: it closed while payload was on its way"
	case payload.At-closed > patience(f):
		sure = Possible
		story = "reset the connection %s after the %s's %s, which came so long after its FIN that this had not arrived, or payload was on its way for as long"
	}
	if gap := missingBeforeFIN(f, o); gap > 0 {
		payload, size, sure = finEvidence(f, o), gap, Possible
		story = "reset the connection %s after the %s's FIN, before which %s are missing here: it closed while they were on their way, or they were written after it had closed"
	}
	if l, ok := findLatePayload(f); ok {
		payload, size, sure = l.Evidence, l.octets, Likely
		if l.fresh {
			story = "had gone on reading after its FIN, and reset the connection %s after the %s's %s: it closed with payload unread"
		}
	}
	// The RST itself may announce a window: that of a buffer thrown away.
	shut := shutEvidence(f, r.Shut || heldBack(f, o))
	if shut.Ref != 0 {
		story = "reset the connection %s after the %s's %s, while its own window was closed: it had not read on, and closed with payload unread"
	}
	n := newFinding(f, app(f, s), sure, finEvidence(f, s), shut, payload, rstEvidence(f))
	n.Duration = r.At - payload.At
	n.say = unreadWords(story, size)
	return n
}

// unreadAtAbort is the finding on an RST by a live socket after payload that it
// had not answered. close() with payload unread and SO_LINGER 0 send the same
// RST: what tells them apart, if anything, is what else is lost with it.
func unreadAtAbort(f *reassembly.Flow) Finding {
	r := &f.Reset
	s, o := r.By, r.By.Other()
	p := f.Endpoint(o)
	last, size := Evidence{Ref: p.LastDataRef, At: p.LastData, Side: o, says: asLastPayload}, p.LastDataLen
	unread := Evidence{Ref: r.UnreadRef, At: r.UnreadAt, Side: o}
	if unread.Ref != 0 && unread.Ref != last.Ref {
		unread.What, size = fmt.Sprintf("the %s's payload, which was not answered", role(f, o)), 0
	}
	story, sure, mild := leftUnread(f)
	n := newFinding(f, app(f, s), max(sureOfAbort(f), sure), shutEvidence(f, r.Shut), last, unread, rstEvidence(f))
	n.Duration = r.At - unreadSince(f)
	n.say = unreadWords(story, size)
	if mild {
		n.Severity = Info
	}
	return n
}

// shutEvidence is where the side that reset the connection had closed its window,
// if it was still closed then.
func shutEvidence(f *reassembly.Flow, still bool) Evidence {
	m := lastMark(f, f.Reset.By, reassembly.ZeroWindow)
	if !still || m == nil {
		return Evidence{}
	}
	return markEvidence(m, fmt.Sprintf("the %s closes its window", role(f, m.Side)))
}

// unreadSince is when the last payload before an RST passed, or the RST itself
// where only payload after it is known.
func unreadSince(f *reassembly.Flow) int64 {
	if f.Reset.UnreadAt != 0 {
		return f.Reset.UnreadAt
	}
	return min(f.Reset.At, f.Endpoint(f.Reset.By.Other()).LastData)
}

// leftUnread tells what an RST by a live socket did to the payload before it,
// how sure it is that some was left unread, and whether that is a mere remark.
func leftUnread(f *reassembly.Flow) (story string, sure Confidence, mild bool) {
	r := &f.Reset
	p := f.Endpoint(r.By.Other())
	late := r.At-unreadSince(f) >= max(leastIdle, patience(f))
	switch {
	case r.Shut:
		return "reset the connection %s after the %s's last %s, and its own window was closed: it closed with payload unread", Likely, false
	case interrupted(f):
		return "reset the connection %s after the %s's last %s, and more of it passed behind the RST: it closed in the middle of a stream that it had not read to the end", Likely, false
	case onItsWay(f) && r.Unacked <= alert:
		// Perhaps a goodbye that nobody waits for.
		return "reset the connection %s after the %s's last %s, while " + octets(r.Unacked) + " were on their way: SO_LINGER 0, or a close that did not wait for them", Possible, toldAll(f)
	case onItsWay(f):
		return "reset the connection %s after the %s's last %s, while " + octets(r.Unacked) + " were on their way: it did not read to the end", Likely, false
	case greetedOnly(f):
		return "opened the connection and aborted it with an RST %s after the %s's first %s, without a word of its own: a health check, or a scan", Possible, true
	case late:
		// There was time to read it all, and the last answer is never answered.
		return "reset the connection %s after the %s's last %s, which it acknowledged and did not answer: an abort after that silence, or a close with payload unread" + orKeepalive(f), Possible, toldAll(f) && closesTLS(p.LastDataLen)
	case asked(f):
		return "reset the connection %s after the %s's last %s, which it acknowledged and did not answer: it closed with payload unread, or aborted (SO_LINGER 0)", Likely, false
	case toldAll(f):
		return "aborted the connection %s after the %s's last %s and its FIN, when nothing more was to come: SO_LINGER 0, as of a health check, or a close with payload unread", Possible, true
	}
	return "aborted the connection %s after the %s's last %s: SO_LINGER 0, or a close with payload unread", Possible, false
}

// orKeepalive names keepalive where the RST came when a probe was due.
func orKeepalive(f *reassembly.Flow) string {
	if run, _ := keepalives(f); onProbeTimer(f, &run) {
		return ", or keepalive that gave up because the answers to its probes did not arrive"
	}
	return ""
}

// onItsWay reports that payload had just passed, when the RST did, that the
// sender of the RST had not received.
func onItsWay(f *reassembly.Flow) bool {
	r := &f.Reset
	return r.Unacked > 0 && r.At-f.Endpoint(r.By.Other()).LastData <= crossing(f)
}

// interrupted reports that the peer was still sending: payload of some size
// passed after the RST, too early for the peer to have known of it.
func interrupted(f *reassembly.Flow) bool {
	p := f.Endpoint(f.Reset.By.Other())
	after := p.LastData - f.Reset.At
	return after > 0 && after <= crossing(f) && p.LastDataLen > alert
}

// greetedOnly reports a client that reset the connection right after the server's
// greeting: it wanted to know whether somebody listens.
func greetedOnly(f *reassembly.Flow) bool {
	p := f.Endpoint(f.Server())
	return checksPort(f) && silent(f, f.Client) && p.FINRef == 0 && p.PayloadBytes == uint64(p.LastDataLen)
}

// asked reports that the payload before the RST was a client's: a request, while
// a server's last payload is an answer, and nobody answers an answer.
func asked(f *reassembly.Flow) bool {
	return f.Reset.By != f.Client && f.Role != reassembly.RoleGuessed
}

// toldAll reports that a client had asked, and the server had sent its answer and
// its FIN: the RST took the place of the client's own FIN, and lost nothing that
// anybody waited for.
func toldAll(f *reassembly.Flow) bool {
	p := f.Endpoint(f.Server())
	return f.Reset.By == f.Client && f.Endpoint(f.Client).PayloadBytes > 0 && p.FINRef != 0 && p.FINAt < f.Reset.At
}

// unreadWords tells the story of a reset after payload of that size, 0 where it
// is not known.
func unreadWords(story string, size uint32) wordsOf {
	return func(f *reassembly.Flow, after int64) string {
		s, what := f.Reset.By, "payload"
		if size > 0 {
			what = octets(size)
		}
		return fmt.Sprintf("%s "+story, f.Addr(s), Span(after), role(f, s.Other()), what)
	}
}
