package report

import (
	"slices"
	"sync"
)

// collector puts the flows that ended in all panels into one order, writes
// their lines and groups their findings.
type collector struct {
	flows  FlowWriter // nil when nobody wants lines
	groups groups
	series *series // nil when nobody wants it
	order  []place // of merge, kept for its memory
	blocks blocks  // for the chunks that it gets
	err    error   // the first of writing
}

// place is flow i of a chunk.
type place struct {
	*chunk
	i int
}

func newCollector(opt *Options) *collector {
	c := &collector{flows: opt.Flows, groups: newGroups(opt)}
	if opt.Series {
		c.series = newSeries()
	}
	return c
}

// clone is a collector that goes on from here, writes nothing, and leaves this
// one as it is.
func (c *collector) clone() *collector {
	return &collector{groups: c.groups.clone(), series: c.series.clone()}
}

// merge takes the chunks of one sweep.
func (c *collector) merge(chunks []*chunk) {
	for _, p := range c.inOrder(chunks) {
		c.take(p)
	}
	clear(c.order)
	c.flush()
}

// inOrder lists the flows of some chunks in order. The list is valid until the
// next call.
func (c *collector) inOrder(chunks []*chunk) []place {
	c.order = c.order[:0]
	for _, chunk := range chunks {
		for i := range chunk.flows {
			c.order = append(c.order, place{chunk, i})
		}
	}
	slices.SortFunc(c.order, func(a, b place) int { return a.flows[a.i].compare(&b.flows[b.i]) })
	return c.order
}

func (c *collector) take(p place) {
	lines, finds, moves := p.part(p.i)
	if c.flows != nil && len(lines) > 0 && c.err == nil {
		_, c.err = c.flows.Write(lines)
	}
	for i := range finds {
		c.groups.add(p.flows[p.i].id, &finds[i])
	}
	for i := range moves {
		c.series.add(&moves[i])
	}
}

// flush follows the flows that ended until an instant.
func (c *collector) flush() {
	if c.flows != nil && c.err == nil {
		c.err = c.flows.Flush()
	}
}

// gather has every judge take its flows (run calls judge i's, in order of
// (Final, ID)) and merges the streams, so that all flows of the input can be
// finalised at once without their lines being held at once. What waits from
// before is one of the streams.
func (c *collector) gather(judges []*judge, waiting []*chunk, run func(i int)) {
	streams := make([]*stream, 0, len(judges)+1)
	streams = append(streams, &stream{places: c.inOrder(waiting)})
	var running sync.WaitGroup
	for i, j := range judges {
		s := &stream{full: make(chan *chunk, 4), empty: make(chan *chunk, 6)}
		for range cap(s.empty) {
			s.empty <- &chunk{pool: &c.blocks}
		}
		streams = append(streams, s)
		j.out, j.full = <-s.empty, s.swap
		running.Go(func() {
			run(i)
			s.full <- j.out
			close(s.full)
		})
	}
	streams = slices.DeleteFunc(streams, func(s *stream) bool { return !s.next() })
	for len(streams) > 0 {
		first := 0
		for i := 1; i < len(streams); i++ {
			if streams[i].flow().compare(streams[first].flow()) < 0 {
				first = i
			}
		}
		c.take(streams[first].at)
		if !streams[first].next() {
			streams = slices.Delete(streams, first, first+1)
		}
	}
	running.Wait()
	c.flush()
}

// stream is the flows of one panel, chunk after chunk; or, where it has no
// channels, those listed.
type stream struct {
	full, empty chan *chunk
	at          place // the next flow
	places      []place
}

// swap hands over a full chunk and takes an empty one.
func (s *stream) swap(c *chunk) *chunk {
	s.full <- c
	return <-s.empty
}

// next moves to the next flow; false when there is none.
func (s *stream) next() bool {
	if s.full == nil {
		if len(s.places) == 0 {
			return false
		}
		s.at, s.places = s.places[0], s.places[1:]
		return true
	}
	s.at.i++
	for s.at.chunk == nil || s.at.i >= len(s.at.flows) {
		if s.at.chunk != nil {
			s.at.reset()
			s.empty <- s.at.chunk
		}
		chunk, ok := <-s.full
		if !ok {
			return false
		}
		s.at = place{chunk, 0}
	}
	return true
}

// flow is the next flow.
func (s *stream) flow() *ended { return &s.at.flows[s.at.i] }
