package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func acceptQueueOverflow() Rule {
	return Rule{
		ID:       "accept-queue-overflow",
		Title:    "the listener does not accept fast enough",
		Severity: Error,
		Doc:      acceptQueueDoc,
		RFC:      []string{"RFC 9293 §3.10.7.4", "RFC 9293 §3.5", "RFC 4987 §3.6"},
		Replaces: []string{"handshake-ack-lost"},
		Covers:   []string{"syn-unanswered", "syn-retransmitted"},
		needs:    signRevised | signRepeats | signReset,
		Check:    checkAcceptQueue,
		New:      func() Collector { return &fullQueues{} },
	}
}

const acceptQueueDoc = `What it means
  The queue of connections that wait for accept() is full. The client believes
  that it is connected and sends its request; the server's kernel throws the
  acknowledgement and the request away until there is room.

Signature
  Four faces, as Linux shows them:
  The acknowledgement is ignored: the server sends its SYN-ACK again after the
  client's acknowledgement has passed, and ignores the client's data too, or
  does so at least twice. Certain where that SYN-ACK echoes the timestamp of
  data that the client had repeated, as Linux sends it before 6.14: they had
  arrived. Without, likely at most, next to the server too.
  SYN cookies: the SYN-ACK is never repeated, the client's data are, three times
  and more, and nothing comes from the server; possible, and nobody is blamed.
  Likely where the capture is next to the server, or where the server answers at
  last and its timestamps tell that the SYN-ACK was a cookie: those of Linux lag
  behind its clock by up to 64 ms.
  An RST without ACK, window and options answers the acknowledgement, or that of
  the same SYN-ACK sent again (tcp_abort_on_overflow); likely.
  The SYN is dropped in silence, which the listener's other connections tell:
  SYNs come again and none is answered meanwhile, and the application answers
  none of the connections that are younger than any that was served, for a
  second and more, although the kernel has acknowledged what they ask for. That
  neither host nor path is down shows where the kernel acknowledges something
  meanwhile; where the application then answers at once several that had asked
  one after another; or where it answers one, and another port had answered a
  SYN meanwhile. Likely with two such connections, possible with one, or with
  nothing but that other port; never certain.

Look-alikes
  A third segment that was lost: one SYN-ACK more, and all goes on
  (handshake-ack-lost). A way from the tap to the server that loses it again and
  again, and the data: possible at most where it loses the FIN later too.
  TCP_DEFER_ACCEPT: one SYN-ACK more, and the client has
  sent no data.
  A path that drops large segments: the first data is of full size.
  A path that loses everything for seconds after the handshake: the capture on
  the client's side cannot tell it from SYN cookies. It is rather the path, and
  possible at most, where the server's timestamps tell that its SYN-ACK was no
  cookie, and where connections that the host had answered before stall for at
  least half of that time: whoever accepts, its kernel would acknowledge those.
  A listener that was closed in that moment: the same RST. Where it answers what
  the client sends later, either may be: rst-on-dead-connection.
  A receiver that does not read: its kernel still acknowledges.
  A firewall that drops the SYNs of one client, or of all: then a connection
  that was opened later is answered, or a SYN is. Where all SYNs are dropped and
  the application is slow besides, the packets are the same.
  A host or path that is down: nothing is acknowledged in that time, and no
  other port answers.

What it usually is
  An application that hangs, or whose workers are all busy, or a backlog too
  small for the bursts that come.

What to do
  Find out what the accepting thread does. Raise the backlog given to listen()
  and net.core.somaxconn (4096 since Linux 5.4): the lower of the two counts.
  Leave tcp_abort_on_overflow at 0. SYN cookies hide the overflow and do not
  cure it.

What would prove it
  "ss -ltn": Recv-Q above Send-Q for the listener. "nstat -az
  TcpExtListenOverflows", which counts each drop.`

func checkAcceptQueue(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.SYNACKRef == 0 || h.ACKRef == 0 || h.Outcome == reassembly.Simultaneous {
		return
	}
	n, on, ok := ackIgnored(f)
	if !ok {
		n, on, ok = cookieSilence(f)
	}
	if !ok {
		n, on, ok = abortOnOverflow(f)
	}
	if ok && n.rests(f, on) {
		emit(n)
	}
}

// acceptedAt is when the server first showed that it had taken the connection,
// as far as the client's repetitions tell: 0 when it never did.
func acceptedAt(f *reassembly.Flow) int64 { return f.Endpoint(f.Server()).FirstPlain }

// ignoredSpan is how long the client was ignored after its acknowledgement, and
// how the sentence on that ends.
func ignoredSpan(f *reassembly.Flow, from int64) (ns int64, words string) {
	if at := acceptedAt(f); at != 0 {
		return at - from, fmt.Sprintf("for %s", Span(at-from))
	}
	return f.Until - from, fmt.Sprintf("for %s%s", Span(f.Until-from), soFar(f, " so far", ", until the end"))
}

// firstDataEvidence is the client's first payload, where it was repeated.
func firstDataEvidence(f *reassembly.Flow) Evidence {
	c := f.Endpoint(f.Client)
	return Evidence{Ref: c.FirstDataRef, At: c.FirstData, Side: f.Client,
		What: fmt.Sprintf("the client's first %s, repeated %s without an answer", octets(c.FirstDataLen), times(c.EarlyRepeats))}
}

// firstPlainEvidence is the server's first sign of life after that.
func firstPlainEvidence(f *reassembly.Flow) Evidence {
	s := f.Endpoint(f.Server())
	return Evidence{Ref: s.FirstPlainRef, At: s.FirstPlain, Side: f.Server(), What: "the server answers at last"}
}

// ackIgnored asks whether the server went on repeating its SYN-ACK although the
// client acknowledged it and sent data.
func ackIgnored(f *reassembly.Flow) (n Finding, on basis, ok bool) {
	ack, again := ignoredACK(f)
	if ack == nil {
		return n, 0, false
	}
	c, s := f.Endpoint(f.Client), f.Endpoint(f.Server())
	repeats := countMarks(f, f.Server(), reassembly.SYNACKAgain, again.At)
	// The client's timer doubles: the copy before the last passed half-way. If
	// that was after the client had acknowledged the SYN-ACK again, a loss of the
	// first acknowledgement does not explain why it was ignored.
	data := c.EarlyRepeats >= 2 && c.FirstData/2+c.LastEarlyRepeat/2 > again.At
	// What passed the tap may be lost behind it, however near the server is, and
	// for as long. Only the server can say that it had the data.
	echo := firstMark(f, f.Server(), reassembly.SYNACKEchoes, again.At)
	if data = data || echo != nil; !data && repeats < 2 {
		return n, 0, false
	}
	sure, heard := Possible, Evidence{}
	switch {
	case echo != nil:
		sure, heard = Certain, markEvidence(echo, "the server's SYN-ACK again, with the timestamp of the client's data: it had them, and did not take them")
	case losesLater(f):
	case data, repeats >= 3, nearServer(f):
		sure = Likely
	}
	n = newFinding(f, ServerApp, sure, heard,
		Evidence{Ref: f.Handshake.SYNACKRef, At: f.Handshake.SYNACK, Side: f.Server(), What: "the server's SYN-ACK"},
		Evidence{Ref: ack.Ref, At: ack.At, Side: f.Client, What: "the client's acknowledgement passes"},
		Evidence{Ref: again.Ref, At: again.At, Side: f.Server(), What: "the server sends its SYN-ACK again, so it did not take that"},
		firstDataEvidence(f), firstPlainEvidence(f))
	span, words := ignoredSpan(f, ack.At)
	what := "the client's acknowledgement"
	if data {
		what = "the client's acknowledgement and data"
	}
	n.Duration, n.Censored = span, acceptedAt(f) == 0 && s.Packets == s.SYN
	if acceptedAt(f) == 0 {
		span = lastMark(f, f.Server(), reassembly.SYNACKAgain).At - ack.At
		n.Duration, words = span, fmt.Sprintf("for %s at least", Span(span))
	}
	if sure == Likely {
		n.Slot = slotIgnored
	}
	n.Verdict = fmt.Sprintf("%s ignored %s %s and sent its SYN-ACK again %s: its accept queue is full, the application does not accept fast enough",
		f.Addr(f.Server()), what, words, times(repeats))
	return n, onSilence | onClock, true
}

// losesLater reports that the way from the tap to the server lost the client's FIN
// when the server had taken the connection: it may have lost what went before.
func losesLater(f *reassembly.Flow) bool {
	at := acceptedAt(f)
	return at != 0 && countMarks(f, f.Client, reassembly.FINAgain, at) > 0
}

// cookieSilence asks whether the server, having answered the SYN, neither
// repeats its SYN-ACK nor takes the client's data: it keeps no state.
func cookieSilence(f *reassembly.Flow) (n Finding, on basis, ok bool) {
	const (
		repeats = 3    // fewer may be lost one by one
		timer   = 1e9  // after which a SYN-ACK that is not acknowledged comes again (RFC 6298 §2)
		large   = 1200 // octets that a tunnel or PPPoE may be too narrow for
	)
	h, c := &f.Handshake, f.Endpoint(f.Client)
	s := f.Endpoint(f.Server())
	if c.EarlyRepeats < repeats || c.FirstData < h.ACK || firstMark(f, f.Server(), reassembly.SYNACKAgain, 0) != nil {
		return n, 0, false
	}
	span, words := ignoredSpan(f, h.ACK)
	if span < timer+2*f.RTT || acceptedAt(f) == 0 && s.Packets > s.SYN {
		return n, 0, false
	}
	who, sure := Unknown, Possible
	why := "the path or a firewall lost it, or its answer, or its accept queue is full behind SYN cookies"
	switch cookie, told := bearsCookie(f); {
	case told && !cookie:
		who = Path
		why = "the path or a firewall lost it, or its answer: the SYN-ACK's timestamp is that of its clock, and no SYN cookie's as Linux sends it, without which a listener whose accept queue is full repeats its SYN-ACK"
	case c.FirstDataLen < large && (nearServer(f) || cookie && c.EarlyRepeats > repeats):
		who, sure = ServerApp, Likely
		why = "its accept queue is full behind SYN cookies, or the path drops what follows the handshake"
	}
	n = newFinding(f, who, sure,
		Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: "the server's SYN-ACK, never repeated"},
		Evidence{Ref: h.ACKRef, At: h.ACK, Side: f.Client, What: "the client's acknowledgement"},
		firstDataEvidence(f), firstPlainEvidence(f))
	n.Duration, n.Censored = span, acceptedAt(f) == 0
	if who != Path {
		n.Slot = slotIgnored
	}
	n.Verdict = fmt.Sprintf("%s did not answer the client's data %s, sent %s, nor ever repeat its SYN-ACK: %s",
		f.Addr(f.Server()), words, times(c.EarlyRepeats+1), why)
	return n, onSilence | onClock, true
}

// bearsCookie reports whether the server's SYN-ACK was a SYN cookie of Linux, where
// its timestamps tell: in the lowest six bits of a cookie's stand what the SYN
// offered, and all of it lags behind the server's clock by up to 64 ticks of a
// millisecond (cookie_init_timestamp in net/ipv4/syncookies.c).
func bearsCookie(f *reassembly.Flow) (cookie, told bool) {
	const (
		tick, most = 1e6, 64e6 // ns
		drift      = 5000      // of two clocks, less than one in
	)
	s := f.Endpoint(f.Server())
	lasted := s.LastAt - f.Handshake.SYNACK
	if !s.HasSYNTSVal || !s.Timestamps || s.RST > 0 || acceptedAt(f) == 0 || f.Quality&reassembly.QualityClockStep != 0 {
		return false, false
	}
	lag := int64(int32(s.LastTSVal-s.SYNTSVal))*tick - lasted
	jitter := 3*tick + f.RTT/16 + lasted/drift
	if jitter > most/4 || lag < -jitter || lag > most+jitter {
		return false, false // or its clock has other ticks
	}
	return lag > jitter, true
}

// hadNoSocket reports that an RST for want of a socket ended a connection of
// which the server had sent nothing but its SYN-ACK: it answers whatever the
// client sent next.
func hadNoSocket(f *reassembly.Flow) bool {
	r, s := &f.Reset, f.Endpoint(f.Server())
	if r.Ref == 0 || r.By != f.Server() || r.HasACK || r.Class == reassembly.ResetActive || r.InAnswerTo == 0 ||
		f.Handshake.SYNACKRef == 0 || s.Packets != s.SYN+s.RST || foreign(f) {
		return false
	}
	for _, kind := range [...]reassembly.MarkKind{reassembly.RSTInexact, reassembly.RSTIgnored} {
		if m := firstMark(f, f.Server(), kind, 0); m != nil && m.At <= r.At {
			return false // that one may have ended what it had taken
		}
	}
	m := firstMark(f, f.Server(), reassembly.RSTSent, f.Handshake.ACK)
	return m != nil && m.Ref == r.Ref && m.Packet.Number == uint32(s.ISS.Add(1))
}

// abortedACK is the client's acknowledgement of the server's latest SYN-ACK, which
// that repeats where the first acknowledgement was lost, if an RST answered it.
func abortedACK(f *reassembly.Flow) (ack, again Evidence, ok bool) {
	h, r := &f.Handshake, &f.Reset
	soon := f.RTT + max(f.RTT/2, 20e6)
	ack = Evidence{Ref: h.ACKRef, At: h.ACK, Side: f.Client, What: "the client's acknowledgement"}
	if m := lastMark(f, f.Server(), reassembly.SYNACKAgain); m != nil && h.ACK < m.At && m.At <= r.AnswerAt && r.AnswerAt-m.At <= soon {
		again = markEvidence(m, "the server's SYN-ACK again")
		ack.Ref, ack.At = r.InAnswerTo, r.AnswerAt
	}
	return ack, again, hadNoSocket(f) && r.Class == reassembly.ResetPassive && r.At-ack.At <= soon
}

// abortOnOverflow asks whether the server's host answered the acknowledgement
// of its own SYN-ACK with an RST, as if it had never sent that.
func abortOnOverflow(f *reassembly.Flow) (n Finding, on basis, ok bool) {
	ack, again, ok := abortedACK(f)
	if !ok {
		return n, 0, false
	}
	h, r, c := &f.Handshake, &f.Reset, f.Endpoint(f.Client)
	sure := Likely
	if r.TTL != f.Endpoint(f.Server()).TTL || survived(f) || ack.Ref == c.LastDataRef || ack.Ref == c.FINRef {
		sure = Possible // the last two: a bare acknowledgement before may be missing
	}
	n = newFinding(f, ServerApp, sure,
		Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: "the server's SYN-ACK"}, again, ack, rstEvidence(f))
	n.Duration = r.At - ack.At
	n.Verdict = fmt.Sprintf("%s answered the acknowledgement of its own SYN-ACK with an RST after %s: its accept queue is full and tcp_abort_on_overflow is set, or the listener was closed in that moment",
		f.Addr(f.Server()), Span(n.Duration))
	return n, onPackets, true
}
