package diagnose

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func synchronizedOnset() Rule {
	return Rule{
		ID:       "synchronized-onset",
		Title:    "several hosts began to leak together against one peer",
		Severity: Error,
		Doc:      synchronizedOnsetDoc,
		RFC:      []string{"RFC 9293 §3.6", "RFC 9293 §3.10.4"},
		New:      func() Collector { return &onsets{} },
	}
}

const synchronizedOnsetDoc = `What it means
  Two or more hosts that had closed their connections to one peer properly began
  at the same time not to answer its FINs, or to write after them. That they did
  so together says that the cause is not in one of them: it is what they share.

Signature
  Hosts whose connections to (or from) one peer were answered for a while, and
  from some moment on were not (fin-unanswered, write-after-fin, likely or
  certain): at least three times, and so often that the sound ones before are no
  chance. The moments of at least two hosts lie within a fifth of the time for
  which they had been well, and within a minute.

Look-alikes
  Hosts that leak from the beginning of the capture: when they began is not
  seen.
  Hosts that leak now and then, all the time, or that began far apart.
  One host with several addresses: its moments agree as well.

What it usually is
  A shared dependency that failed or slowed down (a database, a lock, a name
  service), the same bad request sent to all by a load balancer, a deployment,
  a job that runs everywhere at the same minute.

What to do
  Look at the peer and at what all hosts called at that moment; compare the logs
  at the time of the first leak and not at that of the outage, which comes when
  the pools are used up.

What would prove it
  The stack traces of the processes that hold the sockets in CLOSE_WAIT, taken
  on two of the hosts: they wait for the same thing.`

const (
	onsetLeaks  = 3
	onsetSpread = 60e9 // ns between the onsets
	onsetWell   = 5    // the time before must be so many times the spread
	onsetSigns  = 5    // expected leaks among the sound closes before, had there been leaks then
)

// onsets keeps, for every host and peer, the first closes that were answered
// and the first that were not.
type onsets struct {
	cells sketch[onsetCell, *onsetCell]
}

// onsetCell is one host's account with one peer.
type onsetCell struct {
	leaks flowCell
	sound timesCell
}

// timesCell counts closes and keeps the times of the first.
type timesCell struct {
	n     uint64
	first []int64 // in order
}

func (c *timesCell) add(at int64) {
	c.n++
	c.keep(at)
}

func (c *timesCell) keep(at int64) {
	if n := len(c.first); n == flowsNamed && c.first[n-1] <= at {
		return
	}
	i, _ := slices.BinarySearch(c.first, at)
	c.first = slices.Insert(c.first[:min(len(c.first), flowsNamed-1)], i, at) // the last makes room
}

func (c *timesCell) merge(o *timesCell) {
	c.n += o.n
	for _, at := range o.first {
		c.keep(at)
	}
}

func (c *onsetCell) weight() uint64 { return c.leaks.n + c.sound.n }

func (c *onsetCell) merge(o *onsetCell) {
	c.leaks.merge(&o.leaks)
	c.sound.merge(&o.sound)
}

func (c *onsetCell) reset() {
	c.leaks.reset()
	c.sound = timesCell{first: c.sound.first[:0]}
}

func (s *onsets) Add(c *Context, f *reassembly.Flow) {
	if side, at, ok := leaks(c, f); ok {
		d := f.Endpoint(side.Other())
		s.cell(c, f, side).leaks.add(sighting{flow: f.ID, at: at, ref: d.FINRef, side: roleSide(f, side.Other())})
		return
	}
	side := f.Client // that answered
	switch {
	case f.Close != reassembly.CloseOrderly:
		return
	case f.ActiveCloser == reassembly.CloserClient:
		side = f.Server()
	}
	if o := f.Endpoint(side.Other()); o.FINRef != 0 {
		s.cell(c, f, side).sound.add(o.FINAt)
	}
}

// leaks is the side whose application did not look at the peer's FIN, and when
// that came.
func leaks(c *Context, f *reassembly.Flow) (s tcp.Side, at int64, ok bool) {
	for _, id := range []string{"fin-unanswered", "write-after-fin"} {
		d := c.has(id)
		if d == nil || d.Confidence == Possible || d.Severity != Error { // else it is the closer's doing
			continue
		}
		switch d.Who {
		case ClientApp:
			s = f.Client
		case ServerApp:
			s = f.Server()
		default:
			continue
		}
		o := f.Endpoint(s.Other())
		return s, o.FINAt, o.FINRef != 0
	}
	return 0, 0, false
}

// cell is that of a side's host and of its peer, which is the service of a place.
// A client that is the peer has many ports, and none of them counts.
func (s *onsets) cell(c *Context, f *reassembly.Flow, side tcp.Side) *onsetCell {
	if side == f.Client {
		k := c.pair
		k.side = clientRole
		return s.cells.on(&k, c.pairHosts)
	}
	return s.cells.at(place{host: c.pair.service, service: c.pair.host, side: serverRole, tag: c.pair.tag})
}

// Merge adds another collector's counts.
func (s *onsets) Merge(o Collector) { s.cells.merge(&o.(*onsets).cells) }

// onset is when a host began to leak, and for how long it had been well.
type onset struct {
	place
	at, well int64
	*onsetCell
}

// Findings names the peers against which hosts began to leak together.
func (s *onsets) Findings(_ *Context, _ int64, emit func(Finding)) {
	of := map[place][]onset{}
	var peers []place
	for _, k := range s.cells.places() {
		o, ok := s.cells.get(k).onset()
		if !ok {
			continue
		}
		o.place = k
		peer := k
		peer.host = [16]byte{}
		if of[peer] == nil {
			peers = append(peers, peer)
		}
		of[peer] = append(of[peer], o)
	}
	for _, peer := range peers {
		if group := together(of[peer]); len(group) >= 2 {
			emit(onsetFinding(peer, group))
		}
	}
}

// onset is when the leaks began, if they began after sound closes that are too
// many to be a chance.
func (c *onsetCell) onset() (o onset, ok bool) {
	if c.leaks.n < onsetLeaks || c.sound.n == 0 {
		return o, false
	}
	before := uint64(0)
	for _, at := range c.sound.first {
		if at < c.leaks.min {
			before++
		}
	}
	// Of the closes from the onset on, leaks.n in so many are leaks.
	after := c.leaks.n + c.sound.n - before
	return onset{at: c.leaks.min, well: c.leaks.min - c.sound.first[0], onsetCell: c}, before*c.leaks.n >= onsetSigns*after
}

// together is the largest set of onsets that are close to each other, measured
// by how long the hosts had been well.
func together(all []onset) (best []onset) {
	slices.SortStableFunc(all, func(a, b onset) int { return int(min(max(a.at-b.at, -1), 1)) })
	for i := range all {
		well, n := all[i].well, 1
		for k := i + 1; k < len(all); k++ {
			spread := all[k].at - all[i].at
			if well = min(well, all[k].well); spread > onsetSpread || spread*onsetWell > well {
				break
			}
			n++
		}
		if n > len(best) {
			best = all[i : i+n]
		}
	}
	return best
}

func onsetFinding(peer place, group []onset) Finding {
	var sum flowCell
	shown := sightings{}
	for _, o := range group {
		sum.merge(&o.leaks)
		shown.add(o.leaks.seen[0])
	}
	who, hosts := ClientApp, "clients"
	if peer.side == serverRole {
		who, hosts = ServerApp, "servers"
	}
	// The first leak of each host is what shows that they began together.
	d := newPattern(peer, who, Likely, sum.n, shown, func(sighting) (string, string) {
		return "", "the first FIN to this host that its application did not look at"
	})
	d.Flows = nil
	for _, x := range sum.seen {
		d.Flows = append(d.Flows, x.flow)
	}
	name := peer.addr().String()
	if peer.port == 0 {
		name = peer.addr().Addr().String()
		d.Client, d.Service = netip.AddrPortFrom(peer.addr().Addr(), 0), netip.AddrPort{}
		d.Wireshark = peer.hostFilter()
	}
	d.Duration = sum.max - d.Time
	first, last := group[0], group[len(group)-1]
	which := first.client().Addr().String() + " and " + last.client().Addr().String()
	if len(group) > 2 {
		which = count(len(group)) + " " + hosts + ", " + which + " among them,"
	}
	d.Verdict = fmt.Sprintf("%s began to leave FINs of %s unanswered within %s of each other, having closed properly for %s: the cause is what they share",
		which, name, Span(last.at-first.at), Span(min(first.well, last.well)))
	d.Behind = sum.n
	d.Aside = fmt.Sprintf("%s %s began within %s, after %s without a leak: look at what they share.",
		capital(number(len(group))), hosts, Span(last.at-first.at), Span(min(first.well, last.well)))
	return d
}
