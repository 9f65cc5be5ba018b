package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// resetKind is what an RST that ended an established connection was. Each rule
// on resets asks for its own kind, so that no two claim the same RST.
type resetKind uint8

const (
	resetNone      resetKind = iota // none took effect, or these rules have no word for it
	resetAbort                      // an abort with nothing unread
	resetUnread                     // an abort that left payload unread
	resetWriter                     // it answers payload sent after its FIN had been acknowledged
	resetLate                       // it answers a FIN or payload after FIN_WAIT_2 had run out
	resetForgotten                  // it answers a FIN where TIME_WAIT should have
	resetAfterFIN                   // by the side that had sent its FIN, for no visible reason
	resetForged                     // somebody else sent it
	resetDead                       // the host no longer knew the connection
	resetProbed                     // the sender's keepalive probes got no answer
	resetGaveUp                     // the sender's payload stayed unacknowledged
)

// kindOfReset reads the RST that took effect on a flow.
func kindOfReset(c *Context, f *reassembly.Flow) resetKind {
	r := &f.Reset
	if r.Ref == 0 || f.Close != reassembly.CloseReset || !f.Endpoint(r.By).Sent {
		return resetNone
	}
	switch f.Handshake.Outcome {
	case reassembly.Complete, reassembly.Simultaneous, reassembly.Unseen:
	default:
		return resetNone // half-open scans, refusals, abandoned handshakes
	}
	switch {
	case f.Denied.Ref == r.Ref:
		return resetForged // its sender went on
	case r.AfterFIN:
		return kindAfterFIN(c, f)
	case stalled(f):
		return kindStalled(f)
	case confirmedAbort(f) != nil:
		return resetAbort
	case answersNoSocket(r):
		return kindNoSocket(c, f)
	case foreign(f):
		return resetForged
	case leavesUnread(f):
		return resetUnread
	}
	return resetAbort
}

// leavesUnread reports an RST by a live socket after payload that it had not
// answered, that was on its way to it, or that its closed window kept out.
func leavesUnread(f *reassembly.Flow) bool {
	r := &f.Reset
	return r.Shut && f.Endpoint(r.By.Other()).PayloadBytes > 0 || answerUnseen(f) == 0 && (r.UnreadAt != 0 || onItsWay(f))
}

// answerUnseen is how many octets the capture lacks that the side which reset
// the connection had sent after all of it that was captured: they may be the
// answer to what looks unread.
func answerUnseen(f *reassembly.Flow) uint32 {
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(f.Reset.By.Other())
	if ahead := p.Ack.Sub(d.Nxt); p.SentAck && ahead > 0 {
		return uint32(ahead)
	}
	return 0
}

// kindStalled is kindOfReset for an RST by the side that had got no answer.
func kindStalled(f *reassembly.Flow) resetKind {
	switch {
	case foreign(f):
		return resetForged
	case probedInVain(f):
		return resetProbed
	}
	return resetGaveUp
}

// kindNoSocket is kindOfReset for an RST by a host that has no such socket, out
// of a connection that it had not closed.
func kindNoSocket(c *Context, f *reassembly.Flow) resetKind {
	r := &f.Reset
	d := f.Endpoint(r.By)
	silence := patience(f)
	if r.HeardRef == f.Handshake.SYNACKRef {
		silence = int64(c.Profile.SYNACK) // it may never have had the connection
	}
	switch {
	case d.Repeats >= gaveUpRepeats && d.RepeatAt < r.AnswerAt:
		return resetGaveUp // it had given the connection up without a word
	case foreign(f) && !answersFIN(f) && r.AnswerAt-r.HeardAt < forgets:
		return resetForged // so soon no device forgets a connection
	case r.InAnswerTo != 0 && r.HeardRef != 0 && r.AnswerAt-r.HeardAt > silence && !answersFIN(f), neverTaken(c, f):
		return resetDead
	case (foreign(f) || answersNearer(f)) && !answersFIN(f):
		return resetForged
	}
	return resetNone
}

// kindAfterFIN is kindOfReset for an RST by the side that had sent its FIN.
func kindAfterFIN(c *Context, f *reassembly.Flow) resetKind {
	r := &f.Reset
	d, p := f.Endpoint(r.By), f.Endpoint(r.By.Other())
	switch {
	case !sentFIN(f, r.By):
		return resetNone // when it closed is not known
	case farewell(f):
		return resetAfterFIN
	case restarted(f, r.By) && r.Class == reassembly.ResetPassive:
		return resetNone // it answers the acknowledgement that its new SYN drew
	}
	live := r.Class == reassembly.ResetActive
	forFIN := answersFIN(f) && !live
	l, wrote := findLatePayload(f)
	switch {
	case forFIN && (!d.Ack.Add(1).Less(p.FINEnd) || wrote && l.taken && p.FINAt-l.At > patience(f)):
		return kindAnsweringFIN(c, f) // it had taken all payload before
	case wrote && l.fresh && !d.HalfCloseAlive && !l.taken && !live:
		return kindWritten(c, f, &l)
	case !live && unheeded(f):
		return resetDead
	case wrote, forFIN:
		return resetUnread // sent before the FIN, or read until it gave up
	case neverHeardFIN(c, f):
		return resetNone // no payload was on its way: fin-unacked
	case r.InAnswerTo != 0 && r.InAnswerTo == p.LastDataRef && p.LastData > d.FINAt && !d.HalfCloseAlive:
		return resetUnread // payload that was on its way when the application closed
	case live && r.Shut && p.PayloadBytes > 0:
		return resetUnread // closed by halves first
	case foreign(f):
		return resetForged
	}
	return resetAfterFIN
}

// kindWritten tells the ways in which payload written after the FIN meets an RST.
func kindWritten(c *Context, f *reassembly.Flow, l *latePayload) resetKind {
	switch {
	case firstWritten(f, l).At-closedSince(f, f.Reset.By) >= int64(c.Profile.FinWait2):
		return resetLate
	case unheeded(f):
		return resetDead
	}
	return resetWriter
}

// kindAnsweringFIN tells the ways in which a FIN meets an RST.
func kindAnsweringFIN(c *Context, f *reassembly.Flow) resetKind {
	r := &f.Reset
	d, p := f.Endpoint(r.By), f.Endpoint(r.By.Other())
	closed := closedSince(f, r.By)
	if m := lastMark(f, r.By.Other(), reassembly.DataAfterFIN); m != nil {
		closed = max(closed, m.At) // it took that: half closed until then, it had no timeout
	}
	since := timeWaitSince(f, r.By)
	again := r.InAnswerTo != p.FINRef
	switch {
	case p.FINAt-closed >= int64(c.Profile.FinWait2):
		return resetLate
	case since == 0 && !d.FINAcked:
		return resetAfterFIN // the FINs crossed, and it never stood in FIN_WAIT_2
	case since == 0 && again && r.AnswerAt-closed >= int64(c.Profile.FinWait2):
		return resetNone // the first copy may have been lost, and this one is late
	case since == 0 && again:
		since = p.FINAt // the first copy may have been acknowledged
	}
	if since != 0 && r.At-since >= int64(c.Profile.TwoMSL) {
		return resetNone // TIME_WAIT had run out: nothing is missing
	}
	if unheeded(f) {
		return resetDead
	}
	return resetForgotten
}

// unheeded reports that the peer had been repeating what the reset answers, again
// and again, without a word from the sender of the reset, and that this had been
// silent for long enough to have been restarted. A host without a socket answers at
// once: it was down, or the path was.
func unheeded(f *reassembly.Flow) bool {
	r := &f.Reset
	o := r.By.Other()
	p := f.Endpoint(o)
	since, repeats := int64(0), uint32(0)
	switch {
	case p.FINRepeats > 0 && r.InAnswerTo != p.FINRef && answersFIN(f):
		since, repeats = p.FINAt, countMarks(f, o, reassembly.FINAgain, r.HeardAt)
	case p.Repeats > 0 && r.InAnswerTo == p.RepeatRef:
		since, repeats = p.UnansweredAt, p.Repeats
	}
	vain := repeats >= gaveUpRepeats || repeats > 0 && r.AnswerAt-max(since, r.HeardAt) >= forgets
	return vain && r.AnswerAt-r.HeardAt >= forgets
}

// timeWaitSince is when a side last entered or restarted TIME_WAIT before the
// reset, by an acknowledgement of its own: 0 when it did not.
func timeWaitSince(f *reassembly.Flow, s tcp.Side) (at int64) {
	if !f.Endpoint(s).AckedPeerFIN {
		return 0
	}
	for i := range f.TimeWaits {
		if w := &f.TimeWaits[i]; w.Side == s && w.Entered < f.Reset.AnswerAt {
			at = w.Entered
			if w.RestartAt < f.Reset.AnswerAt {
				at = max(at, w.RestartAt)
			}
		}
	}
	return at
}

// latePayload is payload that the peer sent although it had acknowledged the
// FIN of the side that reset the connection.
type latePayload struct {
	Evidence
	octets uint32
	fresh  bool // it had not been sent before the FIN
	// taken: the first of it drew no RST and was not repeated, so it must have
	// been acknowledged although the capture does not show that.
	taken bool
}

// findLatePayload looks for the last such payload before the reset.
func findLatePayload(f *reassembly.Flow) (l latePayload, ok bool) {
	o := f.Reset.By.Other()
	p := f.Endpoint(o)
	for i := range f.Marks {
		m := &f.Marks[i]
		if m.Kind != reassembly.DataAfterFIN && m.Kind != reassembly.RepeatAfterFIN || m.Side != o || m.At > f.Reset.At {
			continue
		}
		if m.Kind == reassembly.DataAfterFIN {
			l.fresh = true
			drew := m.Ref == f.Reset.InAnswerTo && f.Reset.Class != reassembly.ResetActive
			l.taken = l.taken || !drew && f.Reset.At-m.At > patience(f) && p.Retransmits == 0
		}
		l.Ref, l.At, l.octets, ok = m.Ref, m.At, m.Packet.Number, true
		if m.Packet.Flags.Has(tcp.FIN) {
			l.octets = p.LastDataLen // the number is the FIN's
		}
	}
	if !ok {
		return missedPayload(f)
	}
	l.Side = o
	l.What = fmt.Sprintf("the %s's payload after that, %s", role(f, o), octets(l.octets))
	return l, ok
}

// firstWritten is the first transmission of late payload of which none was taken:
// that tells when it was written.
func firstWritten(f *reassembly.Flow, l *latePayload) Evidence {
	if m := firstMark(f, l.Side, reassembly.DataAfterFIN, 0); m != nil && m.At < l.At {
		return markEvidence(m, fmt.Sprintf("the %s's payload after that", role(f, l.Side)))
	}
	return l.Evidence
}

// missedPayload finds such payload where the capture lacks it: the peer's FIN
// stands beyond all that it had sent when it acknowledged the FIN of the side
// that reset, and that side never acknowledged what lies between.
func missedPayload(f *reassembly.Flow) (l latePayload, ok bool) {
	o := f.Reset.By.Other()
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(o)
	octets := p.FINEnd.Sub(p.NxtAtPeerFIN) - 1
	if !sentFIN(f, o) || !p.AckedPeerFIN || p.FINAcksPeer && d.FINAckRef == p.FINRef || !d.SentAck || d.Ack != p.NxtAtPeerFIN ||
		octets <= alert || p.FINAt > f.Reset.At {
		return l, false
	}
	l.Ref, l.At, l.Side, l.octets, l.fresh = p.FINRef, p.FINAt, o, uint32(octets), true
	l.What = fmt.Sprintf("the %s's FIN, %d octets beyond what it had sent until then: they were sent after that, and are missing here", role(f, o), octets)
	return l, true
}

// answersFIN reports whether the reset answers the peer's FIN or a repetition.
func answersFIN(f *reassembly.Flow) bool {
	r := &f.Reset
	if r.InAnswerTo == 0 {
		return false
	}
	if r.InAnswerTo == f.Endpoint(r.By.Other()).FINRef {
		return true
	}
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == reassembly.FINAgain && m.Ref == r.InAnswerTo {
			return true
		}
	}
	return false
}

// answersNoSocket reports an RST that a host sends for want of a socket, and
// not by an abort: by its header, or because it bears no ACK and answers a
// segment (RFC 9293 §3.5.2, group 1).
func answersNoSocket(r *reassembly.Reset) bool {
	return r.Class == reassembly.ResetPassive || r.Class == reassembly.ResetUnknown && !r.HasACK && r.InAnswerTo != 0
}

// confirmedAbort is the RST of a live socket that was challenged because octets
// before it were lost, where the challenge met no socket any more: that RST was
// the end, and the one that took effect only repeats it. nil if there was none.
func confirmedAbort(f *reassembly.Flow) *reassembly.Mark {
	r := &f.Reset
	x, ok := challenge(f, r.By)
	if !ok || x.cause.Kind != reassembly.RSTInexact || !x.cause.Packet.Flags.Has(tcp.RST|tcp.ACK) ||
		r.InAnswerTo != x.ack.Ref || !answersNoSocket(r) || foreign(f) {
		return nil
	}
	return x.cause
}

// stalled reports an RST after a silence of the peer that its sender had been
// probing or repeating into: the host gave up, nobody aborted. No host gives up
// after a repetition or two, but an application may.
func stalled(f *reassembly.Flow) bool {
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(f.Reset.By.Other())
	return probedInVain(f) || d.Repeats >= gaveUpRepeats && p.Ack.Less(d.Nxt) && f.Reset.At-f.Reset.PeerAt > patience(f)
}

// sureOfAbort is how sure it is that an RST was an abort by a live socket: by
// its header, and by the silence that followed. Nothing acknowledges an RST;
// that its victim falls silent confirms it.
func sureOfAbort(f *reassembly.Flow) Confidence {
	r := &f.Reset
	switch {
	case survived(f):
		return Possible
	case r.Class == reassembly.ResetActive && r.InAnswerTo == 0 && f.Until-r.At >= patience(f):
		return Certain
	case r.Class == reassembly.ResetActive, r.HasACK && r.InAnswerTo == 0:
		return Likely
	}
	return Possible
}

// survived reports that the victim of the reset went on as if there had been
// none: it was lost behind the tap, or somebody else sent it.
func survived(f *reassembly.Flow) bool {
	for i := range f.Steps {
		s := &f.Steps[i]
		if s.On == fsm.Revise && s.From == fsm.Closed && s.Side != f.Reset.By && s.At > f.Reset.At {
			return true
		}
	}
	return false
}
