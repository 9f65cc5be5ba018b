package diagnose

import (
	"math"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func idleTimeoutClose() Rule {
	return Rule{
		ID:       "idle-timeout-close",
		Title:    "one side closes after a constant time without payload",
		Severity: Warning,
		Doc:      idleTimeoutCloseDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9112 §9.5", "RFC 7323 §3"},
		New:      func() Collector { return &idleCloses{} },
	}
}

const idleTimeoutCloseDoc = `What it means
  One side of a service closes its connections when they have been idle for a
  certain time. The timer belongs to the sender of the FIN (or RST). A peer that
  keeps idle connections longer, for instance in a pool, finds them closed when
  it wants to use one. Where the last payload was the client's and got no
  answer, the finding says so: then nothing was idle, most likely, and the timer
  limits how long a request may take.

Signature
  At least five connections to one service that the same side closed first, or
  aborted, after the same time without payload: within 10 % from the shortest to
  the longest (a coefficient of variation under 3 %), and at least a third of
  all that it closed after a second or more of idleness. Keepalives are no
  payload. Where the capture begins in the middle of the idle time, or lacks
  payload, the time is taken from the timestamp options: from the peer's value
  that the FIN echoes to that of the peer's last segment, without the time after
  the FIN, at a tick rate estimated from the connection or from the peer's
  others. That is how long the closer had heard nothing from its peer, and does
  not tell who had the last word: so it is likely at most. Closes after payload
  of the client without an answer are counted apart, and likely at most, too. No
  more than possible where a filter left nothing but SYN, FIN and RST: no use is
  seen then, and that of the closer itself leaves no trace.

Look-alikes
  Connections that are all closed in one moment, by a restart for instance: the
  closes must lie three times further apart than the idle times.
  Idle times that differ from connection to connection: users, or a peer that
  goes away.
  A timer on the age of a connection and not on its idleness: the times since
  the last payload then differ.
  A constant delay below a second: processing, not a timer.
  A client that gives up waiting for an answer, or a server that limits how long
  a request may take: the client's payload is the last before the close. A
  request that needs no answer, and then idleness, looks the same.

What it usually is
  A keep-alive timeout of a server or proxy, the idle limit of a load balancer,
  the wait_timeout of a database; on the client's side the idle limit of a pool,
  or of a proxy towards its servers. Every named default can be configured: it
  is a hint, not a proof. After a request without an answer: the client's
  request timeout, or the server's. If an idle timer comes with fin-unanswered
  or write-after-fin of the other side, that side does not watch its idle
  connections.

What to do
  Let the side that reuses connections give them up first: its idle time and
  maximum lifetime well below the time found, half of it for instance. Or raise
  the timer. Keepalives on the TCP level do not count as use for most of them.
  Where a request got no answer, ask what the server did with it: it was slow,
  or it hung. A longer timer only lets the client wait longer.

What would prove it
  The configuration of the side that closes: the timer with that value.`

const (
	// leastIdle is the shortest idle time that is taken for a timer, ns.
	leastIdle = 1e9
	// leastIdleCloses is how many flows make a pattern.
	leastIdleCloses = 5
	// idleStep is the ratio of the widths of two neighbouring slots. Two of them
	// together span 10 %.
	idleStep = 1.05
	// idleShare is the least share of the closes after an idle time, 1/idleShare.
	idleShare = 3
	// idleSpread is how many times further apart the closes must lie than the
	// idle times before them.
	idleSpread = 3
)

// idleCloses counts closes by service, closing side and length of the idle
// time before.
type idleCloses struct {
	cells sketch[idleCell, *idleCell]
	// waits are closes whose last use was payload of the client that got no
	// answer: somebody waited, and nothing was idle.
	waits sketch[idleCell, *idleCell]
	// unseen are closes whose idle time the capture did not see begin. Their
	// lengths are ticks of the peer's clock, which clocks tells the rate of.
	unseen sketch[idleCell, *idleCell]
	clocks sketch[clockCell, *clockCell]
}

// idleCell is one slot of the histogram.
type idleCell struct {
	flowCell
	sum      int64 // of the lengths, us (or ticks)
	shortest int64 // ns (or ticks)
	longest  int64
	resets   uint64 // of them, closed by RST
	harmed   uint64 // of them, where the other side left the close unanswered, wrote after it, or was too late
	blind    uint64 // of them, where it is not known whose the last payload was
	filtered uint64 // of them, where a filter left only SYN, FIN and RST
	after    int64  // of those in ticks: ns from the close to the packet that tells, summed up
}

func (c *idleCell) merge(o *idleCell) {
	if c.n == 0 || o.n > 0 && o.shortest < c.shortest {
		c.shortest = o.shortest
	}
	c.longest = max(c.longest, o.longest)
	c.sum += o.sum
	c.resets += o.resets
	c.harmed += o.harmed
	c.blind += o.blind
	c.filtered += o.filtered
	c.after += o.after
	c.flowCell.merge(&o.flowCell)
}

func (c *idleCell) reset() { *c = idleCell{flowCell: flowCell{seen: c.seen[:0]}} }

// idleClose is what a close after an idle time was like.
type idleClose struct {
	reset, harmed, blind, filtered bool
}

func (c *idleCell) take(x sighting, length int64, was idleClose) {
	if c.n == 0 || length < c.shortest {
		c.shortest = length
	}
	c.longest = max(c.longest, length)
	if was.reset {
		c.resets++
	}
	if was.harmed {
		c.harmed++
	}
	if was.blind {
		c.blind++
	}
	if was.filtered {
		c.filtered++
	}
	c.add(x)
}

var idleStepLog = math.Log(idleStep)

// idleSlot is the histogram's slot of a length.
func idleSlot(length int64) int64 {
	return int64(math.Floor(math.Log(float64(length)) / idleStepLog))
}

func (s *idleCloses) Add(c *Context, f *reassembly.Flow) {
	s.clock(c, f)
	side, at, ref, ok := firstClose(f)
	if !ok || f.Quality&(reassembly.QualityOneWay|reassembly.QualityClockStep) != 0 {
		return
	}
	since, sinceRef, by := lastUse(f, side, at)
	filtered := f.Quality&reassembly.QualityFiltered != 0
	if filtered {
		since = 0 // a filter leaves no use to be seen, but timestamps
	}
	if since != 0 && at-since < leastIdle && !unseen(f) {
		return // as most
	}
	x := sighting{flow: f.ID, at: at, ref: ref, side: roleSide(f, side)}
	was := idleClose{
		reset:    f.Endpoint(side).FINRef == 0,
		harmed:   c.has("fin-unanswered") != nil || c.has("write-after-fin") != nil || c.has("late-close-reset") != nil,
		blind:    since == 0 || unseen(f),
		filtered: filtered,
	}
	k := c.service
	k.side = x.side
	if since == 0 || unseen(f) {
		// Where the capture lacks payload, or the beginning, timestamps tell.
		if last, ok := heardAt(f, side); ok {
			x.since, x.sinceRef, x.sinceBy = x.at, x.ref, x.side
			x.at, x.ref, x.side = last.At, last.Ref, roleSide(f, side.Other())
			if ns, _, ok := heardNS(f, side); ok {
				note(&s.cells, k, x, ns, was)
				return
			}
			if ticks, after, _ := heard(f, side); f.Midstream && since == 0 && after <= leastIdle/4 {
				k.host, k.slot = addressOf(f, side.Other()), idleSlot(ticks)
				c := s.unseen.at(k)
				c.sum, c.after = c.sum+ticks, c.after+after
				c.take(x, ticks, was)
				return
			}
			x.at, x.ref, x.side = x.since, x.sinceRef, x.sinceBy
		}
	}
	if since != 0 {
		x.since, x.sinceRef, x.sinceBy = since, sinceRef, roleSide(f, by)
		switch waited, known := unanswered(f, sinceRef, at); {
		case waited:
			note(&s.waits, k, x, at-since, was)
		case known:
			note(&s.cells, k, x, at-since, was)
		}
	}
}

// note counts a close after an idle time of that many ns.
func note(to *sketch[idleCell, *idleCell], k place, x sighting, gap int64, was idleClose) {
	if gap >= leastIdle {
		k.slot = idleSlot(gap)
		c := to.at(k)
		c.sum += gap / 1000
		c.take(x, gap, was)
	}
}

// unanswered reports that the last use before a close was payload of the client,
// and that the server sent nothing after it. It is not known where the server
// sent payload after the close, unless that was its first: of others only the
// last is known.
func unanswered(f *reassembly.Flow, last tcp.PacketRef, at int64) (waited, known bool) {
	d := f.Endpoint(f.Server())
	if last == 0 || last != f.Endpoint(f.Client).LastDataRef || unseen(f) {
		return false, true
	}
	waited = d.LastData <= at || firstAnswer(f)
	return waited, waited
}

// unseen reports that payload was acknowledged which the capture does not hold:
// the last of it may have been the last use.
func unseen(f *reassembly.Flow) bool { return f.Ends[0].AckedUnseen+f.Ends[1].AckedUnseen > 0 }

// heardAt is the packet whose timestamp tells when the closer had last heard of
// the other side.
func heardAt(f *reassembly.Flow, closer tcp.Side) (e Evidence, ok bool) {
	p := f.Endpoint(closer.Other())
	_, _, ok = heard(f, closer)
	return Evidence{Ref: p.LastRef, At: p.LastAt, Side: closer.Other()}, ok
}

// firstClose is the side that closed first, or aborted an open connection, and
// when. The answer to a segment is no close of its own.
func firstClose(f *reassembly.Flow) (s tcp.Side, at int64, ref tcp.PacketRef, ok bool) {
	switch f.ActiveCloser {
	case reassembly.CloserClient:
		s = f.Client
	case reassembly.CloserServer:
		s = f.Server()
	case reassembly.CloserNone:
		return firstReset(f)
	default:
		return 0, 0, 0, false
	}
	d := f.Endpoint(s)
	if r := &f.Reset; r.Ref != 0 && r.At < d.FINAt {
		return firstReset(f) // the FIN met no connection any more
	}
	return s, d.FINAt, d.FINRef, sentFIN(f, s)
}

// firstReset is firstClose of a connection that an RST ended.
func firstReset(f *reassembly.Flow) (s tcp.Side, at int64, ref tcp.PacketRef, ok bool) {
	r := &f.Reset
	if r.Ref == 0 || r.InAnswerTo != 0 || r.Class == reassembly.ResetPassive || f.Close != reassembly.CloseReset ||
		f.Handshake.Outcome != reassembly.Complete && f.Handshake.Outcome != reassembly.Unseen || stalled(f) {
		return 0, 0, 0, false
	}
	return r.By, r.At, r.Ref, true
}

// lastUse is the last packet before a close that was no keepalive: payload of
// either side, or the handshake. 0 when the capture did not see it.
func lastUse(f *reassembly.Flow, closer tcp.Side, at int64) (since int64, ref tcp.PacketRef, by tcp.Side) {
	use := func(t int64, r tcp.PacketRef, s tcp.Side) {
		if r != 0 && t <= at && t > since {
			since, ref, by = t, r, s
		}
	}
	use(f.Handshake.SYNACK, f.Handshake.SYNACKRef, f.Server())
	use(f.Handshake.ACK, f.Handshake.ACKRef, f.Client)
	for _, s := range []tcp.Side{closer, closer.Other()} {
		d := f.Endpoint(s)
		use(d.LastData, d.LastDataRef, s)
	}
	return since, ref, by
}

// Merge adds another collector's counts.
func (s *idleCloses) Merge(o Collector) {
	p := o.(*idleCloses)
	s.cells.merge(&p.cells)
	s.waits.merge(&p.waits)
	s.unseen.merge(&p.unseen)
	s.clocks.merge(&p.clocks)
}

// Findings names the most frequent idle time of each service and side, once
// what only timestamps told has been put to the rest.
func (s *idleCloses) Findings(c *Context, _ int64, emit func(Finding)) {
	all := sketch[idleCell, *idleCell]{}
	all.merge(&s.cells)
	for _, k := range s.unseen.places() {
		c := s.unseen.get(k)
		hz := s.rate(k)
		timed, after := *c, c.after/int64(c.n)
		timed.sum = c.sum*1e6/hz - c.after/1e3
		timed.shortest, timed.longest = c.shortest*1e9/hz-after, c.longest*1e9/hz-after
		if timed.shortest < leastIdle {
			continue
		}
		k.host, k.slot = [16]byte{}, idleSlot(timed.shortest)
		mine := all.get(k)
		if mine == nil {
			mine = all.put(k)
		}
		mine.merge(&timed)
	}
	found := map[place]bool{}
	for _, t := range []*sketch[idleCell, *idleCell]{&all, &s.waits} {
		for keys := t.places(); len(keys) > 0; {
			k, n := keys[0].whole(), 1
			for n < len(keys) && keys[n].whole() == k {
				n++
			}
			// One timer of a service and side: that on idleness, if there is one.
			if best, ok := idleMode(t, keys[:n]); ok && !found[k] {
				found[k] = true
				emit(idleFinding(k, &best, t == &s.waits, c.shown.Filtered()))
			}
			keys = keys[n:]
		}
	}
}

// sure grades a mode of so many closes. Through a filter on flags no use is seen,
// and what timestamps tell of it cannot be checked.
func (c *idleCell) sure(waited, filtered bool) Confidence {
	switch {
	case filtered || c.n-c.filtered < leastIdleCloses:
		return Possible
	case waited || c.n-max(c.blind, c.filtered) < 2*leastIdleCloses:
		return Likely
	}
	return Certain
}

// idleMode looks for a narrow mode in the histogram of one service and side,
// whose slots are given in order.
func idleMode(all *sketch[idleCell, *idleCell], slots []place) (best idleCell, ok bool) {
	total := uint64(0)
	for i, k := range slots {
		pair := idleCell{}
		pair.merge(all.get(k))
		total += pair.n
		if i+1 < len(slots) && slots[i+1].slot == k.slot+1 {
			pair.merge(all.get(slots[i+1]))
		}
		if pair.n > best.n {
			best = pair
		}
	}
	if best.n < leastIdleCloses || best.n*idleShare < total {
		return best, false
	}
	// What closes them all in one moment is no timer, however equal the times.
	return best, best.max-best.min >= idleSpread*(best.longest-best.shortest)
}
