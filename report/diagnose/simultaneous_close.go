package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func simultaneousClose() Rule {
	return Rule{
		ID:       "simultaneous-close",
		Title:    "both sides closed at once",
		Severity: Info,
		Doc:      simultaneousCloseDoc,
		RFC:      []string{"RFC 9293 §3.6, Figure 13", "RFC 9293 §3.10.7.4"},
		needs:    signCrossedFIN,
		Check:    checkSimultaneousClose,
	}
}

const simultaneousCloseDoc = `What it means
  Each side sent its FIN before the other's had reached it. Both go from
  FIN_WAIT_1 through CLOSING to TIME_WAIT, so both sides hold TIME_WAIT, and
  nobody was in CLOSE_WAIT. A side that the other's FIN reaches only after the
  acknowledgement of its own passes FIN_WAIT_2 instead. It is rare and legal.

Signature
  A FIN from each side, neither of which acknowledges the other. The
  acknowledgement numbers decide, not the order in the capture.

Look-alikes
  A close in three segments: the second FIN follows within microseconds and
  acknowledges the first.
  A FIN that was lost, repeated, and met by the other side's FIN later: that
  side closed by itself, but not at the same time.

What it usually is
  Both ends run the same idle timer, or both close after the last message of a
  protocol that says so.

What to do
  Nothing, unless the TIME_WAIT of both ends matters: then let one side wait for
  the other's FIN.

What would prove it
  The packets do.`

func checkSimultaneousClose(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	a, b := tcp.SideA, tcp.SideB
	if f.Endpoint(b).FINAt < f.Endpoint(a).FINAt {
		a, b = b, a
	}
	d, p := f.Endpoint(a), f.Endpoint(b)
	if !sentFIN(f, a) || !sentFIN(f, b) || d.FINAcksPeer || p.FINAcksPeer || f.ActiveCloser != reassembly.CloserBoth ||
		f.Close == reassembly.CloseReset {
		return
	}
	if m := firstMark(f, a, reassembly.FINAgain, 0); m != nil && m.At <= p.FINAt {
		return // the first FIN was lost, and the other side closed by itself
	}
	n := newFinding(f, Nobody, Certain, finEvidence(f, a), finEvidence(f, b), finAckEvidence(f, a), finAckEvidence(f, b))
	n.Duration = p.FINAt - d.FINAt
	n.Verdict = fmt.Sprintf("%s and %s closed at once: their FINs, %s apart, do not acknowledge each other%s",
		f.Addr(a), f.Addr(b), Span(n.Duration), crossingWords(f, a))
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// crossingWords tells which sides went through CLOSING, that of side a the first,
// as a phrase; "" for none.
func crossingWords(f *reassembly.Flow, a tcp.Side) string {
	one, other := passedClosing(f, a), passedClosing(f, a.Other())
	switch {
	case one && other:
		return ", so both passed CLOSING"
	case one:
		return fmt.Sprintf("; %s passed CLOSING", f.Addr(a))
	case other:
		return fmt.Sprintf("; %s passed CLOSING", f.Addr(a.Other()))
	}
	return ""
}

// passedClosing reports that the other's FIN reached a side before the
// acknowledgement of its own did, as far as no later packet disproves it.
func passedClosing(f *reassembly.Flow, s tcp.Side) bool {
	for i := range f.Steps {
		if st := &f.Steps[i]; st.Side == s && !st.Retired && (st.On == fsm.RecvFIN || st.On == fsm.RecvACKOfFIN) {
			return st.On == fsm.RecvFIN
		}
	}
	return false
}
