package reassembly

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// view turns entries into flows. Its storage is used again for each.
type view struct {
	flow      Flow
	entry     entry
	extra     *extra
	resets    *resets
	steps     []Step
	marks     []Mark
	timeWaits []TimeWait
}

// fill describes e as it stands at event time until, timers run up to then.
// The entry itself is not changed.
func (v *view) fill(t *Table, e *entry, why Ending, until int64) *Flow {
	v.entry = *e
	v.extra, v.resets = t.known(e), t.knownResets(e)
	recs := v.runTimers(t, t.story(e), until)
	v.entry.guessClient()
	c := &v.entry
	f := &v.flow
	*f = Flow{} // filled in place: it is large, and a literal would be made elsewhere and copied
	f.ID, f.Tuple, f.Client, f.Role = c.firstRef, t.tuple(c.key, c.has(flowWide)), c.client, c.role
	f.Incarnation, f.Midstream = uint32(c.incarnation), !c.has(flowSYN|flowSYNACK)
	f.Start, f.End, f.First = c.first, c.last(), c.firstRef
	f.Last = max(c.ends[0].lastRef, c.ends[1].lastRef)
	f.Final, f.Until, f.Ended, f.RTT = until, until, why, c.rtt
	f.Close, f.ActiveCloser = closeOf(c, v.resets, recs), closerOf(c)
	if c.compat != 0 {
		f.compat = *t.compats.get(c.compat)
	}
	if c.ends[0].lastAt != c.ends[1].lastAt && c.ends[0].packets > 0 && c.ends[1].packets > 0 {
		f.Last = c.ends[0].lastRef
		if c.ends[1].lastAt > c.ends[0].lastAt {
			f.Last = c.ends[1].lastRef
		}
	}
	if v.extra.previous != 0 {
		f.Prev = *t.previouses.get(v.extra.previous)
	}
	if resetStands(v.resets, recs) {
		f.Reset = v.resets.reset
	}
	f.Denied = v.resets.denied
	v.list(recs)
	for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
		v.endpoint(t, side, recs, until)
	}
	slices.SortFunc(v.timeWaits, func(a, b TimeWait) int { return cmp.Compare(a.Entered, b.Entered) })
	f.Steps, f.Marks, f.TimeWaits = v.steps, v.marks, v.timeWaits
	v.handshake(t, recs)
	f.Quality = v.quality(why, until)
	return f
}

// runTimers lets the timers of the copied entry expire, and adds their steps.
func (v *view) runTimers(t *Table, recs []record, until int64) []record {
	for {
		side, on := due(&v.entry, until)
		if side == 0 {
			return recs
		}
		r, ok := fire(&v.entry, side, on)
		if !ok {
			return recs
		}
		recs = append(recs, r)
		t.scratch = recs
	}
}

// guessClient names a client where neither SYN nor SYN-ACK did: the lower port
// is the server's; with equal ports, the receiver of the first packet is.
func (e *entry) guessClient() {
	if e.role != 0 {
		return
	}
	e.role = RoleGuessed
	switch {
	case e.key.ports>>16 < e.key.ports&0xffff:
		e.client = tcp.SideB
	case e.key.ports>>16 > e.key.ports&0xffff:
		e.client = tcp.SideA
	default:
		e.client = e.from
	}
}

// list splits the log into steps and marks, and notes the steps of the FINs.
func (v *view) list(recs []record) {
	v.steps, v.marks, v.timeWaits = v.steps[:0], v.marks[:0], v.timeWaits[:0]
	for k := range recs {
		r := &recs[k]
		switch {
		case r.isStep():
			v.steps = append(v.steps, Step{At: r.at, Ref: r.ref, Side: r.side(), From: r.from(), To: r.to(),
				On: r.on(), Basis: r.basis(), Retired: r.who&whoRetired != 0, Packet: r.packet()})
			switch d := &v.flow.Ends[r.side().Index()]; {
			case !r.believed():
			case r.on() == fsm.SendFIN:
				d.FINAt, d.FINRef = r.at, r.ref
			case r.on() == fsm.RecvACKOfFIN:
				d.FINAckAt, d.FINAckRef = r.at, r.ref
			}
		case r.kind >= markBase:
			v.marks = append(v.marks, Mark{At: r.at, Ref: r.ref, Side: r.side(),
				Kind: MarkKind(r.kind - markBase), Packet: r.packet()})
		}
	}
}

// endpoint fills the account of one side.
func (v *view) endpoint(t *Table, side tcp.Side, recs []record, until int64) {
	e, k := &v.entry, side.Index()
	d, p := e.end(side), e.end(side.Other())
	out := &v.flow.Ends[k]
	out.State, out.Since, out.ISS, out.Nxt, out.Ack = d.state, e.first, d.iss, d.nxt, d.ack
	out.Sent, out.SentAck = d.has(sentAny), d.has(hasAck)
	out.Packets, out.PayloadBytes = uint64(d.packets), uint64(d.octets)
	out.SYN, out.FIN, out.RST = uint64(d.syn), uint64(d.fin), uint64(d.rst)
	out.LastAt, out.LastRef = d.lastAt, d.lastRef
	out.LastData, out.LastDataRef, out.LastDataLen = d.dataAt, d.dataRef, d.dataLen
	out.FINEnd, out.FINAcksPeer, out.FINAcked = d.finEnd, d.has(finAcksPeer), d.has(finAcked)
	out.AckedPeerFIN, out.NxtAtPeerFIN, out.HalfCloseAlive = d.has(ackedFIN), d.nxtFIN, d.has(halfAlive)
	out.Timestamps, out.LastTSVal, out.TSEcr = d.has(hasTS), d.tsval, d.tsecr
	out.SYNTSVal, out.HasSYNTSVal, out.TTL = d.tsSYN, d.has(hasTSSYN), d.ttl
	if e.extra != 0 {
		out.more(&v.extra.sides[k])
	}
	if p.has(hasAck) && d.has(hasSeq) && d.has(sentAny) {
		if v.extra.holes != 0 {
			out.AckedUnseen = t.holes.get(v.extra.holes)[k].below(p.ack)
		}
		if ahead := p.ack.Sub(d.nxt); ahead > 0 {
			out.AckedUnseen += uint64(ahead)
		}
	}
	v.stays(t, side, recs, until)
	out.FinWait2Expired = out.StateNS[fsm.FinWait2] > int64(t.opts.Profile.FinWait2)
}

// more fills in what only some flows have.
func (d *Endpoint) more(x *extraSide) {
	d.SYN += uint64(x.spilled[countSYN])
	d.FIN += uint64(x.spilled[countFIN])
	d.RST += uint64(x.spilled[countRST])
	d.PayloadBytes |= uint64(x.octetsHigh) << 32
	d.Duplicates, d.Retransmits, d.OutOfOrder = uint64(x.copies), uint64(x.retransmits), uint64(x.outOfOrder)
	d.ZeroWindows, d.Keepalives = uint64(x.zeroWindows), uint64(x.keepalives)
	d.FINRepeats, d.DataAfterPeerFIN = x.finRepeats, x.dataAfterFIN
	d.Repeats, d.RepeatAt, d.RepeatRef = x.repeats, x.repeatAt, x.repeatRef
	d.UnansweredAt, d.UnansweredRef = x.unansweredAt, x.unansweredRef
	d.EarlyRepeats, d.LastEarlyRepeat = x.earlyRepeats, x.lastEarlyRepeat
	d.FirstData, d.FirstDataRef, d.FirstDataLen = x.firstData, x.firstDataRef, x.firstDataLen
	d.FirstPlain, d.FirstPlainRef = x.firstPlain, x.firstPlainRef
}

// stays adds up how long one side stood in each state, as finally believed,
// and lists its stays in TIME_WAIT.
func (v *view) stays(t *Table, side tcp.Side, recs []record, until int64) {
	out := &v.flow.Ends[side.Index()]
	w := walk{side: side, state: fsm.Closed}
	add := func(s fsm.State, from, to int64) {
		if s != fsm.Closed && s != fsm.Listen && to > from {
			out.StateNS[s] += to - from
		}
	}
	for i := range recs {
		r := &recs[i]
		from, to, ok := w.step(r)
		if !ok {
			continue
		}
		add(from, out.Since, r.at)
		out.Since = r.at
		if from == fsm.TimeWait {
			v.leaveTimeWait(r)
		}
		if to == fsm.TimeWait {
			v.timeWaits = append(v.timeWaits, TimeWait{Side: side, Entered: r.at, EnteredRef: r.ref,
				Expires: r.at + int64(t.opts.Profile.TwoMSL)})
		}
	}
	add(w.state, out.Since, until)
	if n := len(v.timeWaits); n > 0 && v.timeWaits[n-1].Side == side {
		last := &v.timeWaits[n-1]
		last.Expires = v.entry.end(side).timer
		again := &v.extra.sides[side.Index()].restart
		last.Restarts, last.RestartAt, last.RestartRef = again.count, again.at, again.ref
		if w.state == fsm.TimeWait {
			last.EndedBy, last.EndedAt = TimeWaitCaptureEnd, until
			if v.flow.Ended == EndEvicted {
				last.EndedBy = TimeWaitEviction
			}
		}
	}
}

// leaveTimeWait notes on the last stay how it ended.
func (v *view) leaveTimeWait(r *record) {
	last := &v.timeWaits[len(v.timeWaits)-1]
	last.EndedAt, last.EndedRef = r.at, r.ref
	switch r.on() {
	case fsm.Timeout2MSL:
		last.EndedBy = TimeWaitExpiry
	case fsm.Reuse:
		last.EndedBy = TimeWaitReuse
	default:
		last.EndedBy = TimeWaitRST
	}
}

// closeOf says how a connection ended, by the first that applies.
func closeOf(e *entry, x *resets, recs []record) Close {
	a, b := &e.ends[0], &e.ends[1]
	switch {
	case refused(e, recs):
		return CloseRefused
	case unanswered(e, a, b) || unanswered(e, b, a):
		return CloseUnanswered
	case a.has(finAcked) && b.has(finAcked):
		if !a.has(finAcksPeer) && !b.has(finAcksPeer) {
			return CloseSimultaneous
		}
		return CloseOrderly
	case resetStands(x, recs):
		return CloseReset
	case a.has(sentFIN) && !a.has(finAcked) || b.has(sentFIN) && !b.has(finAcked), probed(e):
		return CloseFINUnacked
	case a.has(sentFIN) || b.has(sentFIN):
		return CloseHalf
	}
	return CloseOpen
}

// refused reports that an RST acknowledged the SYN and no SYN-ACK came.
func refused(e *entry, recs []record) bool {
	if e.has(flowSYNACK) || e.ends[0].has(wasEstablished) || e.ends[1].has(wasEstablished) {
		return false
	}
	for i := range recs {
		if r := &recs[i]; r.isStep() && r.on() == fsm.RecvRST && r.from() == fsm.SynSent {
			return true
		}
	}
	return false
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

// resetStands reports whether the RST that was noted has an effect that nothing
// disproved.
func resetStands(x *resets, recs []record) bool {
	if !x.effective {
		return false
	}
	steps := false
	for i := range recs {
		r := &recs[i]
		if r.isStep() && r.ref == x.reset.Ref && (r.on() == fsm.SendRST || r.on() == fsm.RecvRST) {
			if r.believed() {
				return true
			}
			steps = true
		}
	}
	return !steps
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

// handshake draws the opening from the log.
func (v *view) handshake(t *Table, recs []record) {
	h := &v.flow.Handshake
	client, server := v.flow.Client, v.flow.Server()
	for i := range recs {
		r := &recs[i]
		mark := MarkKind(0)
		if r.kind >= markBase {
			mark = MarkKind(r.kind - markBase)
		}
		switch syn := tcp.Flags(r.flags)&(tcp.SYN|tcp.ACK) == tcp.SYN; {
		case mark == ICMPError || r.sender() == 0:
		case r.sender() == client && syn && (mark == SYNAgain || r.isStep() && r.on() == fsm.SendSYN):
			if h.FirstSYNRef == 0 {
				h.FirstSYN, h.FirstSYNRef = r.at, r.ref
			}
			if h.SYNACKRef == 0 {
				h.LastSYN, h.LastSYNRef = r.at, r.ref
			}
		case r.sender() == server && tcp.Flags(r.flags).Has(tcp.SYN|tcp.ACK):
			if h.SYNACKRef == 0 {
				h.SYNACK, h.SYNACKRef = r.at, r.ref
			}
		case r.sender() == client && r.isStep() && r.on() == fsm.RecvACKOfSYN && h.ACKRef == 0:
			h.ACK, h.ACKRef = r.at, r.ref
		}
	}
	h.Outcome = v.outcome()
	if v.extra.icmp != 0 {
		x := t.icmps.get(v.extra.icmp)
		h.ICMP, h.ICMPRef, h.ICMPType, h.ICMPCode = x.at, x.ref, x.kind, x.code
		h.ICMPReporter = netip.AddrFrom16(x.reporter).Unmap()
	}
}

// outcome says how the handshake went.
func (v *view) outcome() Outcome {
	c, s := v.entry.end(v.flow.Client), v.entry.end(v.flow.Server())
	established := c.has(wasEstablished) && !c.has(presumedSYNACK) || s.has(wasEstablished)
	switch {
	case v.flow.Midstream:
		return Unseen
	case c.has(sentSYN) && s.has(sentSYN) && established:
		return Simultaneous
	case established:
		return Complete
	case v.flow.Close == CloseRefused:
		return Refused
	case s.has(sentSYNACK) || c.has(sentSYNACK):
		return Incomplete
	case v.extra.icmp != 0 && c.has(sentSYN):
		return Unreachable
	}
	return Unanswered
}
