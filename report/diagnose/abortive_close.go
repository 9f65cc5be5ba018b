package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func abortiveClose() Rule {
	return Rule{
		ID:       "abortive-close",
		Title:    "a live socket was aborted with an RST",
		Severity: Warning,
		Doc:      abortiveCloseDoc,
		RFC:      []string{"RFC 9293 §3.9.1", "RFC 9293 §3.10.5", "RFC 1122 §4.2.2.13"},
		needs:    signReset,
		Check:    checkAbort,
	}
}

const abortiveCloseDoc = `What it means
  One side ended the connection with an RST instead of a FIN, although it had
  nothing left to read. The peer's application sees ECONNRESET instead of an end
  of file, and whatever was on its way is lost. Where a client does so at once,
  before either side has sent anything, nothing is lost, and the finding is a
  remark.

Signature
  An RST out of ESTABLISHED or CLOSE_WAIT that answers nothing, with the header
  of a live socket (Linux: ACK flag, a window, options, an IP identification),
  after all payload of the peer had been answered, or when there was none. Where
  octets before it were lost the peer asks back (a challenge ACK) and meets no
  socket: likely.

Look-alikes
  Payload left unread: the header is the same, so what was read decides
  (rst-unread-data). The last answer of a conversation is never answered itself:
  where an RST comes after it, rst-unread-data says that it may be either. Where
  payload was acknowledged that the capture lacks, where the answer to the last
  of it may be missing, or where only one direction was captured, the two cannot
  be told apart: this one is possible at most, and the verdict says what is
  missing.
  A health check, or a scan that completes the handshake: no payload, and the
  client's RST right after its ACK.
  A close behind a closed window: while the peer's window is zero a FIN cannot
  leave, so the application may have closed long before the RST. The verdict
  names the window, and the finding is likely at most (close-behind-zero-window
  is the same without an RST).
  An RST by a host that has no such socket: bare header, it answers a segment;
  no abort.
  Keepalive that gave up: the RST comes where the next probe was due
  (keepalive-failed). After probes that were answered here it is possible, and
  the verdict names both, for the answers may be lost behind the tap.
  Payload repeated at least three times in vain: retransmission-timeout. After a
  repetition or two no host gives up, but an application with a time limit may:
  likely, and the verdict says what was not acknowledged, and for how long.
  A half-open scan, a refusal: the connection never was established.
  A listening socket that is closed: what its application has not accepted yet
  is reset by the kernel, and there the server has sent no payload. Likely, and
  the verdict names both; several at one moment are rst-listener-closed.
  An RST whose time to live is not the host's: somebody else may have sent it.

What it usually is
  SO_LINGER with a time of 0, set to avoid TIME_WAIT; a runtime's "abort" or
  "destroy"; "ss -K"; a browser that drops idle connections; with no payload at
  all a load balancer's health check.

What to do
  Close with a FIN. SO_LINGER 0 throws away unsent payload and tells the peer
  of an error: it is no cure for TIME_WAIT, which costs the side that accepts
  connections no port. To save ports, keep connections open and reuse them.

What would prove it
  A trace of the process: setsockopt(SO_LINGER) with a time of 0 before close().`

func checkAbort(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetAbort {
		return
	}
	r := &f.Reset
	s := r.By
	evidence := []Evidence{rstEvidence(f)}
	if r.SenderState == fsm.CloseWait {
		evidence = append(evidence, finEvidence(f, s.Other()))
	}
	sure, at, read := sureOfAbort(f), r.At, whatWasRead(f)
	if m := confirmedAbort(f); m != nil {
		sure, at, read = Likely, m.At, "what it sent just before was lost"
		evidence = append(evidence, markEvidence(m, "its RST, which stands beyond octets that were lost and is therefore challenged"))
	}
	why := whyAborted(f)
	missing, missed := unreadUnseen(f)
	if missing {
		read = missed
	}
	n := newFinding(f, app(f, s), max(sure, why.sure), append(evidence, why.shown...)...)
	if missing {
		n.lower(f, Possible, reassembly.QualityCaptureLoss|reassembly.QualityOneWay|reassembly.QualityMidstream)
	}
	if mayHaveClosed(f, s) {
		n.lower(f, Possible, reassembly.QualityMidstream)
	}
	switch {
	case checkOnly(f):
		n.Severity = Info
		n.Verdict = fmt.Sprintf("%s opened the connection and aborted it with an RST %s later, before either side had sent anything: a health check, or a scan",
			f.Addr(s), Span(at-f.Handshake.ACK))
	default:
		n.say = abortWords(at, read+why.words)
	}
	if n.rests(f, onPayload) {
		emit(n)
	}
}

// abortWords tells of an abort at a time, what the side had read, and why no FIN
// was seen.
func abortWords(at int64, story string) wordsOf {
	return func(f *reassembly.Flow, _ int64) string {
		after := ""
		if !f.Midstream {
			after = " " + Span(at-f.Start) + " after it opened,"
		}
		return fmt.Sprintf("%s aborted the connection with an RST out of %s,%s %s",
			f.Addr(f.Reset.By), f.Reset.SenderState, after, story)
	}
}

// whatWasRead says what an abort leaves unread, where all payload was captured.
func whatWasRead(f *reassembly.Flow) string {
	p := f.Endpoint(f.Reset.By.Other())
	switch {
	case f.Reset.Unacked > 0:
		return fmt.Sprintf("and never acknowledged the %s's last %s, which may not have reached it",
			role(f, f.Reset.By.Other()), octets(f.Reset.Unacked))
	case p.PayloadBytes > 0:
		return "though it had answered all that it received"
	}
	return "though there was nothing for it to read"
}

// cause is why a side may have aborted.
type cause struct {
	sure  Confidence // at most
	words string
	shown []Evidence
}

// whyAborted looks for what the side that aborted had been waiting for.
func whyAborted(f *reassembly.Flow) cause {
	r := &f.Reset
	s, o := r.By, r.By.Other()
	if shut := lastMark(f, o, reassembly.ZeroWindow); r.PeerShut && shut != nil {
		return cause{Likely, heldBackWords(f, shut), []Evidence{markEvidence(shut, fmt.Sprintf("the %s closes its window", role(f, o)))}}
	}
	run, _ := keepalives(f)
	vain := probes(f, s, f.Reset.PeerAt)
	switch left := unacknowledged(f); {
	case onProbeTimer(f, &run):
		return afterProbe(f, Possible, run.last,
			"in step with the probes before: its application aborted, or its host gave up because their answers did not arrive")
	case vain.n > 0:
		return afterProbe(f, Likely, vain.last,
			"which had no answer yet, before the next was due: its application did not wait for that")
	case left > 0:
		return afterRepeats(f, left)
	case answersUnread(f):
		return cause{sure: Likely, words: ": its application aborted, or closed with some of that unread"}
	case s == f.Server() && r.SenderState == fsm.Established && silent(f, s):
		return cause{sure: Likely, words: ": its application did not close with a FIN, or had not accepted it yet when it closed the listening socket"}
	}
	return cause{sure: Certain, words: ": its application did not close with a FIN"}
}

// answersUnread reports a server that reset the connection right behind its own
// answer to more than one segment can hold: it may not have read all that it
// answers, as where it rejects an upload.
func answersUnread(f *reassembly.Flow) bool {
	const segment = 1460
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(f.Reset.By.Other())
	return f.Reset.By == f.Server() && p.PayloadBytes > segment && d.LastData >= p.LastData && f.Reset.At-d.LastData < leastIdle
}

// afterProbe is the cause of an abort behind a keepalive probe.
func afterProbe(f *reassembly.Flow, sure Confidence, last *reassembly.Mark, story string) cause {
	return cause{sure, fmt.Sprintf(", %s after a keepalive probe, %s", Span(f.Reset.At-last.At), story),
		[]Evidence{markEvidence(last, fmt.Sprintf("the %s's last keepalive probe", role(f, f.Reset.By)))}}
}

// afterRepeats is the cause of an abort behind payload that had to be repeated.
// It is no more than likely, as some hosts give a connection up with an RST.
func afterRepeats(f *reassembly.Flow, left uint32) cause {
	s := f.Reset.By
	d := f.Endpoint(s)
	words := fmt.Sprintf(", and its own last %s, which it repeated %s, had not been acknowledged for %s: its application gave up waiting, or closed without a FIN",
		octets(left), times(d.Repeats), Span(f.Reset.At-d.UnansweredAt))
	return cause{Likely, words, []Evidence{
		{Ref: d.UnansweredRef, At: d.UnansweredAt, Side: s, What: fmt.Sprintf("the %s's payload", role(f, s))},
		{Ref: d.RepeatRef, At: d.RepeatAt, Side: s, What: "that payload again"}}}
}

// unacknowledged is how many octets of its own the side that aborted had repeated
// in vain for longer than an acknowledgement takes. What it did not repeat was
// acknowledged, whether that passed the tap or not.
func unacknowledged(f *reassembly.Flow) uint32 {
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(f.Reset.By.Other())
	if n := d.Nxt.Sub(p.Ack); p.SentAck && d.Repeats > 0 && n > 0 && f.Reset.At-d.UnansweredAt > patience(f) {
		return uint32(n)
	}
	return 0
}

// heldBackWords says that a closed window of the peer may have kept a FIN from being
// sent: it stands behind the payload, and needs room in the window itself.
func heldBackWords(f *reassembly.Flow, shut *reassembly.Mark) string {
	through := ""
	if n := probes(f, f.Reset.By, shut.At).n; n > 0 {
		through = fmt.Sprintf(", probed %s", times(uint32(n)))
	}
	return fmt.Sprintf(", while the %s's window was closed (for %s%s): it may have closed earlier, and its FIN have waited for the window",
		role(f, f.Reset.By.Other()), Span(f.Reset.At-shut.At), through)
}

// checkOnly reports a client that reset the connection as soon as it was open,
// without a word of either side: it wanted to know whether somebody listens.
func checkOnly(f *reassembly.Flow) bool {
	return checksPort(f) && silent(f, f.Client) && silent(f, f.Server())
}

// checksPort reports a client that reset the connection as soon as it was open.
func checksPort(f *reassembly.Flow) bool {
	h := &f.Handshake
	const poor = reassembly.QualityMidstream | reassembly.QualityOneWay | reassembly.QualityCaptureLoss | reassembly.QualityFiltered
	return f.Reset.By == f.Client && confirmedAbort(f) == nil && h.ACKRef != 0 && f.Reset.At-h.ACK < leastIdle && f.Quality&poor == 0
}

// silent reports that a side sent neither payload nor a FIN, and that none is
// acknowledged which the capture lacks.
func silent(f *reassembly.Flow, s tcp.Side) bool {
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	return d.Nxt == d.ISS.Add(1) && d.AckedUnseen == 0 && (!p.SentAck || p.Ack == d.Nxt)
}

// unreadUnseen reports that the capture lacks what would tell whether payload
// was left unread, and says what: payload of the peer that was acknowledged, or
// what may have been the answer to its last.
func unreadUnseen(f *reassembly.Flow) (missing bool, words string) {
	r := &f.Reset
	p := f.Endpoint(r.By.Other())
	unseen := p.AckedUnseen
	if r.Class == reassembly.ResetActive {
		unseen = max(unseen, uint64(r.AckedUnseen))
	}
	switch answer := answerUnseen(f); {
	case !p.Sent:
		return true, fmt.Sprintf("and whether it had read all cannot be told (nothing of the %s is in the capture)", role(f, r.By.Other()))
	case r.PeerAt == 0:
		return true, fmt.Sprintf("and whether it had read all cannot be told (nothing that the %s sent before is in the capture)", role(f, r.By.Other()))
	case unseen > 0:
		return true, fmt.Sprintf("and whether it had read all cannot be told (%s of the %s that it acknowledged are not in the capture)",
			octets(unseen), role(f, r.By.Other()))
	case answer > 0 && r.UnreadAt != 0:
		return true, fmt.Sprintf("and whether it had answered the %s's last %s cannot be told (%s that it sent since are not in the capture)",
			role(f, r.By.Other()), octets(p.LastDataLen), octets(answer))
	}
	return false, ""
}
