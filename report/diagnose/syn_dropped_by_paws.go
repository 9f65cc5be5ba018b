package diagnose

import (
	"fmt"

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
  another clock of that address, ahead of it, was answered in the same minute.
  The SYNs in question came after the segments with the newer timestamps. A
  clock is known by its offset to the capture's time.

Look-alikes
  A server that is down or overloaded: it answers no clock.
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
	pawsMistakes = 5    // at most one in so many of an old clock's may have been answered
)

// stampedSYNs counts what became of the connections of each clock behind an
// address, by service.
type stampedSYNs struct {
	silent sketch[silentClock, *silentClock] // SYNs that were never answered
	heard  sketch[heardClock, *heardClock]   // connections that were
}

type silentClock struct {
	flowCell
	clock clockCell
}

func (c *silentClock) merge(o *silentClock) {
	c.flowCell.merge(&o.flowCell)
	c.clock.merge(&o.clock)
}

func (c *silentClock) reset() { *c = silentClock{flowCell: flowCell{seen: c.seen[:0]}} }

type heardClock struct {
	total
	clock clockCell
}

func (c *heardClock) merge(o *heardClock) {
	c.n += o.n
	c.clock.merge(&o.clock)
}

func (c *heardClock) reset() { *c = heardClock{} }

func (s *stampedSYNs) Add(c *Context, f *reassembly.Flow) {
	h, d := &f.Handshake, f.Endpoint(f.Client)
	if h.FirstSYNRef == 0 || !d.Timestamps || f.Quality&reassembly.QualityOneWay != 0 {
		return
	}
	k := c.pair
	k.slot = int64((d.LastTSVal - uint32(d.LastAt/1e6)) >> clockSlot)
	now := stamp{d.LastAt, d.LastTSVal, d.LastRef}
	switch {
	case h.Outcome == reassembly.Complete:
		x := s.heard.at(k)
		x.n++
		x.clock.note(now)
	case h.Outcome == reassembly.Unanswered && d.SYN-d.Duplicates > 1:
		x := s.silent.at(k)
		x.add(sighting{flow: f.ID, at: h.FirstSYN, ref: h.FirstSYNRef, side: clientRole})
		x.clock.note(now)
	}
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

// address judges the clocks behind one address: the silent ones, and those that
// were heard.
func (s *stampedSYNs) address(silent, heard []place) (d Finding, ok bool) {
	var dropped flowCell
	var ahead *heardClock
	for _, k := range silent {
		old := s.silent.get(k)
		if c := s.heard.get(k); c != nil && c.n*pawsMistakes > old.n {
			continue
		}
		for _, n := range heard {
			if c := s.heard.get(n); n != k && c.shadows(old) {
				dropped.merge(&old.flowCell)
				if ahead == nil || c.n > ahead.n {
					ahead = c
				}
				break
			}
		}
	}
	if dropped.n < pawsLeast {
		return d, false
	}
	k := silent[0].whole()
	d = newPattern(k, ServerHost, Likely, dropped.n, dropped.seen, func(sighting) (string, string) {
		return "", "a SYN with an older timestamp that is never answered"
	})
	x := ahead.clock.first
	d.prove(Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(clientRole), What: "the newer timestamp of another clock behind this address, which is answered"})
	d.Time = min(d.Time, dropped.min)
	d.Duration = dropped.max - d.Time
	d.Verdict = fmt.Sprintf("%s never answered %s connections from %s whose SYNs bear older timestamps, and answered %s with newer ones: it compares the timestamps of several hosts behind one address (tcp_tw_recycle, PAWS)",
		k.addr(), count(dropped.n), k.client().Addr(), count(ahead.n))
	return d, true
}

// shadows reports that segments of this clock, which was answered, bear newer
// timestamps than later SYNs of an old one: what a server that remembers one
// timestamp for the address drops.
func (c *heardClock) shadows(old *silentClock) bool {
	seen, late := c.clock.first, old.clock.last
	return seen.at < late.at && old.clock.first.at-c.clock.last.at < pawsMemory && int32(seen.val-late.val) > 0
}
