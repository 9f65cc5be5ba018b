package diagnose

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	// momentLeast is how many connections a service must end at once.
	momentLeast = 5
	// answerEnds is how soon after its own payload a server's FIN belongs to
	// that, ns: most close because they have answered.
	answerEnds = 1e6
	// momentSpread is how many times further apart the last uses must lie, and
	// the openings, than the FINs: else each connection's own course may have
	// ended it.
	momentSpread = 3
	// agedLeast is the least age, ns, that a limit on ages may have.
	agedLeast = 30e9
	// momentMost is the time around a moment, ns, in which other closes must be
	// few.
	momentMost = 10e9
)

// moments counts a service's FINs that no payload of its own led to.
type moments struct {
	cells sketch[momentCell, *momentCell]
	// closes are also those of which no more can be said, in wider slots. crowded:
	// some, of the lighter, were let go.
	closes  sketch[total, *total]
	crowded bool
}

// momentCell is the FINs of one service and a tenth of a second.
type momentCell struct {
	flowCell
	used, idle  span // when the connections were last used, and for how long not
	opened, age span // where the handshake was seen
	inUse       uint64
	harmed      uint64    // the client wrote after the FIN
	lost        sightings // that payload, and the RST
}

// span is the least and the greatest of some times, all above 0.
type span struct{ min, max int64 }

func (s *span) add(ns int64) { s.merge(span{ns, ns}) }

func (s *span) merge(o span) {
	switch {
	case o.min == 0:
		return
	case s.min == 0:
		*s = o
	}
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
}

func (s span) wide() int64 { return s.max - s.min }

// alike reports that the greatest exceeds the least by a tenth at most.
func (s span) alike() bool { return 10*s.wide() <= s.max }

func (c *momentCell) merge(o *momentCell) {
	c.flowCell.merge(&o.flowCell)
	c.used.merge(o.used)
	c.idle.merge(o.idle)
	c.opened.merge(o.opened)
	c.age.merge(o.age)
	c.inUse, c.harmed = c.inUse+o.inUse, c.harmed+o.harmed
	c.lost.merge(o.lost)
}

func (c *momentCell) reset() { *c = momentCell{flowCell: flowCell{seen: c.seen[:0]}, lost: c.lost[:0]} }

// add counts a flow that the server closed first, unless what went just before
// may have been the reason.
func (s *moments) add(c *Context, f *reassembly.Flow) {
	const poor = reassembly.QualityOneWay | reassembly.QualityFiltered | reassembly.QualityClockStep
	side := f.Server()
	d, p := f.Endpoint(side), f.Endpoint(f.Client)
	asked := p.LastData
	if p.DataAfterPeerFIN > 0 {
		asked = p.DataBeforePeerFIN
	}
	bye := d.LastDataLen <= alert && d.LastData-asked >= leastIdle // as the close_notify of TLS: nothing asked for it
	if f.ActiveCloser != reassembly.CloserServer || d.FINAt-d.LastData <= answerEnds && !bye {
		return
	}
	k := c.service
	k.slot = d.FINAt / momentMost
	s.crowded = s.crowded || s.closes.len() >= sketchPlaces
	s.closes.on(&k, c.serviceHosts).n++
	used, ref, by := lastUse(f, side, d.FINAt)
	if bye && d.FINAt-d.LastData <= answerEnds {
		used, ref, by = asked, 0, side // the packet of that is not kept
	}
	if used == 0 || by == f.Client && ref == p.LastDataRef || asked > used || unseen(f) || f.Quality&poor != 0 || !sentFIN(f, side) {
		return // the FIN may be the answer
	}
	k.slot = d.FINAt / burstSlot
	m := s.cells.on(&k, c.serviceHosts)
	m.flowCell.add(sighting{flow: f.ID, at: d.FINAt, ref: d.FINRef, side: serverRole, since: used, sinceRef: ref, sinceBy: roleSide(f, by)})
	m.used.add(used)
	m.idle.add(max(d.FINAt-used, 1))
	if !f.Midstream {
		m.opened.add(f.Start)
		m.age.add(max(d.FINAt-f.Start, 1))
	}
	if d.FINAt-used < leastIdle {
		m.inUse++
	}
	if w := c.has("write-after-fin"); w != nil && w.Who == ClientApp {
		m.harmed++
		if l, ok := findLatePayload(f); ok {
			m.lost.add(sighting{flow: f.ID, at: f.Reset.At, ref: f.Reset.Ref, side: serverRole, since: l.At, sinceRef: l.Ref, sinceBy: roleSide(f, f.Client)})
		}
	}
}

func (s *moments) merge(o *moments) {
	s.cells.merge(&o.cells)
	s.closes.merge(&o.closes)
	s.crowded = s.crowded || o.crowded
}

// each calls with the moments in which a service ended connections, in order.
func (s *moments) each(found func(place, *momentCell)) {
	keys := s.cells.places()
	for i := 0; i < len(keys); i++ {
		k := keys[i]
		if i+1 < len(keys) && keys[i+1].whole() == k.whole() && keys[i+1].slot == k.slot+1 {
			var both momentCell // a moment may lie across the border of two slots
			both.merge(s.cells.get(k))
			both.merge(s.cells.get(keys[i+1]))
			if s.shared(k, &both) {
				found(k.whole(), &both)
				i++
				continue
			}
		}
		if c := s.cells.get(k); s.shared(k, c) {
			var one momentCell
			one.merge(c)
			found(k.whole(), &one)
		}
	}
}

// shared reports whether it was the moment that ended these connections, and
// not for each of them what had gone before: its age, its idleness, its last
// answer.
func (s *moments) shared(k place, c *momentCell) bool {
	wide, least := c.max-c.min, uint64(momentLeast)
	if s.crowded {
		least *= 4 // against what few there may have been around it
	}
	switch {
	case c.n < least || wide > burstSlot, c.used.wide() < momentSpread*wide || c.used.wide() == 0:
		return false
	case c.opened.min != 0 && c.opened.wide() < momentSpread*wide:
		return false
	case c.inUse < 2 && c.idle.max < momentSpread*c.idle.min:
		return false // a timer on idleness that is looked at now and then
	}
	around := uint64(0)
	for slot := (c.min - momentMost) / momentMost; slot <= (c.max+momentMost)/momentMost; slot++ {
		k.slot = slot
		if t := s.closes.get(k); t != nil {
			around += t.n
		}
	}
	return around >= c.n && 5*c.n >= 4*around
}

// finding tells a moment.
func (c *momentCell) finding(k place) Finding {
	sure := Likely
	if c.age.min >= agedLeast && c.age.alike() {
		sure = Possible // a limit on their age
	}
	d := newPattern(k, ServerApp, sure, c.n, c.seen, func(sighting) (string, string) {
		return "the last use before it", "the server's FIN"
	})
	d.Time, d.Duration = c.min, c.max-c.min
	d.Verdict = fmt.Sprintf("%s closed %s connections within %s, last used from %s to %s before: it ended, restarted or was reloaded",
		k.addr(), count(c.n), Span(d.Duration), Span(c.idle.min), Span(c.idle.max))
	switch {
	case sure == Possible:
		d.Verdict += ", or limits their age"
	case c.idle.alike():
		d.Verdict += ", or has a timer of less than a second"
	}
	d.harm(c)
	return d
}

// harm tells on how many of the connections a client lost what it wrote, and the
// packets of the first: an error, as it would be one for each of them. The time
// stays that of the moment.
func (d *Finding) harm(c *momentCell) {
	if c.harmed == 0 {
		return
	}
	d.Severity = Error
	d.Verdict += fmt.Sprintf("; on %s of them the client wrote once more and got an RST", count(c.harmed))
	at := d.Time
	for _, x := range c.lost[:min(len(c.lost), flowsShown)] {
		d.prove(Evidence{Ref: x.sinceRef, At: x.since, Side: tcp.Side(x.sinceBy), What: "the client's payload after the FIN, which is lost"},
			Evidence{Ref: x.ref, At: x.at, Side: tcp.Side(x.side), What: "the RST that it got"})
	}
	d.Time = at
}

// fold adds a moment of FINs to the finding of resets in the same moment.
func (d *Finding) fold(c *momentCell) {
	from, end, fin := min(d.Time, c.min), max(d.Time+d.Duration, c.max), c.seen[0]
	d.prove(Evidence{Ref: fin.ref, At: fin.at, Side: tcp.Side(fin.side), What: "the server's FIN on another connection"})
	d.Time, d.Duration = from, end-from
	d.FlowCount += c.n
	for _, x := range c.seen {
		if len(d.Flows) < flowsNamed && !slices.Contains(d.Flows, x.flow) {
			d.Flows = append(d.Flows, x.flow)
		}
	}
	d.Verdict += fmt.Sprintf("; in the same moment it closed %s others", count(c.n))
	d.harm(c)
}
