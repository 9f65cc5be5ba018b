package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func closeBehindZeroWindow() Rule {
	return Rule{
		ID:       "close-behind-zero-window",
		Title:    "a closed window holds back payload and FIN",
		Severity: Warning,
		Doc:      closeBehindZeroWindowDoc,
		RFC:      []string{"RFC 9293 §3.8.6.1", "RFC 9293 §3.10.4", "RFC 1122 §4.2.2.17"},
		needs:    marked(reassembly.ZeroWindow),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkZeroWindow(f, tcp.SideA, emit)
			checkZeroWindow(f, tcp.SideB, emit)
		},
	}
}

const closeBehindZeroWindowDoc = `What it means
  One side reads nothing any more: its window is closed, its host alive. What
  the other side still has to send waits, and so does its FIN: a FIN stands
  behind the payload. An application that has called close() therefore shows no
  FIN on the wire; its socket is in FIN_WAIT_1 on the host, and in ESTABLISHED
  as far as any packet says.

Signature
  A window of zero that is not opened again; probes by the other side
  (SND.UNA-1, or a single octet) at growing gaps, at least three over five
  seconds; answered with the window still closed; no FIN of the prober. That it
  has closed cannot be seen, so this is possible at most. The side that does not
  read may have sent its own FIN before (shutdown). It is not fin-unanswered
  then: the answer to that FIN is what the window holds back.

Look-alikes
  A reader that is slow and opens the window again: nothing is found.
  Keepalive: probes at equal gaps, and the window is open.
  A prober whose application waits and did not close: the same packets.

What it usually is
  A consumer that hangs (a lock, a full disk, a debugger, a paused process)
  while its producer gives up and closes.

What to do
  Look at the side that does not read. On the other side "ss -tanpo" shows
  FIN_WAIT_1 with the timer "persist" where the application had closed; an
  orphan of that kind is given up after tcp_orphan_retries probes, and holds its
  send buffer until then.

What would prove it
  On the prober's host: the socket in FIN_WAIT_1, Send-Q above 0. On the other:
  Recv-Q full, and a stack trace of the process that should read.`

// What makes probes into a closed window worth a word.
const (
	zeroWindowProbes = 3
	zeroWindowSpan   = 5e9 // ns
)

// checkZeroWindow asks whether side s probes a window that stays closed.
func checkZeroWindow(f *reassembly.Flow, s tcp.Side, emit func(Finding)) {
	o := s.Other()
	d, p := f.Endpoint(s), f.Endpoint(o)
	shut := lastMark(f, o, reassembly.ZeroWindow)
	if shut == nil || d.FINRef != 0 || p.FINRef != 0 && shut.At < p.FINAt || f.Reset.Ref != 0 || p.LastData > shut.At {
		return // the second: a FIN may have opened the window
	}
	if d.LastData > shut.At && d.LastDataLen > 1 {
		return // it could send again
	}
	r := probes(f, s, shut.At)
	if r.n < zeroWindowProbes || r.lastGap < r.firstGap*3/2 || p.LastAt < r.first.At || f.Until-shut.At < zeroWindowSpan {
		return
	}
	last := Evidence{Ref: r.last.Ref, At: r.last.At, Side: s, What: fmt.Sprintf("the last of %d probes", r.n)}
	n := newFinding(f, app(f, o), Possible,
		Evidence{Ref: shut.Ref, At: shut.At, Side: o, What: fmt.Sprintf("the %s closes its window", role(f, o))},
		Evidence{Ref: r.first.Ref, At: r.first.At, Side: s, What: fmt.Sprintf("the %s probes it", role(f, s))}, last,
		Evidence{Ref: p.LastRef, At: p.LastAt, Side: o, What: "the window is still closed"})
	n.Duration, n.Censored = f.Until-shut.At, true
	after := ""
	if p.FINRef != 0 {
		n.prove(finEvidence(f, o))
		after = " after its own FIN"
	}
	n.Verdict = fmt.Sprintf("%s kept its window closed for %s%s, through %d probes: its application does not read, so a FIN of %s cannot have left either, if its application has closed",
		f.Addr(o), Span(n.Duration), after, r.n, f.Addr(s))
	if n.rests(f, onSilence) {
		emit(n)
	}
}
