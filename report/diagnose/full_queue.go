package diagnose

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	// A queueCell spans queueSlot, of which each bit of its masks is a moment.
	queueMoment = int64(1) << 28 // ns: 0.27 s
	queueSlot   = 64 * queueMoment
	// queueGap is the longest time between two spells of one overflow, ns.
	queueGap = 60e9
)

// fullQueues looks for listeners that ignore SYNs because nobody accepts
// (tcp_conn_request in net/ipv4/tcp_input.c, sk_acceptq_is_full): while SYNs of
// others are dropped, the kernel goes on acknowledging what it has put into the
// queue, and the application answers none of it.
type fullQueues struct {
	cells  sketch[queueCell, *queueCell]
	stalls sketch[stallCell, *stallCell] // by host; see ignored.go
}

// queueCell is what happened to one service in queueSlot of time.
type queueCell struct {
	silent   flowCell // whose SYN came again, by that moment
	dropped  uint64   // moments at which a SYN passed that nothing answered
	lastDrop int64    // when the last of those passed
	answered uint64   // moments of SYN-ACKs: there was room
	served   uint64   // moments of third segments on connections that were soon answered
	ignored  uint64   // moments at which a client was ignored that other flows may tell of
	held     []held   // the first heldKept that waited longest, in order
}

func (c *queueCell) hold(h held) {
	i, _ := slices.BinarySearchFunc(c.held, h, held.compare)
	if i < heldKept {
		c.held = slices.Insert(c.held, i, h)
		c.held = c.held[:min(len(c.held), heldKept)]
	}
}

func (c *queueCell) weight() uint64 {
	// What speaks of trouble weighs more than any SYN-ACK, of which a portion
	// may hold more.
	return 2*(c.silent.n+uint64(bits.OnesCount64(c.dropped)+bits.OnesCount64(c.ignored)+len(c.held))) + uint64(bits.OnesCount64(c.answered))
}

func (c *queueCell) merge(o *queueCell) {
	c.silent.merge(&o.silent)
	c.dropped |= o.dropped
	c.lastDrop = max(c.lastDrop, o.lastDrop)
	c.answered |= o.answered
	c.served |= o.served
	c.ignored |= o.ignored
	for _, h := range o.held {
		c.hold(h)
	}
}

func (c *queueCell) reset() {
	*c = queueCell{silent: flowCell{seen: c.silent.seen[:0]}, held: c.held[:0]}
}

// moment is the cell of the flow's service at a time, and the time's bit in its
// masks.
func (s *fullQueues) moment(c *Context, at int64) (*queueCell, uint64) {
	k := c.service
	k.slot = at / queueSlot
	return s.cells.on(&k, c.serviceHosts), 1 << (at % queueSlot / queueMoment)
}

// masks are the moments of SYN-ACKs and of third segments of the flow's service
// at a time, and that time's bit.
func (s *fullQueues) masks(c *Context, at int64) (answered, served *uint64, bit uint64) {
	if x := c.lately; x.covers(at) {
		return &x.answered, &x.served, 1 << (at % queueSlot / queueMoment)
	}
	cell, bit := s.moment(c, at)
	return &cell.answered, &cell.served, bit
}

// own is moment for what is not gathered: such a cell gets at once what its
// portion holds, or it would weigh less than it is and be let go.
func (s *fullQueues) own(c *Context, at int64) (*queueCell, uint64) {
	cell, bit := s.moment(c, at)
	if x := c.lately; x.covers(at) {
		cell.answered |= x.answered
		cell.served |= x.served
	}
	return cell, bit
}

func (s *fullQueues) gather(k place, hosts uint64, x *portion, letGo bool) {
	if x.answered|x.served != 0 {
		c := s.cells.cell(&k, k.hashOn(hosts), letGo)
		c.answered |= x.answered
		c.served |= x.served
	}
}

func (s *fullQueues) Add(c *Context, f *reassembly.Flow) {
	s.stalled(f)
	s.ignored(c, f)
	h := &f.Handshake
	if f.Role != reassembly.RoleSYN || f.Quality&(reassembly.QualityOneWay|reassembly.QualityFiltered|reassembly.QualityClockStep) != 0 {
		return
	}
	if h.SYNACKRef != 0 {
		answered, _, bit := s.masks(c, h.SYNACK)
		*answered |= bit
	}
	if again := firstMark(f, f.Client, reassembly.SYNAgain, h.FirstSYN); again != nil {
		s.silence(c, f, again)
	}
	if h.Outcome != reassembly.Complete {
		return
	}
	switch x, waited, served := heldBy(c, f); {
	case served:
		_, served, bit := s.masks(c, h.ACK)
		*served |= bit
	case waited:
		cell, _ := s.own(c, h.ACK)
		cell.hold(x)
	} // else nobody asked for anything
}

// silence notes the SYNs that nothing answered, of a flow whose SYN came again.
func (s *fullQueues) silence(c *Context, f *reassembly.Flow, again *reassembly.Mark) {
	h, at := &f.Handshake, synTimes(f)
	if h.FirstSYNRef == 0 || h.ICMPRef != 0 || lostSYNACK(f) != nil {
		return
	}
	switch {
	case h.Outcome == reassembly.Unanswered && f.Endpoint(f.Server()).Packets == 0:
	case h.Outcome == reassembly.Complete && refusal(f) == nil && firstMark(f, f.Server(), reassembly.ChallengeACK, h.FirstSYN) == nil &&
		firstMark(f, f.Server(), reassembly.BadSYNACK, h.FirstSYN) == nil:
		at = slices.DeleteFunc(at, func(t int64) bool { return t >= h.LastSYN }) // the last was answered
	default:
		return
	}
	for _, t := range at {
		cell, bit := s.own(c, t)
		cell.dropped |= bit
		cell.lastDrop = max(cell.lastDrop, t)
	}
	if len(at) > 1 {
		cell, _ := s.own(c, again.At)
		cell.silent.add(sighting{flow: f.ID, at: again.At, ref: again.Ref, side: clientRole,
			since: h.FirstSYN, sinceRef: h.FirstSYNRef, sinceBy: clientRole})
	}
}

// Merge adds another collector's counts.
func (s *fullQueues) Merge(o Collector) {
	p := o.(*fullQueues)
	s.cells.merge(&p.cells)
	s.stalls.merge(&p.stalls)
}

// Findings names the listeners, once for each spell.
func (s *fullQueues) Findings(_ *Context, end int64, emit func(Finding)) {
	keys := s.cells.places()
	for len(keys) > 0 {
		host := keys[:run(keys, func(a, b place) bool { return a.service == b.service })]
		for rest := host; len(rest) > 0; {
			n := run(rest, func(a, b place) bool { return a.whole() == b.whole() })
			s.service(rest[:n], host, end, emit)
			rest = rest[n:]
		}
		keys = keys[len(host):]
	}
}

// run is how many places from the first on are the same.
func run(keys []place, same func(a, b place) bool) int {
	n := 1
	for n < len(keys) && same(keys[0], keys[n]) {
		n++
	}
	return n
}

// spell is a time in which SYNs were ignored and none was answered.
type spell struct {
	from, to int64 // from its first moment to its last SYN, to a moment
	lastSYN  int64 // when the last of those began
	held     []held
	sure     bool // neither the host nor the path was down
}

// service judges the cells of one service, of all those of its host.
func (s *fullQueues) service(keys, host []place, end int64, emit func(Finding)) {
	var all []spell // of one overflow
	flush := func() {
		if len(all) > 0 {
			if d, ok := s.overflow(keys, all, end); ok {
				emit(d)
			}
			all = all[:0]
		}
	}
	for _, x := range s.spells(keys) {
		if s.waiting(keys, host, &x); len(x.held) == 0 {
			continue
		}
		if len(all) > 0 && x.from-all[len(all)-1].to > queueGap {
			flush()
		}
		all = append(all, x)
	}
	flush()
}

// spells are the times between two SYN-ACKs in which more than one SYN was
// ignored.
func (s *fullQueues) spells(keys []place) (out []spell) {
	var x spell
	seen := 0
	end := func() {
		if seen > 1 {
			out = append(out, x)
		}
		seen = 0
	}
	for _, k := range keys {
		c := s.cells.get(k)
		for m := c.dropped | c.answered; m != 0; m &= m - 1 {
			bit, at := m&-m, k.slot*queueSlot+int64(bits.TrailingZeros64(m))*queueMoment
			if c.answered&bit != 0 {
				end()
				continue
			}
			if seen++; seen == 1 {
				x = spell{from: at}
			}
			x.lastSYN, x.to = at, min(at+queueMoment, c.lastDrop)
		}
	}
	end()
	return out
}

// waiting notes the connections that waited all through a spell and that are
// younger than any which was served before it. Something must show that neither
// the host nor the path was down meanwhile.
func (s *fullQueues) waiting(keys, host []place, x *spell) {
	served := int64(0) // the end of the last moment before the spell
	for _, k := range keys {
		for m := s.cells.get(k).served; m != 0; m &= m - 1 {
			if at := k.slot*queueSlot + int64(bits.TrailingZeros64(m)+1)*queueMoment; at <= x.to {
				served = max(served, at)
			}
		}
	}
	alive, back := false, false
	for _, k := range keys {
		for _, h := range s.cells.get(k).held {
			if h.from < served || h.from > x.from+queueMoment || h.until < x.lastSYN {
				continue
			}
			x.held = append(x.held, h)
			alive = alive || slices.ContainsFunc(h.alive[:], func(t int64) bool { return x.from <= t && t <= x.to })
			back = back || h.answered
		}
	}
	// Most of those in a full queue were acknowledged before the first SYN was
	// dropped. That they are answered at last tells of the host alone: it still
	// knew them. Another port's SYN-ACK tells of the path alone where a balancer
	// or a translator has a host behind each port.
	switch {
	case alive, back && goesOn(x.held):
		x.sure = true
	case s.answeredElsewhere(keys, host, x):
		x.sure = back
	default:
		x.held = nil
	}
}

// answeredElsewhere reports that another port of the host answered a SYN in the
// midst of a spell.
func (s *fullQueues) answeredElsewhere(keys, host []place, x *spell) bool {
	for _, k := range host {
		if k.port == keys[0].port || k.tag != keys[0].tag || (k.slot+1)*queueSlot <= x.from || k.slot*queueSlot > x.to {
			continue
		}
		for m := s.cells.get(k).answered; m != 0; m &= m - 1 {
			if at := k.slot*queueSlot + int64(bits.TrailingZeros64(m))*queueMoment; at > x.from && at+queueMoment <= x.to {
				return true
			}
		}
	}
	return false
}

// overflow is the finding on some spells.
func (s *fullQueues) overflow(keys []place, all []spell, end int64) (d Finding, ok bool) {
	first, last := all[0].from, all[len(all)-1].to
	var silent flowCell
	for _, k := range keys {
		for _, x := range s.cells.get(k).silent.seen {
			if first <= x.at && x.at <= last {
				silent.add(x)
			}
		}
	}
	if silent.n == 0 {
		return d, false
	}
	var waits sightings
	longest := int64(0)
	for i := range all {
		for _, h := range all[i].held {
			if !slices.ContainsFunc(waits, func(x sighting) bool { return x.flow == h.flow }) {
				waits.add(h.sighting)
			}
			longest = max(longest, min(h.until, end)-h.from)
		}
	}
	d = newPattern(keys[0].whole(), ServerApp, Possible, silent.n, silent.seen, func(sighting) (string, string) {
		return "a SYN that nothing answers", "the same SYN again"
	})
	for _, x := range waits[:min(len(waits), flowsShown)] {
		d.prove(Evidence{Ref: x.sinceRef, At: x.since, Side: tcp.Side(x.sinceBy), What: "another connection of this listener is open"},
			Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(x.side), What: "its request, which the kernel acknowledges and the application does not answer"})
	}
	if len(waits) > 1 && slices.ContainsFunc(all, func(x spell) bool { return x.sure }) {
		d.Confidence = Likely
	}
	began := first
	for _, x := range silent.seen {
		began = min(began, x.since)
	}
	d.Time, d.Duration = began, last-began
	d.Verdict = fmt.Sprintf("%s ignored the SYNs of %s connections for %s and answered none meanwhile, while its kernel took the requests of %s others, unanswered for up to %s: its accept queue is full, the application does not accept fast enough",
		d.Service, count(silent.n), Span(last-began), count(uint64(len(waits))), Span(longest))
	return d, true
}
