package diagnose

import (
	"fmt"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func rstOnDeadConnection() Rule {
	return Rule{
		ID:       "rst-on-dead-connection",
		Title:    "data after a silence met an RST",
		Severity: Warning,
		Doc:      rstOnDeadConnectionDoc,
		RFC:      []string{"RFC 9293 §3.5.1", "RFC 9293 §3.5.2", "RFC 1122 §4.2.3.6"},
		needs:    signReset,
		Check:    checkDead,

		byDistance: true,
	}
}

const rstOnDeadConnectionDoc = `What it means
  A connection was open, nothing closed it on the wire, or one FIN alone, and
  the next segment after a silence met an RST: whoever answered knows no such
  connection, or never took it. The sender's application gets ECONNRESET for
  what it had just written.

Signature
  A silence of one side; a segment of the other (payload, or a keepalive probe);
  an RST in answer to it, without the ACK flag and with the sequence number that
  the segment acknowledged, as a host sends it that has no such socket.
  Or, without any silence: what a client sends first, or next after a SYN-ACK,
  meets such an RST of a server that had sent nothing but SYN-ACKs. It had not
  accepted the connection: an accepted one it would have ended by a FIN, which
  comes again, or by an RST of a live socket. Likely; possible where the client
  had sent payload before, which may have been taken.
  After a FIN too, where the other side repeated its payload or its FIN at least
  three times, or for 3 s, before a repetition met the RST: possible.

Look-alikes
  An RST within a round trip of the client's acknowledgement of a SYN-ACK:
  accept-queue-overflow.
  An RST by the side that had closed, at the first or second try:
  write-after-fin, late-close-reset, time-wait-missing.
  An RST that answers a FIN: nothing is lost by it.
  An abort: it answers nothing and has the header of a live socket.
  A host that had given the connection up itself, after repeating its own
  payload in vain: retransmission-timeout.
  An RST that came before, was lost or did not pass the tap: the same packets,
  so this is likely at most, and after a silence of less than 3 s, in which no
  host restarts and no idle timer runs out, only possible. Before the server's
  first word that RST too would be the server's doing.
  A path that has changed in the silence, or a machine that answers for a
  container on it: the RST's time to live differs by a hop or two. It is a
  device's where it came over fewer routers than all that the host sent in at
  least three flows, its own RSTs to other SYNs included; otherwise nobody is
  blamed for it.
  A machine whose stack is not that of its containers or virtual machines, or
  another host that took over the address: the RST's time to live begins at
  another value, or it came from farther away. Nobody is blamed either.

What it usually is
  To a client's first words: a listener that was closed, or a process that
  ended, while connections waited for the last segment of their handshake: those
  the kernel drops without a word. Or tcp_abort_on_overflow, where that segment
  was lost and the accept queue full when the request came.
  Else a host that was restarted. A load balancer, NAT gateway or firewall with
  an idle timer shorter than the silence, which answers in the host's name: then
  the RST often comes from nearer than the host, and the verdict says so.
  Common timers: 60 s (AWS ALB, nginx, HAProxy examples), 240 s (Azure load
  balancer), 350 s (AWS NLB and NAT gateway), 600 s (Google Cloud), 900 s, and
  3600 s (many firewalls).

What to do
  Send keepalive probes more often than the shortest timer on the path, on the
  socket (TCP_KEEPIDLE), not with the default of two hours; or close idle
  connections before it. Test pooled connections before use. Stop a service only
  after the load balancer sends it no more.

What would prove it
  A capture behind the device, which does not show the segment arriving; the
  host's uptime; "conntrack -E" on the firewall at the moment of the timeout. Of
  what was never accepted: the service's log of restarts, and "nstat -az
  TcpExtListenOverflows".`

// idleTimers are the idle timeouts of common devices, longest first.
var idleTimers = [...]struct {
	after time.Duration
	whose string
}{
	{3600 * time.Second, "many firewalls"},
	{900 * time.Second, "some firewalls and proxies"},
	{600 * time.Second, "Google Cloud's firewall"},
	{350 * time.Second, "AWS NLB and NAT gateway"},
	{240 * time.Second, "Azure's load balancer"},
	{60 * time.Second, "AWS ALB and many proxies"},
}

// forgets is the least silence after which it is plausible that a host or a
// device has forgotten a connection, ns: a kernel takes seconds to come back, and
// idle timers are longer still. After less, the packet that ended the connection
// is rather missing in the capture.
const forgets = 3e9

// neverAccepted reports a server that sent nothing but its SYN-ACK, again and again:
// it stood in SYN_RCVD, which its host gives up after a minute or so.
func neverAccepted(f *reassembly.Flow, s tcp.Side) bool {
	d := f.Endpoint(s)
	return s == f.Server() && d.Packets == d.SYN+d.RST && lastMark(f, s, reassembly.SYNACKAgain) != nil
}

// neverTaken reports an RST for want of a socket in answer to what the client sent
// first, or next after a SYN-ACK, while the server's host would still have held a
// connection that was opening. One that closes what it had taken says so, by a FIN
// that it repeats or an RST of a live socket.
func neverTaken(c *Context, f *reassembly.Flow) bool {
	r := &f.Reset
	if !hadNoSocket(f) || f.Handshake.ACKRef == 0 || r.AnswerAt-r.HeardAt > int64(c.Profile.SYNACK) || answersFIN(f) || answersNearer(f) {
		return false
	}
	_, _, ok := abortedACK(f)
	return !ok // else accept-queue-overflow
}

func checkNeverTaken(f *reassembly.Flow, emit func(Finding)) {
	r, p := &f.Reset, f.Endpoint(f.Client)
	idle := r.AnswerAt - r.HeardAt
	sure, what, gone := Likely, "first payload", "its listener was closed or its process ended"
	switch sent := p.Nxt.Sub(p.ISS.Add(1)); {
	case sent == 0:
		what = "acknowledgement"
	case uint32(sent) != p.LastDataLen || r.InAnswerTo != p.LastDataRef && r.InAnswerTo != p.RepeatRef:
		sure, what = Possible, "segment" // the payload before it may have been taken
	}
	if r.Class != reassembly.ResetPassive || survived(f) {
		sure = Possible
	}
	had := "had sent nothing but its SYN-ACK"
	if neverAccepted(f, r.By) {
		had = "had repeated its SYN-ACK, so that it had not taken the last segment of the handshake"
	}
	if idle >= forgets {
		gone += ", or it was restarted,"
	}
	n := newFinding(f, ServerApp, sure, synACKEvidence(f, "the server's SYN-ACK"),
		Evidence{Ref: f.Handshake.ACKRef, At: f.Handshake.ACK, Side: f.Client, What: "the client's acknowledgement: to the client the connection is open"},
		Evidence{Ref: r.HeardRef, At: r.HeardAt, Side: r.By, What: "the server's SYN-ACK again"},
		Evidence{Ref: r.InAnswerTo, At: r.AnswerAt, Side: f.Client, What: fmt.Sprintf("the client's %s after %s", what, Span(idle))}, rstEvidence(f))
	n.Duration = idle
	n.Verdict = fmt.Sprintf("%s met an RST in the name of %s with its %s, %s after the SYN-ACK: the server's host had no such socket and %s; %s before the connection was accepted, or the accept queue was full when this came (tcp_abort_on_overflow) and the handshake's last segment had been lost, or an RST that it had sent before did not pass the tap",
		f.Addr(f.Client), f.Addr(r.By), what, Span(idle), had, gone)
	if n.rests(f, onSilence) {
		emit(n)
	}
}

func checkDead(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetDead {
		return
	}
	if neverTaken(c, f) {
		checkNeverTaken(f, emit)
		return
	}
	r := &f.Reset
	s, o := r.By, r.By.Other()
	idle := r.AnswerAt - r.HeardAt
	sure := Likely
	if r.Class != reassembly.ResetPassive {
		sure = Possible
	}
	who, why := host(f, s), "its host no longer knew the connection: it was restarted, or something on the path let the connection die"
	switch own := f.Endpoint(s).TTL; {
	case ofDevice(f):
		who = Middlebox
		why = fmt.Sprintf("the RST's time to live (%d) is not that host's (%d), so something on the path must have forgotten the connection and answered in its name",
			r.TTL, own)
	case foreign(f):
		who = Unknown
		why = fmt.Sprintf("whoever answered no longer knew the connection: the RST's time to live is %d and that of the host's segments was %d, so another stack sent it: that of the machine on which that host is a container or a virtual one, that of another host which has its address now, or something on the path", r.TTL, own)
	case nearer(f) > 0:
		who = Unknown // see Settle
		why = fmt.Sprintf("whoever answered no longer knew the connection: the RST's time to live is %d and that of the host's segments was %d, so the path has changed, something on it answered in its name, or the machine did on which that host is a container", r.TTL, own)
	}
	if neverAccepted(f, s) {
		why = "it had never taken the last segment of the handshake (it repeated its SYN-ACK), and had given the connection up by then"
	}
	if idle < forgets {
		who, sure = Unknown, Possible
		why = "its host had no such socket any more, and after so short a silence that is rather because of a FIN or an RST that did not pass the tap than because the host was restarted"
	}
	if r.AfterFIN && who != Middlebox {
		who = Unknown
		why = "after its FIN either its host was down and came back without the socket, or the path was, and there was no socket any more to take what came"
	}
	for _, t := range idleTimers {
		if idle >= int64(t.after) && !r.AfterFIN {
			why += fmt.Sprintf(" (the silence was longer than the %s of %s)", Span(int64(t.after)), t.whose)
			break
		}
	}
	n := newFinding(f, who, sure,
		Evidence{Ref: r.HeardRef, At: r.HeardAt, Side: s, What: fmt.Sprintf("the last that is heard of the %s", role(f, s))},
		Evidence{Ref: r.InAnswerTo, At: r.AnswerAt, Side: o, What: fmt.Sprintf("the %s's segment after %s", role(f, o), Span(idle))},
		rstEvidence(f))
	switch d := f.Endpoint(s); {
	case r.AfterFIN:
		n.lower(f, Possible, 0) // it may have closed, and its answers been lost
	case mayHaveClosed(f, s):
		n.lower(f, Possible, reassembly.QualityMidstream)
	case f.Endpoint(o).Ack.Less(d.Nxt):
		n.lower(f, Possible, 0) // it may have given up its own payload
	}
	n.Duration = idle
	if idle >= forgets && who != Middlebox {
		n.Slot = slotOfRST(f)
	}
	n.Verdict = fmt.Sprintf("%s met an RST in the name of %s, of which nothing had been heard for %s: %s",
		f.Addr(o), f.Addr(s), Span(idle), why)
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}
