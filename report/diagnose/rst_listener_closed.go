package diagnose

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func rstListenerClosed() Rule {
	return Rule{
		ID:       "rst-listener-closed",
		Title:    "one service ended many connections at once",
		Severity: Warning,
		Doc:      rstListenerClosedDoc,
		RFC:      []string{"RFC 9293 §3.10.5", "RFC 9293 §3.10.4", "RFC 2525 §2.17"},
		Replaces: []string{"abortive-close", "rst-unread-data", "write-after-fin"},
		New:      func() Collector { return &listenerResets{} },
	}
}

const rstListenerClosedDoc = `What it means
  A service ended many of its connections in one moment: its process ended or
  was killed, it restarted or was reloaded, or its listener was closed. The
  kernel resets every connection that waits to be accepted when the listener
  closes, and every accepted one that has payload unread when the process ends;
  all others it closes with a FIN. The clients lose what they had asked for,
  and a client whose next request crosses that FIN gets an RST: that is no
  fault of its pool.

Signature
  RSTs: aborts by the server (RST of a live socket, in answer to nothing) on at
  least three connections of one address and port, each within 100 ms of
  another, none of them within 1 ms of its own payload or of the handshake, and
  at least four fifths of all that it aborted in the 10 s around. It accepts
  none of the connections that it aborts after the first of the RSTs; and unless
  it refuses the next SYN, its last answers (or else the handshakes) lie at
  least three times further apart than the RSTs, or a second before them.
  Certain when it refuses the next SYN, or when it had never sent payload on any
  of them: they had not been accepted.
  FINs: the server closes at least five connections first within 100 ms, none of
  them within 1 ms of its own payload nor after payload of the client that got
  no answer. Their last uses and their openings lie at least three times further
  apart than the FINs, so that it was no limit that each of them reached; two of
  them had been in use within the second before, or the longest was idle three
  times as long as the shortest. And they are at least four fifths of all such
  closes in the 10 s around. Likely at most; possible where all were equally
  old, 30 s or more. An error where clients wrote once more and got an RST:
  those findings (write-after-fin) are part of this one, and the first of the
  lost payload is in its evidence.

Look-alikes
  A server that aborts all the time instead of closing: abortive-close.
  A server that rejects uploads, one after another or some at a time, and closes
  with the body unread: each RST follows its own answer, and it goes on
  accepting (rst-unread-data).
  RSTs that answer something, of a host that no longer knows the connections:
  it has rebooted, or something in the path forgot them.
  Many RSTs with a foreign time to live: a middlebox.
  A timer on idleness, for connections that were opened or used together
  (idle-timeout-close): then they were idle for the same time, and none was in
  use.
  Clients that finish together, or a limit on the requests of a connection: the
  server closes right after its answers.

What it usually is
  A restart, a deployment or a crash without draining; a reload that closes the
  old process's idle connections; a listener that is closed while connections
  wait in its accept queue.

What to do
  Stop accepting only after the load balancer sends no more, accept what waits,
  and finish what was begun. Hand the listening socket over to the next process
  where that is possible. Clients repeat requests that are safe to repeat.

What would prove it
  The service's log of restarts at that time.`

const (
	burstSlot  = 100e6 // ns; the resets of a burst are in neighbouring slots
	burstLeast = 3
	burstMost  = 10e9 // around a burst, ns, other aborts must be few
	// refusedSoon is how long after a burst a refused SYN belongs to it, ns.
	refusedSoon = 60e9
)

// listenerResets counts a service's aborts by time, its refusals, and FINs that
// may be the end of a process, too.
type listenerResets struct {
	moments moments
	bursts  sketch[burstCell, *burstCell]
	refused sketch[flowCell, *flowCell]
}

type burstCell struct {
	flowCell
	served uint64 // of the flows, those on which the server had sent payload
	// led are those, besides, that its own last segment may have led to: some
	// abort because they have answered.
	led      uint64
	used     span  // its last payload before, or else the handshake
	waited   span  // how long that was ago
	accepted int64 // its last SYN-ACK, also on those that are led
}

func (c *burstCell) weight() uint64 { return c.n + c.led }

func (c *burstCell) merge(o *burstCell) {
	c.served += o.served
	c.led += o.led
	c.used.merge(o.used)
	c.waited.merge(o.waited)
	c.accepted = max(c.accepted, o.accepted)
	c.flowCell.merge(&o.flowCell)
}

// count counts an abort of a flow.
func (c *burstCell) count(f *reassembly.Flow, x sighting) {
	c.accepted = max(c.accepted, f.Handshake.SYNACK)
	used, d := max(f.Handshake.SYNACK, f.Handshake.ACK), f.Endpoint(f.Server())
	if d.PayloadBytes > 0 {
		used = min(d.LastData, x.at)
	}
	if used != 0 && x.at-used <= answerEnds {
		c.led++
		return
	}
	c.add(x)
	if d.PayloadBytes > 0 {
		c.served++
	}
	if used != 0 {
		c.used.add(used)
		c.waited.add(x.at - used)
	}
}

// ownCourse reports that each RST may have come from what went just before it on
// its connection: the RSTs are spread as those are.
func (c *burstCell) ownCourse() bool {
	return c.waited.min != 0 && c.waited.min < leastIdle && c.used.wide() < momentSpread*(c.max-c.min)
}

func (c *burstCell) reset() { *c = burstCell{flowCell: flowCell{seen: c.seen[:0]}} }

func (s *listenerResets) Add(c *Context, f *reassembly.Flow) {
	s.moments.add(c, f)
	r := &f.Reset
	if r.Ref == 0 || r.By != f.Server() {
		return
	}
	k := c.service
	x := sighting{flow: f.ID, at: r.At, ref: r.Ref, side: serverRole}
	switch {
	case f.Close == reassembly.CloseRefused:
		k.slot = r.At / 1e9
		s.refused.at(k).add(x)
	case f.Close != reassembly.CloseReset, r.InAnswerTo != 0, r.AfterFIN, !r.HasACK,
		r.Class == reassembly.ResetPassive, foreign(f), stalled(f), f.Handshake.Outcome == reassembly.Refused:
	default:
		k.slot = r.At / burstSlot
		s.bursts.at(k).count(f, x)
	}
}

// Merge adds another collector's counts.
func (s *listenerResets) Merge(o Collector) {
	p := o.(*listenerResets)
	s.bursts.merge(&p.bursts)
	s.refused.merge(&p.refused)
	s.moments.merge(&p.moments)
}

// Findings names the bursts of resets, then the moments in which there were FINs
// alone.
func (s *listenerResets) Findings(_ *Context, _ int64, emit func(Finding)) {
	resets := map[place][]*Finding{}
	var order []*Finding
	s.resets(func(k place, d Finding) {
		resets[k], order = append(resets[k], &d), append(order, &d)
	})
	s.moments.each(func(k place, c *momentCell) {
		for _, d := range resets[k] {
			if d.Time-burstSlot <= c.max && c.min <= d.Time+d.Duration+burstSlot {
				d.fold(c)
				return
			}
		}
		d := c.finding(k)
		order = append(order, &d)
	})
	for _, d := range order {
		emit(*d)
	}
}

// resets names the bursts of resets.
func (s *listenerResets) resets(found func(place, Finding)) {
	keys := s.bursts.places()
	for from := 0; from < len(keys); {
		to := from + 1
		for to < len(keys) && keys[to].whole() == keys[from].whole() && keys[to].slot == keys[to-1].slot+1 {
			to++
		}
		if d, ok := s.burst(keys, from, to); ok {
			found(keys[from].whole(), d)
		}
		from = to
	}
}

// burst judges the neighbouring slots from to to.
func (s *listenerResets) burst(keys []place, from, to int) (d Finding, ok bool) {
	k := keys[from].whole()
	var sum burstCell
	for _, slot := range keys[from:to] {
		sum.merge(s.bursts.get(slot))
	}
	if sum.n < burstLeast || 5*sum.n < 4*s.around(keys, k, &sum) || sum.accepted > sum.min {
		return d, false
	}
	d = newPattern(k, ServerApp, Likely, sum.n, sum.seen, func(sighting) (string, string) {
		return "", "the server's RST, in answer to nothing"
	})
	d.Time, d.Duration = sum.min, sum.max-sum.min
	gone := ""
	if sum.served == 0 {
		d.Confidence = Certain
		gone = ", none of which it had accepted yet"
	}
	refused := false
	for slot := sum.min / 1e9; slot <= (sum.max+refusedSoon)/1e9; slot++ {
		at := k
		at.slot = slot
		c := s.refused.get(at)
		if c == nil || c.max < sum.min || len(c.seen) == 0 {
			continue
		}
		x := c.seen[len(c.seen)-1]
		d.prove(Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(x.side), What: "the server refuses the next SYN: nothing listens any more"})
		d.Time, d.Confidence = sum.min, Certain
		gone += fmt.Sprintf(", and refused the next SYN %s later", Span(x.at-sum.max))
		refused = true
		break
	}
	if !refused && sum.ownCourse() {
		return d, false
	}
	d.Verdict = fmt.Sprintf("%s reset %s connections within %s%s: its listener was closed or its process ended",
		k.addr(), count(sum.n), Span(sum.max-sum.min), gone)
	return d, true
}

// around is how many connections a service aborted near a burst.
func (s *listenerResets) around(keys []place, k place, burst *burstCell) (n uint64) {
	first := k
	first.slot = (burst.min - burstMost) / burstSlot
	from, _ := slices.BinarySearchFunc(keys, first, place.compare)
	for _, slot := range keys[from:] {
		c := s.bursts.get(slot)
		if slot.whole() != k || c.min > burst.max+burstMost {
			break
		}
		n += c.weight()
	}
	return n
}
