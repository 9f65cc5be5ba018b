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

Signature
  An RST with the header of a live socket, whose acknowledgement covers payload
  that the closer's application never answered, within a second (or some round
  trips, where those are longer) of that payload; or a FIN, and then an RST in
  answer to payload that was on its way when the application closed. Where the
  RST comes later than that the finding is no more than possible.

Look-alikes
  The same RST when all had been read: abortive-close. On the wire the two are
  alike; what decides is whether an answer followed the last payload, so this
  one is likely at most, unless the payload came after the close. Where that
  answer may be missing in the capture it is abortive-close, possible at most.
  A keepalive probe with an octet of garbage after the close: no payload.
  An abort after idleness: the last answer of a conversation is never answered
  itself. A pool that resets its connections 30 s after the last response had
  read it all, most likely. A constant time before the RST (idle-timeout-close)
  speaks for that.
  Payload sent after the FIN had been acknowledged: write-after-fin.
  An RST by a host that has no such socket: bare header, it answers a segment.

What it usually is
  An HTTP server that rejects an upload and closes before it has read the body,
  so that the client loses the error page too; a client that stops reading; a
  process that was killed with payload in its receive buffer.

What to do
  Read until end of file before close(), or shutdown() the sending half and read
  on for a while ("lingering close").

What would prove it
  On the closer's host: Recv-Q above 0 just before the close, TCPAbortOnClose or
  TCPAbortOnData counting up in nstat.`

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
	r := &f.Reset
	s, o := r.By, r.By.Other()
	p := f.Endpoint(o)
	payload := Evidence{Ref: r.UnreadRef, At: r.UnreadAt, Side: o, says: asLastPayload}
	size, sure := p.LastDataLen, max(sureOfAbort(f), Likely)
	story := "reset the connection %s after the %s's last %s, which its application had not answered: it closed with payload unread"
	if r.At-payload.At >= max(leastIdle, patience(f)) {
		// There was time to read it all, and the last answer is never answered.
		sure = Possible
		story = "reset the connection %s after the %s's last %s, which it acknowledged and did not answer: an abort after that silence, or a close with payload unread"
	}
	fin := Evidence{}
	if r.AfterFIN {
		fin = finEvidence(f, s)
		payload.Ref, payload.At, sure = p.LastDataRef, p.LastData, Certain
		story = "reset the connection %s after the %s's %s, which came after it had closed: it closed while payload was on its way"
		if payload.At < f.Endpoint(s).FINAt {
			sure = Likely
			story = "reset the connection %s after the %s's %s, which it never acknowledged: it closed while payload was on its way"
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
	}
	n := newFinding(f, app(f, s), sure, fin, payload, rstEvidence(f))
	n.Duration = r.At - payload.At
	n.say = unreadWords(story, size)
	if n.rests(f, onPayload) {
		emit(n)
	}
}

// unreadWords tells the story of a reset after payload of that size.
func unreadWords(story string, size uint32) wordsOf {
	return func(f *reassembly.Flow, after int64) string {
		s := f.Reset.By
		return fmt.Sprintf("%s "+story, f.Addr(s), Span(after), role(f, s.Other()), octets(size))
	}
}
