package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func synOnLiveConnection() Rule {
	return Rule{
		ID:       "syn-on-live-connection",
		Title:    "a SYN met an old connection that was still held",
		Severity: Warning,
		Doc:      synOnLiveDoc,
		RFC:      []string{"RFC 9293 §3.5.1", "RFC 9293 §3.10.7.4", "RFC 5961 §4.2"},
		Replaces: []string{"syn-retransmitted", "rst-after-fin"},
		needs:    marked(reassembly.SYNOnLive, reassembly.ChallengeACK),
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
			checkSYNOnLive(f, emit)
			checkSYNOnUnseen(f, emit)
		},
	}
}

const synOnLiveDoc = `What it means
  One side has given a connection up, and opens a new one with the same four
  addresses and ports, while the other side still holds the old one. The holder
  does not take the SYN: it acknowledges the old connection, the opener resets
  that, and only its next SYN opens the new connection.

Signature
  A SYN with another initial sequence number on a connection that is not over;
  a bare acknowledgement of the old numbers in answer (a challenge ACK); an RST
  with that acknowledgement as its sequence number; the SYN again. Or no answer
  at all, where something limits such acknowledgements: likely once the SYN was
  repeated. Where the old connection is not in the capture, the challenge and
  the RST show it; where one of those two is missing, the other and the second
  SYN do: likely.
  The acknowledgement shows that the old connection was known, and not in which
  state: the verdict names that only where the capture holds what led to it.

Look-alikes
  A connection in TIME_WAIT on the holder's side: tuple-reused, or refused.
  A SYN that is challenged, and the old connection goes on: somebody forged it.
  A SYN that a SYN-ACK answers at once: the holder had forgotten it too.
  The same sequence number: a repetition (syn-retransmitted).

What it usually is
  The holder in CLOSE_WAIT: its application has not closed, and the opener's
  FIN_WAIT_2 has run out: a leak. The holder in ESTABLISHED: the opener crashed,
  rebooted or timed out without a word, or something between the two forgot the
  connection and gave its port away again (NAT).

What to do
  A leak: close the sockets. Otherwise keepalive on the holder's side, so that
  it notices, and more ports for the NAT.

What would prove it
  The holder's "ss -tan" before the SYN: it lists the old connection.`

// checkSYNOnLive asks whether a SYN stayed with a connection that was not over.
func checkSYNOnLive(f *reassembly.Flow, emit func(Finding)) {
	var syn *reassembly.Mark
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == reassembly.SYNOnLive {
			syn = m
			break
		}
	}
	if syn == nil {
		return
	}
	s, o := syn.Side, syn.Side.Other()
	r := &f.Reset
	last := lastMark(f, s, reassembly.SYNOnLive)
	cleared := clearsOld(f, syn, last)
	if !cleared && (r.Ref != 0 || f.Endpoint(s).LastAt > last.At) {
		return // the old connection went on: somebody else sent the SYN
	}
	if cleared && survived(f) {
		return
	}
	state, _ := stood(f, o)
	n := newFinding(f, holder(f, o, state), Certain, markEvidence(syn, fmt.Sprintf("a SYN of the %s, with another sequence number", role(f, s))))
	ack := firstMark(f, o, reassembly.ChallengeACK, syn.At)
	switch {
	case cleared:
		clearedOld(f, syn, &n)
	case ack != nil && f.Ended == reassembly.EndReused:
		n.Confidence = Likely
		n.prove(markEvidence(ack, fmt.Sprintf("the %s acknowledges the old connection instead", role(f, o))), markEvidence(last, "the SYN again"))
		n.Duration = last.At - syn.At
		n.Verdict = fmt.Sprintf("%s still held an old connection%s when %s opened a new one from the same port: it answered the SYN with an acknowledgement of the old one, and took the new one only later",
			f.Addr(o), heldIn(f, o, state), f.Addr(s))
	case !unansweredOnLive(f, syn, last, state, &n):
		return
	}
	if n.rests(f, onSilence) {
		emit(n)
	}
}

// clearsOld reports that the sender of a SYN has reset the old connection: it
// answers an acknowledgement of that. Where the capture lacks the
// acknowledgement, the header and the SYN again say as much.
func clearsOld(f *reassembly.Flow, syn, last *reassembly.Mark) bool {
	r := &f.Reset
	if r.Ref == 0 || r.By != syn.Side || r.At < syn.At || r.Class == reassembly.ResetActive {
		return false
	}
	return r.InAnswerTo != 0 && r.AnswerAt >= syn.At || !r.HasACK && (f.Ended == reassembly.EndReused || last.At > r.At)
}

// clearedOld fills a finding on a SYN whose sender cleared the old connection.
func clearedOld(f *reassembly.Flow, syn *reassembly.Mark, n *Finding) {
	s, o := syn.Side, syn.Side.Other()
	r := &f.Reset
	state, _ := stood(f, o)
	n.prove(rstEvidence(f))
	n.Duration = r.At - syn.At
	if r.InAnswerTo == 0 || r.AnswerAt < syn.At {
		n.Confidence = Likely
		n.Verdict = fmt.Sprintf("%s still held an old connection%s when %s opened a new one from the same port: only an RST %s later cleared it, in answer to an acknowledgement of the old one that is not in the capture",
			f.Addr(o), heldIn(f, o, state), f.Addr(s), Span(n.Duration))
		return
	}
	n.prove(Evidence{Ref: r.InAnswerTo, At: r.AnswerAt, Side: o, What: fmt.Sprintf("the %s acknowledges the old connection instead", role(f, o))})
	n.Verdict = fmt.Sprintf("%s still held an old connection%s when %s opened a new one from the same port: it answered the SYN with an acknowledgement of the old one, and only an RST %s later cleared it",
		f.Addr(o), heldIn(f, o, state), f.Addr(s), Span(n.Duration))
}

// stateKnown reports that the capture shows in which state side o held the old
// connection. An acknowledgement that answers a SYN says only that it held one.
func stateKnown(f *reassembly.Flow, o tcp.Side, state fsm.State) bool {
	return state != fsm.TimeWait && !mayHaveClosed(f, o) && !mayHaveClosed(f, o.Other()) && f.Ends[0].AckedUnseen+f.Ends[1].AckedUnseen == 0
}

// heldIn is that state in words, as far as it is known.
func heldIn(f *reassembly.Flow, o tcp.Side, state fsm.State) string {
	if !stateKnown(f, o, state) {
		return ", in a state that the capture does not show,"
	}
	return fmt.Sprintf(" in %s", state)
}

// unansweredOnLive fills a finding on a SYN that met a live connection and was
// not taken, and whose sender has not cleared the old one either. It is false
// when it is too early to say.
func unansweredOnLive(f *reassembly.Flow, syn, last *reassembly.Mark, state fsm.State, n *Finding) bool {
	s, o := syn.Side, syn.Side.Other()
	span := f.Until - syn.At
	repeats := countMarks(f, s, reassembly.SYNOnLive, syn.At+1)
	n.Confidence = Possible
	if repeats > 0 && span >= synLikely {
		n.Confidence = Likely
		n.Evidence = newFinding(f, n.Who, Likely, n.Evidence[0], markEvidence(last, "the SYN again")).Evidence
	}
	n.Duration, n.Censored = span, true
	answer := "nothing answered it"
	if p := f.Endpoint(o); p.LastAt > syn.At {
		answer = "it was not taken"
		n.Evidence = newFinding(f, n.Who, n.Confidence, append(n.Evidence,
			Evidence{Ref: p.LastRef, At: p.LastAt, Side: o, What: fmt.Sprintf("the %s acknowledges the old connection", role(f, o))})...).Evidence
	}
	n.Verdict = fmt.Sprintf("%s opened a new connection from the port of an old one that %s still held%s: the SYN was sent %s, and %s within %s",
		f.Addr(s), f.Addr(o), heldIn(f, o, state), times(repeats+1), answer, Span(span))
	return span >= synTooSoon
}

// holder is who is to blame for a connection that only side o still holds: its
// application where that has not closed, else the host that gave it up without
// a word.
func holder(f *reassembly.Flow, o tcp.Side, state fsm.State) Party {
	if f.Midstream || !stateKnown(f, o, state) {
		return Unknown // whatever closed it may not be in the capture
	}
	switch state {
	case fsm.CloseWait:
		return app(f, o)
	case fsm.Established, fsm.SynRcvd:
		return host(f, o.Other())
	}
	return Unknown
}

// checkSYNOnUnseen asks whether the SYN met a connection that the capture does
// not hold: an acknowledgement that fits nothing answers it, the client resets
// that, and sends the SYN again.
func checkSYNOnUnseen(f *reassembly.Flow, emit func(Finding)) {
	h := &f.Handshake
	if h.FirstSYNRef == 0 || f.Prev.TimeWaitSide != 0 {
		return
	}
	ack := firstMark(f, f.Server(), reassembly.ChallengeACK, h.FirstSYN)
	if ack == nil || h.SYNACKRef != 0 && ack.At > h.SYNACK || ack.Packet.Number == uint32(f.Endpoint(f.Client).ISS) {
		return // the last: a number of this SYN, and of no connection
	}
	rst := firstMark(f, f.Client, reassembly.RSTIgnored, ack.At)
	if rst == nil {
		rst = firstMark(f, f.Client, reassembly.RSTSent, ack.At)
	}
	if rst == nil || rst.At-ack.At > patience(f) || rst.Packet.Number != ack.Packet.Number {
		return
	}
	n := newFinding(f, Unknown, Likely, synEvidence(f), markEvidence(ack, "an acknowledgement of an old connection answers it"),
		markEvidence(rst, "the client resets that"), Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: "the SYN-ACK to a later SYN"})
	end := soFar(f, "has not opened so far", "had not opened when the capture ended")
	if h.ACKRef != 0 {
		n.Duration = max(h.ACK-h.FirstSYN, 0)
		end = fmt.Sprintf("opened %s after the first SYN", Span(n.Duration))
	}
	n.Verdict = fmt.Sprintf("%s still held an old connection from the same port: it answered the SYN with an acknowledgement of that (%s), which the client reset; the new connection %s",
		f.Addr(f.Server()), frame(ack.Ref), end)
	if n.rests(f, onPackets) {
		emit(n)
	}
}
