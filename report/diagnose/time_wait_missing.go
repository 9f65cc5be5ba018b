package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func timeWaitMissing() Rule {
	return Rule{
		ID:       "time-wait-missing",
		Title:    "an RST where TIME_WAIT should have answered",
		Severity: Warning,
		Doc:      timeWaitMissingDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 9293 §3.10.7.4", "RFC 1122 §4.2.2.13"},
		Replaces: []string{"rst-after-fin"},
		needs:    signReset,
		Check:    checkTimeWaitMissing,
	}
}

const timeWaitMissingDoc = `What it means
  The side that closed first must stay in TIME_WAIT for twice the maximum
  segment lifetime, so that it can acknowledge the other side's FIN whenever
  that comes (again). Here a FIN met an RST instead: the closer's host had no
  such connection any more.

Signature
  The closer's FIN was acknowledged; the other side's FIN, or a repetition of
  it, is answered by an RST that bears the number after the closer's FIN, sooner
  than FIN_WAIT_2 or TIME_WAIT can have run out by the profile.

Look-alikes
  The same after the FIN_WAIT_2 timeout: late-close-reset.
  A FIN that was repeated in vain three times, or for 3 s, before the RST: the
  closer's host may have been down, rst-on-dead-connection.
  An RST with the header of a live socket: the closer's application aborted,
  rst-after-fin.
  A FIN that carried payload: write-after-fin.
  An RST after both FINs were acknowledged: the close was orderly and the RST is
  a remark.

What it usually is
  A host whose table of TIME_WAIT sockets is full (tcp_max_tw_buckets, in the
  kernel's log: "time wait bucket table overflow"), that was restarted, or whose
  application asks for no FIN_WAIT_2 (TCP_LINGER2 below 0, a low
  tcp_fin_timeout); phones that drop the sockets of a network they leave. With a
  time to live that is not the host's: a NAT or firewall that forgot the
  connection at the first FIN, if it came from much nearer; else nobody is
  blamed, for the host may be a container, and its machine have answered.

What to do
  Do not lower tcp_max_tw_buckets: it does not save what it seems to, and causes
  exactly this. TIME_WAIT on a server costs a few hundred octets and no port.

What would prove it
  On the closer's host: the kernel's message, or TCPTimeWaitOverflow in nstat; a
  capture behind the NAT that shows that the host itself sent no RST.`

func checkTimeWaitMissing(c *Context, f *reassembly.Flow, emit func(Finding)) {
	if c.reset != resetForgotten {
		return
	}
	r := &f.Reset
	s, o := r.By, r.By.Other()
	sure := Likely
	if r.Class != reassembly.ResetPassive {
		sure = Possible
	}
	since, state := timeWaitSince(f, s), "TIME_WAIT"
	if since == 0 {
		since, state = closedSince(f, s), "FIN_WAIT_2"
	}
	who, sender, why := host(f, s), f.Addr(s).String(), "its host had already forgotten the connection"
	if foreign(f) {
		who, sender = Unknown, "somebody in the name of "+sender
		why = "something on the path may have sent it, or another stack of that machine"
		if ofDevice(f) {
			who, why = Middlebox, "something on the path must have sent it"
		}
		why = fmt.Sprintf("the RST's time to live (%d) is not that host's (%d), so %s", r.TTL, f.Endpoint(s).TTL, why)
	}
	n := newFinding(f, who, sure, finEvidence(f, s), finAckEvidence(f, s),
		finEvidence(f, o), Evidence{Ref: r.InAnswerTo, At: r.AnswerAt, Side: o, What: fmt.Sprintf("the %s's FIN again", role(f, o))},
		rstEvidence(f))
	n.Duration = r.At - since
	n.Verdict = fmt.Sprintf("%s answered the %s's FIN with an RST, only %s after it should have entered %s: %s",
		sender, role(f, o), Span(n.Duration), state, why)
	if n.rests(f, onClock) {
		emit(n)
	}
}
