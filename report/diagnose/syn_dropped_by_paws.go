package diagnose

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func synDroppedByPAWS() Rule {
	return Rule{
		ID:       "syn-dropped-by-paws",
		Title:    "SYNs with older timestamps from behind one address stay unanswered",
		Severity: Error,
		Doc:      synDroppedByPAWSDoc,
		RFC:      []string{"RFC 7323 §5.2", "RFC 6191 §2", "RFC 7323 §5.4"},
		Replaces: []string{"syn-unanswered"},
		New:      func() Collector { return &stampedSYNs{} },
	}
}

const synDroppedByPAWSDoc = `What it means
  Several hosts share one address (address translation, a load balancer) and
  their timestamp clocks differ. The server remembers one timestamp for the
  address and silently drops SYNs whose timestamp is older: the host with the
  highest clock gets through, the others do not.

Signature
  From one client address to one service: at least three connections whose SYNs
  were repeated and never answered, all with the timestamps of one clock, while
  another clock of that address, ahead of it, was answered in the same minute,
  before the first of them and after. Each of those SYNs came, in its first
  copy, after a connection with newer timestamps. A clock is known by its offset
  to the capture's time.

Look-alikes
  A server that is down or overloaded: it answers no clock.
  A server that is down for a moment, before many clocks: carrier-grade address
  translation, or a kernel that gives each connection a clock of its own (Linux
  since 4.10). Some of the SYNs that it does not answer are older than one that
  it did, by chance. But then connections are answered, too, whose timestamps
  are older than those of another clock in the minute before: a server that
  remembers one timestamp for the address never does that.
  One host whose SYNs are lost: there is no second clock.
  A four-tuple used again within 2MSL: there the timestamp is compared with that
  of the connection before, and only for that four-tuple.

What it usually is
  net.ipv4.tcp_tw_recycle=1 on the server: it exists up to Linux 4.11, and some
  appliances do the same.

What to do
  Turn tcp_tw_recycle off; it was removed in Linux 4.12 for this very reason.
  Do not turn timestamps off on the clients instead: that gives up RTT
  measurement and PAWS, and helps only this case.

What would prove it
  TcpExtPAWSPassive in "nstat -az" on the server ("passive connections rejected
  because of time stamp" in "netstat -s"), counting up with each unanswered SYN.
  It is the counter of that check: from Linux 4.12 on both are gone.`

const (
	// clockSlot is how many ticks of offset are taken for one clock: 66 s at
	// 1000 Hz. Hosts' clocks differ by days, or at random.
	clockSlot    = 16 // bits
	pawsLeast    = 3
	pawsMemory   = 60e9 // ns for which a server remembers a timestamp (TCP_PAWS_MSL)
	pawsWindow   = 1    // ticks by which a timestamp may be older (TCP_PAWS_WINDOW)
	pawsMistakes = 5    // at most one in so many of an old clock's may not fit
)

// stampedSYNs counts what became of the connections of each clock behind an
// address, by service.
type stampedSYNs struct {
	silent sketch[silentClock, *silentClock] // SYNs that were never answered
	heard  sketch[heardClock, *heardClock]   // connections that were
}

// silentClock is a clock's connections that were never answered, with the
// timestamps of their SYNs: the first copy of each is what was dropped first.
type silentClock struct {
	flowCell
	syns clockCell
}

func (c *silentClock) merge(o *silentClock) {
	c.flowCell.merge(&o.flowCell)
	c.syns.merge(&o.syns)
}

func (c *silentClock) reset() { *c = silentClock{flowCell: flowCell{seen: c.seen[:0]}} }

// since is those connections whose SYNs came after a time, where those are
// enough and nearly all.
func (c *silentClock) since(at int64) (late flowCell, ok bool) {
	before := 0
	for before < len(c.seen) && c.seen[before].at <= at {
		before++
	}
	if before == len(c.seen) || uint64(before)*pawsMistakes > c.n {
		return late, false
	}
	late = c.flowCell
	late.seen = slices.Clone(c.seen[before:])
	late.min, late.n = late.seen[0].at, c.n-uint64(before)
	return late, late.n >= pawsLeast
}

// heardClock is a clock's connections that were answered: the timestamps of
// their SYNs, which the server let pass, and of their last segments, which it
// remembers.
type heardClock struct {
	total
	syns, ends clockCell
}

func (c *heardClock) merge(o *heardClock) {
	c.n += o.n
	c.syns.merge(&o.syns)
	c.ends.merge(&o.ends)
}

func (c *heardClock) reset() { *c = heardClock{} }

func (s *stampedSYNs) Add(c *Context, f *reassembly.Flow) {
	h, d := &f.Handshake, f.Endpoint(f.Client)
	if h.FirstSYNRef == 0 || !d.Timestamps || !d.HasSYNTSVal || f.Quality&reassembly.QualityOneWay != 0 {
		return
	}
	k := c.pair
	k.slot = int64((d.SYNTSVal - uint32(h.FirstSYN/1e6)) >> clockSlot)
	syn := stamp{h.FirstSYN, d.SYNTSVal, h.FirstSYNRef}
	switch {
	case h.Outcome == reassembly.Complete:
		x := s.heard.on(&k, c.pairHosts)
		x.n++
		x.syns.note(syn)
		x.ends.note(stamp{d.LastAt, d.LastTSVal, d.LastRef})
	case h.Outcome == reassembly.Unanswered && d.SYN-d.Duplicates > 1 && startsWithFirst(f):
		x := s.silent.on(&k, c.pairHosts)
		x.add(sighting{flow: f.ID, at: h.FirstSYN, ref: h.FirstSYNRef, side: clientRole})
		x.syns.note(syn)
	}
}

// startsWithFirst reports that the first SYN of a flow is no repetition of one
// before the capture: the next follows after the initial timeout of 1 s (RFC
// 6298 §2.1), which later ones double.
func startsWithFirst(f *reassembly.Flow) bool {
	at := synTimes(f)
	return len(at) > 1 && at[1]-at[0] < 1.5e9
}

// Merge adds another collector's counts.
func (s *stampedSYNs) Merge(o Collector) {
	p := o.(*stampedSYNs)
	s.silent.merge(&p.silent)
	s.heard.merge(&p.heard)
}

// Findings names the addresses of which some clocks are never answered.
func (s *stampedSYNs) Findings(_ *Context, _ int64, emit func(Finding)) {
	heard := map[place][]place{}
	keys := s.silent.places()
	if len(keys) > 0 {
		for _, k := range s.heard.places() {
			heard[k.whole()] = append(heard[k.whole()], k)
		}
	}
	for from := 0; from < len(keys); {
		to := from + 1
		for to < len(keys) && keys[to].whole() == keys[from].whole() {
			to++
		}
		if d, ok := s.address(keys[from:to], heard[keys[from].whole()]); ok {
			emit(d)
		}
		from = to
	}
}

// address judges the clocks behind one address: the silent ones, each for
// itself, and those that were heard.
func (s *stampedSYNs) address(silent, heard []place) (d Finding, ok bool) {
	var dropped flowCell
	var ahead *heardClock
	for i := 0; i < len(silent); i++ {
		k, old := silent[i], silentClock{}
		old.merge(s.silent.get(k))
		if i+1 < len(silent) && sameClock(silent[i+1], k) {
			i++ // a clock on the border of two slots
			old.merge(s.silent.get(silent[i]))
		}
		c, late := s.ahead(k, &old, heard)
		if c == nil {
			continue
		}
		dropped.merge(&late)
		if ahead == nil || c.n > ahead.n {
			ahead = c
		}
	}
	if ahead == nil || s.refuted(heard) {
		return d, false
	}
	k := silent[0].whole()
	d = newPattern(k, ServerHost, Likely, dropped.n, dropped.seen, func(sighting) (string, string) {
		return "", "a SYN with an older timestamp that is never answered"
	})
	x := ahead.ends.first
	d.prove(Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(clientRole), What: "the newer timestamp of another clock behind this address, which is answered"})
	d.Time = min(d.Time, dropped.min)
	d.Duration = dropped.max - d.Time
	d.Verdict = fmt.Sprintf("%s never answered %s connections from %s whose SYNs bear older timestamps, and answered %s with newer ones: it compares the timestamps of several hosts behind one address (tcp_tw_recycle, PAWS)",
		k.addr(), count(dropped.n), k.client().Addr(), count(ahead.n))
	return d, true
}

// sameClock reports that two slots may be of one clock, which lies on the border
// or drifts.
func sameClock(a, b place) bool { return max(a.slot-b.slot, b.slot-a.slot) <= 1 }

// ahead is the clock that hides an old one from the server, if any does, and
// those of the old one's connections that it hides. Of several it is the one
// that was answered most.
func (s *stampedSYNs) ahead(k place, old *silentClock, heard []place) (ahead *heardClock, late flowCell) {
	own := uint64(0)
	for _, n := range heard {
		c := s.heard.get(n)
		if sameClock(n, k) {
			own += c.n
			continue
		}
		if x := s.silent.get(n); x != nil && x.n*pawsMistakes > old.n {
			continue // the server answered that clock no better
		}
		if dropped, ok := c.shadows(old); ok && (ahead == nil || c.n > ahead.n) {
			ahead, late = c, dropped
		}
	}
	if own*pawsMistakes > old.n {
		return nil, late
	}
	return ahead, late
}

// shadows lists the connections of an old clock whose SYNs came after segments
// of this one with newer timestamps, which the server had not forgotten: what a
// server that remembers one timestamp for the address drops. It was there all
// the while: it answered this clock before and after.
func (c *heardClock) shadows(old *silentClock) (dropped flowCell, ok bool) {
	seen, last := c.ends.first, old.syns.last
	if c.syns.last.at < old.syns.first.at || last.at-c.ends.last.at >= pawsMemory || int32(seen.val-last.val) <= pawsWindow {
		return dropped, false
	}
	return old.since(seen.at)
}

// refuted reports that a connection was answered although its timestamp was
// older than that of another clock in the minute before: this server compares
// no timestamps, whatever became of other SYNs.
func (s *stampedSYNs) refuted(heard []place) bool {
	for _, k := range heard {
		c := s.heard.get(k)
		for _, o := range heard {
			x := &s.heard.get(o).syns
			if !sameClock(k, o) && (c.forbids(x.first) || c.forbids(x.last)) {
				return true
			}
		}
	}
	return false
}

// forbids reports that a server which remembers this clock would have dropped a
// SYN.
func (c *heardClock) forbids(syn stamp) bool {
	seen := c.ends.first
	if c.ends.last.at < syn.at {
		seen = c.ends.last
	}
	return seen.at < syn.at && syn.at-c.ends.last.at < pawsMemory && int32(seen.val-syn.val) > pawsWindow
}
