package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func timeWaitAssassinated() Rule {
	return Rule{
		ID:       "time-wait-assassinated",
		Title:    "an RST ended TIME_WAIT early",
		Severity: Warning,
		Doc:      timeWaitAssassinatedDoc,
		RFC:      []string{"RFC 1337 §2", "RFC 1337 §3", "RFC 9293 §3.10.7.4"},
		Replaces: []string{"late-duplicate"},
		needs:    signReset,
		Check:    checkAssassination,
	}
}

const timeWaitAssassinatedDoc = `What it means
  An old segment reached a socket in TIME_WAIT. The socket answered it with an
  acknowledgement, as it must; the other host, which had closed long ago,
  answered that with an RST; and the RST ended TIME_WAIT before its time. The
  four-tuple is free again while old segments may still be on their way, which
  is what TIME_WAIT is there to prevent.

Signature
  Within 2MSL after an orderly close: an old segment of one side, an
  acknowledgement by the side in TIME_WAIT, and an RST that bears the number of
  that acknowledgement.

Look-alikes
  A repeated FIN and its acknowledgement: the ordinary work of TIME_WAIT.
  An RST after both FINs that no old segment provoked: a remark on an orderly
  close, nothing is found.
  A new SYN on the tuple: reuse, or its refusal.

What it usually is
  Retransmissions or copies that a slow path delivers after the close.

What to do
  Linux ignores such an RST with net.ipv4.tcp_rfc1337=1. Rarely worth more: the
  new connection's sequence numbers and timestamps protect it too.

What would prove it
  On the host in TIME_WAIT: the socket gone from "ss -tan state time-wait" right
  after the RST. With tcp_rfc1337=1 it is still there.`

func checkAssassination(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	r := &f.Reset
	for i := range f.TimeWaits {
		w := &f.TimeWaits[i]
		if w.EndedBy != reassembly.TimeWaitRST || w.EndedRef != r.Ref || r.By != w.Side.Other() ||
			r.InAnswerTo == 0 || r.AnswerAt <= w.Entered || w.EndedAt >= w.Expires {
			continue
		}
		old := oldSegment(f, w)
		if old.Ref == 0 {
			continue
		}
		n := newFinding(f, Path, Likely, old,
			Evidence{Ref: r.InAnswerTo, At: r.AnswerAt, Side: w.Side, What: "TIME_WAIT acknowledges it"}, rstEvidence(f))
		n.Duration = w.EndedAt - w.Entered
		n.Verdict = fmt.Sprintf("an old segment of %s reached %s in TIME_WAIT and drew an ACK, and the RST in answer to that ended TIME_WAIT after %s, %s before its time: the path delivered it too late",
			f.Addr(r.By), f.Addr(w.Side), Span(n.Duration), Span(w.Expires-w.EndedAt))
		if n.rests(f, onClock) {
			emit(n)
		}
	}
}

// oldSegment is the segment that reached TIME_WAIT before the acknowledgement
// that the reset answers.
func oldSegment(f *reassembly.Flow, w *reassembly.TimeWait) (e Evidence) {
	e = Evidence{Side: w.Side.Other(), What: "an old segment reaches TIME_WAIT"}
	if w.RestartAt > w.Entered && w.RestartAt <= f.Reset.AnswerAt {
		e.Ref, e.At = w.RestartRef, w.RestartAt
	}
	for i := range f.Marks {
		m := &f.Marks[i]
		if m.Kind == reassembly.Stray && m.Side == e.Side && m.At > w.Entered && m.At <= f.Reset.AnswerAt {
			e.Ref, e.At = m.Ref, m.At
		}
	}
	return e
}
