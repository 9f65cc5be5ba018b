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
	entry     *entry
	extra     *extra
	resets    *resets
	stood     [2]fsm.State // where the believed steps so far led each side
	rsts      rsts
	steps     []Step
	marks     []Mark
	timeWaits []TimeWait
	torn      bool // octets are missing that were acknowledged, or stood before what was sent
}

// fill describes e as it stands at event time until. Timers run up to then: they
// move the states in e itself, but add nothing to its log.
func (v *view) fill(t *Table, e *entry, why Ending, until int64) *Flow {
	v.entry, v.extra, v.resets = e, t.known(e), t.knownResets(e)
	e.guessClient()
	f := &v.flow
	*f = Flow{} // filled in place: it is large, and a literal would be made elsewhere and copied
	t.putTuple(&f.Tuple, e.key, e.has(flowWide))
	f.ID, f.Client, f.Role = e.firstRef, e.client, e.role
	f.Incarnation, f.Midstream = uint32(e.incarnation), !e.has(flowSYN|flowSYNACK)
	f.Start, f.End, f.First, f.Last = e.first, e.last(), e.firstRef, e.lastRef()
	f.Final, f.Until, f.Ended, f.RTT = until, until, why, e.rtt
	if e.compat != 0 {
		f.compat = *t.compats.get(e.compat)
	}
	if v.extra.previous != 0 {
		f.Prev = *t.previouses.get(v.extra.previous)
	}
	v.read(t, until)
	f.Close, f.ActiveCloser = v.rsts.closeOf(e, v.resets), closerOf(e)
	if v.rsts.stand(v.resets) {
		f.Reset = v.resets.reset
	}
	if q := t.suspected(v.resets); q.ProofRef != 0 {
		f.Denied = q.Denied
	}
	v.torn = false
	for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
		v.endpoint(t, side)
		v.lastStay(t, side)
	}
	if len(v.timeWaits) > 1 {
		slices.SortStableFunc(v.timeWaits, func(a, b TimeWait) int {
			return cmp.Or(cmp.Compare(a.Entered, b.Entered), cmp.Compare(a.Side, b.Side))
		})
	}
	f.Steps, f.Marks, f.TimeWaits = v.steps, v.marks, v.timeWaits
	v.handshake(t)
	f.Quality = v.quality(why, until)
	return f
}

// lastRef is the flow's last segment.
func (e *entry) lastRef() tcp.PacketRef {
	a, b := &e.ends[0], &e.ends[1]
	switch {
	case a.lastAt == b.lastAt || a.packets == 0 || b.packets == 0:
		return max(a.lastRef, b.lastRef)
	case a.lastAt > b.lastAt:
		return a.lastRef
	}
	return b.lastRef
}

// read goes through the log once, and through what the timers add to it.
func (v *view) read(t *Table, until int64) {
	e := v.entry
	v.steps, v.marks, v.timeWaits, v.rsts = v.steps[:0], v.marks[:0], v.timeWaits[:0], rsts{}
	for k := range v.stood {
		v.stood[k], v.flow.Ends[k].Since = fsm.Closed, e.first
	}
	for l := t.read(e); l.next(e); {
		v.take(t, &l.record)
	}
	for {
		side, on := due(e, until)
		if side == 0 {
			return
		}
		var r record
		if !fire(e, side, on, &r) {
			return
		}
		v.take(t, &r)
	}
}

// take adds a record to all that is told of the log.
func (v *view) take(t *Table, r *record) {
	switch {
	case r.kind >= markBase:
		v.marks = extend(v.marks)
		m := &v.marks[len(v.marks)-1]
		m.At, m.Ref, m.Side, m.Kind = r.at, r.ref, r.side(), MarkKind(r.kind-markBase)
		r.describe(&m.Packet)
	case r.isStep():
		v.steps = extend(v.steps)
		st := &v.steps[len(v.steps)-1]
		st.At, st.Ref, st.Side, st.From, st.To = r.at, r.ref, r.side(), r.from(), r.to()
		st.On, st.Basis, st.Retired = r.on(), r.basis(), r.who&whoRetired != 0
		r.describe(&st.Packet)
		v.rsts.see(v.resets, r)
		if r.who&whoRetired == 0 {
			v.believe(t, r)
		}
	}
	if r.flags&uint8(tcp.SYN) != 0 || r.on() == fsm.RecvACKOfSYN {
		v.shakes(r)
	}
}

// describe says what is shown of the packet of a record.
func (r *record) describe(p *Packet) {
	p.From, p.Payload, p.Flags, p.Number = r.sender(), r.who&whoPayload != 0, tcp.Flags(r.flags), r.number
}

// extend makes room for one more value, which holds anything. Its fields are set
// in place: a literal would be made elsewhere, octet by octet, and be copied as a
// whole, and the copy would wait for the octets.
func extend[T any](list []T) []T {
	if n := len(list); n < cap(list) {
		return list[:n+1]
	}
	var none T
	return append(list, none)
}

// believe follows a step that nothing disproved: how long its side stood in each
// state, its stays in TIME_WAIT, and what became of its FIN.
func (v *view) believe(t *Table, r *record) {
	k := r.side().Index()
	d := &v.flow.Ends[k]
	switch r.on() {
	case fsm.Revise:
		return // to what the steps still believed say anyway
	case fsm.SendFIN:
		d.FINAt, d.FINRef = r.at, r.ref
	case fsm.RecvACKOfFIN:
		d.FINAckAt, d.FINAckRef = r.at, r.ref
	}
	from, to, ok := v.stood[k], r.to(), true
	if r.from() != from { // a listener's first step, or one behind some that were taken back
		to, ok = fsm.Observe(from, r.on())
	}
	if !ok || to == from {
		return
	}
	d.stay(from, r.at)
	v.stood[k], d.Since = to, r.at
	if from == fsm.TimeWait {
		v.leaveTimeWait(r)
	}
	if to == fsm.TimeWait {
		v.timeWaits = append(v.timeWaits, TimeWait{Side: r.side(), Entered: r.at, EnteredRef: r.ref,
			Expires: r.at + int64(t.opts.Profile.TwoMSL)})
	}
}

// stay adds a stay in s that ends at event time to.
func (d *Endpoint) stay(s fsm.State, to int64) {
	if s != fsm.Closed && s != fsm.Listen && to > d.Since {
		d.StateNS[s] += to - d.Since
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

// endpoint fills the account of one side; the log was walked before.
func (v *view) endpoint(t *Table, side tcp.Side) {
	e, k := v.entry, side.Index()
	d, p := e.end(side), e.end(side.Other())
	out := &v.flow.Ends[k]
	out.State, out.ISS, out.Nxt, out.Ack = d.state, d.iss, d.nxt, d.ack
	out.Sent, out.SentAck = d.has(sentAny), d.has(hasAck)
	out.Packets, out.PayloadBytes = uint64(d.packets), uint64(d.octets)
	out.SYN, out.FIN, out.RST = uint64(d.syn), uint64(d.fin), uint64(d.rst)
	out.LastAt, out.LastRef = d.lastAt, d.lastRef
	out.LastData, out.LastDataRef, out.LastDataLen = d.dataAt, d.dataRef, d.dataLen
	out.FINEnd, out.FINAcksPeer, out.FINAcked = d.finEnd, d.has(finAcksPeer), d.has(finAcked)
	out.AckedPeerFIN, out.NxtAtPeerFIN, out.HalfCloseAlive = d.has(ackedFIN), d.nxtFIN, d.has(halfAlive)
	out.Timestamps, out.LastTSVal, out.TSEcr = d.has(hasTS), d.tsval, d.tsecr
	out.SYNTSVal, out.HasSYNTSVal, out.TTL = d.tsSYN, d.has(hasTSSYN), d.ttl
	if n := v.extra.sides[k]; n != 0 {
		x := t.sides.get(n)
		out.more(x)
		v.torn = v.torn || x.aheadAt != 0 && d.nxt.Less(x.ahead)
	}
	if p.has(hasAck) && d.has(hasSeq) && d.has(sentAny) {
		if v.extra.holes != 0 {
			out.AckedUnseen = t.holes.get(v.extra.holes)[k].below(p.ack)
			v.torn = v.torn || out.AckedUnseen > 0
		}
		if ahead := p.ack.Sub(d.nxt); ahead > 0 {
			out.AckedUnseen += uint64(ahead)
		}
	}
	out.stay(v.stood[k], v.flow.Until)
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
	d.FINRepeats, d.DataAfterPeerFIN, d.DataBeforePeerFIN = x.finRepeats, x.dataAfterFIN, x.dataBeforeFIN
	d.Repeats, d.RepeatAt, d.RepeatRef = x.repeats, x.repeatAt, x.repeatRef
	d.UnansweredAt, d.UnansweredRef = x.unansweredAt, x.unansweredRef
	d.StalledAt, d.StalledUntil = x.stalledAt, x.stalledUntil
	d.EarlyRepeats, d.LastEarlyRepeat = x.earlyRepeats, x.lastEarlyRepeat
	d.FirstData, d.FirstDataRef, d.FirstDataLen = x.firstData, x.firstDataRef, x.firstDataLen
	d.FirstPlain, d.FirstPlainRef = x.firstPlain, x.firstPlainRef
	d.Ahead, d.AheadAt = x.ahead, x.aheadAt
}

// leaveTimeWait notes on a side's last stay how it ended.
func (v *view) leaveTimeWait(r *record) {
	last := v.lastTimeWait(r.side())
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

// lastTimeWait is a side's last stay in TIME_WAIT, nil when it had none.
func (v *view) lastTimeWait(side tcp.Side) *TimeWait {
	for i := len(v.timeWaits) - 1; i >= 0; i-- {
		if w := &v.timeWaits[i]; w.Side == side {
			return w
		}
	}
	return nil
}

// lastStay completes a side's last stay in TIME_WAIT, if it had any.
func (v *view) lastStay(t *Table, side tcp.Side) {
	last := v.lastTimeWait(side)
	if last == nil {
		return
	}
	last.Expires = v.entry.end(side).timer
	again := &t.knownSide(v.extra, side).restart
	last.Restarts, last.RestartAt, last.RestartRef = again.count, again.at, again.ref
	if v.stood[side.Index()] != fsm.TimeWait {
		return
	}
	last.EndedBy, last.EndedAt = TimeWaitCaptureEnd, v.flow.Until
	if v.flow.Ended == EndEvicted {
		last.EndedBy = TimeWaitEviction
	}
}

// shakes takes the next record that may be of the handshake.
func (v *view) shakes(r *record) {
	h, client := &v.flow.Handshake, v.flow.Client
	flags := tcp.Flags(r.flags)
	switch syn := flags&(tcp.SYN|tcp.ACK) == tcp.SYN; {
	case r.kind == markBase+uint8(ICMPError) || r.sender() == 0:
	case r.sender() == client && syn && (r.kind == markBase+uint8(SYNAgain) || r.isStep() && r.on() == fsm.SendSYN):
		if h.FirstSYNRef == 0 {
			h.FirstSYN, h.FirstSYNRef = r.at, r.ref
		}
		if h.SYNACKRef == 0 {
			h.LastSYN, h.LastSYNRef = r.at, r.ref
		}
	case r.sender() != client && flags.Has(tcp.SYN|tcp.ACK):
		if h.SYNACKRef == 0 {
			h.SYNACK, h.SYNACKRef = r.at, r.ref
		}
	case r.sender() == client && r.isStep() && r.on() == fsm.RecvACKOfSYN && h.ACKRef == 0:
		h.ACK, h.ACKRef = r.at, r.ref
	}
}

// handshake completes what the log told of the opening.
func (v *view) handshake(t *Table) {
	h := &v.flow.Handshake
	if v.extra.icmp != 0 {
		x := t.icmps.get(v.extra.icmp)
		h.ICMP, h.ICMPRef, h.ICMPType, h.ICMPCode = x.at, x.ref, x.kind, x.code
		h.ICMPReporter = netip.AddrFrom16(x.reporter).Unmap()
	}
	h.Outcome = v.outcome()
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
	case c.has(sentSYN) && v.flow.EndsByICMP():
		return Unreachable
	}
	return Unanswered
}
