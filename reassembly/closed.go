package reassembly

import "github.com/lastack/lastack/fsm"

// rsts is what a log's steps say of RSTs.
type rsts struct {
	refused   bool // one acknowledged the SYN
	effective bool // a step of the one in resets is believed
	stepped   bool // it has any step
}

// rstsOf is what a whole log says of RSTs.
func rstsOf(x *resets, recs []record) (q rsts) {
	for i := range recs {
		if recs[i].isStep() {
			q.see(x, &recs[i])
		}
	}
	return q
}

// see takes the next step.
func (q *rsts) see(x *resets, r *record) {
	if r.on() != fsm.SendRST && r.on() != fsm.RecvRST {
		return
	}
	if r.on() == fsm.RecvRST && r.from() == fsm.SynSent {
		q.refused = true
	}
	if r.ref == x.reset.Ref {
		q.stepped = true
		q.effective = q.effective || r.believed()
	}
}

// stand reports whether the RST that was noted has an effect that nothing
// disproved.
func (q rsts) stand(x *resets) bool { return x.effective && (q.effective || !q.stepped) }

// resetStands is stand for a log that is at hand.
func resetStands(x *resets, recs []record) bool { return rstsOf(x, recs).stand(x) }

// closeOf says how a connection ended.
func closeOf(e *entry, x *resets, recs []record) Close { return rstsOf(x, recs).closeOf(e, x) }

// closeOf says how a connection ended, by the first that applies.
func (q rsts) closeOf(e *entry, x *resets) Close {
	a, b := &e.ends[0], &e.ends[1]
	switch {
	case q.refused && !e.has(flowSYNACK) && !a.has(wasEstablished) && !b.has(wasEstablished):
		return CloseRefused
	case unanswered(e, a, b) || unanswered(e, b, a):
		return CloseUnanswered
	case a.has(finAcked) && b.has(finAcked):
		if !a.has(finAcksPeer) && !b.has(finAcksPeer) {
			return CloseSimultaneous
		}
		return CloseOrderly
	case a.has(gotFIN) && a.has(finAcked) && !b.has(sentFIN):
		return CloseSimultaneous // with itself
	case q.stand(x):
		return CloseReset
	case a.has(sentFIN) && !a.has(finAcked) || b.has(sentFIN) && !b.has(finAcked), probed(e):
		return CloseFINUnacked
	case a.has(sentFIN) || b.has(sentFIN):
		return CloseHalf
	}
	return CloseOpen
}

// unanswered reports that d opened, if only by a probe with odd flags, and p
// sent neither SYN-ACK nor RST, nor anything that fits.
func unanswered(e *entry, d, p *end) bool {
	opened := d.has(sentSYN) || d.syn > 0 && e.has(flowSYN) && !d.has(sentSYNACK)
	return opened && !p.has(sentAny) && p.rst == 0 && !d.has(wasEstablished)
}

// probed reports a flow of nothing but FINs that no socket sends.
func probed(e *entry) bool {
	a, b := &e.ends[0], &e.ends[1]
	return !a.has(sentAny) && !b.has(sentAny) && (a.fin > 0 || b.fin > 0)
}

// closerOf says who closed first, by acknowledgement: a FIN that acknowledges
// the other one came second.
func closerOf(e *entry) Closer {
	c, s := e.end(e.client), e.end(e.client.Other())
	switch {
	case probed(e) && e.end(e.from) == c:
		return CloserClient
	case probed(e):
		return CloserServer
	case !c.has(sentFIN) && !s.has(sentFIN):
		return CloserNone
	case !s.has(sentFIN) || c.has(sentFIN) && s.has(finAcksPeer) && !c.has(finAcksPeer):
		return CloserClient
	case !c.has(sentFIN) || c.has(finAcksPeer):
		return CloserServer
	}
	return CloserBoth
}
