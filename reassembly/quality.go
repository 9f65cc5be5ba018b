package reassembly

// quality lists why the flow's story may be trusted less.
func (v *view) quality(why Ending, until int64) (q Quality) {
	e := v.entry
	set := func(on bool, bit Quality) {
		if on {
			q |= bit
		}
	}
	a, b := &e.ends[0], &e.ends[1]
	set(v.flow.Midstream, QualityMidstream)
	set(oneWay(a, b) || oneWay(b, a), QualityOneWay)
	set(e.has(flowLoss) || v.torn, QualityCaptureLoss)
	set(e.has(flowCopies), QualityDuplicates)
	set(e.has(flowSnapped), QualitySnapped)
	set(filtered(e), QualityFiltered)
	set(e.has(flowStepped) || leapt(e), QualityClockStep)
	set(why == EndInput && !e.has(flowDone) && until-e.last() < soon, QualityEndsEarly)
	set(why == EndEvicted, QualityEvicted)
	return q
}

// soon is how close to the input's end a flow's last segment makes every "not
// answered" premature, ns: well beyond a first retransmission.
const soon = 3e9

// slowestTick is longer than a tick of any timestamp clock in use, ns (RFC 7323
// §5.4 allows up to a second; 100 ms occurs).
const slowestTick = 200e6

// leapt reports that the capture's clock leapt ahead: since their SYNs neither
// end's timestamps went on as far as the slowest clock would have.
func leapt(e *entry) bool {
	for i := range e.ends {
		d := &e.ends[i]
		passed, ticks := d.lastAt-e.first, int64(int32(d.tsval-d.tsSYN))
		if !d.has(hasTSSYN) || !d.has(hasTS) || d.rst > 0 || ticks < 0 || passed < 10e9 || ticks*slowestTick > passed {
			return false
		}
	}
	return true
}

// oneWay reports that d's acknowledgements prove a peer of which nothing was
// captured.
func oneWay(d, p *end) bool { return p.packets == 0 && d.has(hasAck) }

// filtered reports a flow of which only SYN, FIN and RST segments were captured
// although it was opened and closed: the widespread capture filter on flags.
func filtered(e *entry) bool {
	opened := e.has(flowSYNACK) && e.has(flowFINSeen)
	closed := e.ends[0].fin > 0 && e.ends[1].fin > 0
	return (opened || closed) && !e.has(flowPlain)
}
