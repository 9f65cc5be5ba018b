package capture

import (
	"cmp"
	"container/heap"
	"errors"
	"io"
	"math"
	"slices"
)

// OpenAll opens several captures and puts them in order: by the time of the
// first packet, then by name, those without packets last. A source's place in
// the order is its File index, whatever its place in names. The error joins
// those of the captures that could not be opened; the others are returned
// beside it.
//
// Regular files are closed again until Merge comes to their first packet, so
// that any number of them can be given.
func OpenAll(names []string, o Options) ([]*Source, error) {
	var sources []*Source
	var errs []error
	for i, name := range names {
		if name == "-" && slices.Contains(names[:i], name) {
			errs = append(errs, &openError{name: name, text: "it can be read only once"})
			continue
		}
		s := &Source{name: name, opts: o}
		size := blockSize
		if len(names) > 1 {
			size = blockSizeAmong(math.MaxInt)
		}
		if err := s.start(size); err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, s)
		if len(names) > 1 {
			s.peek()
			s.park()
		}
	}
	order(sources)
	return sources, errors.Join(errs...)
}

// order sorts sources and gives them their File indexes.
func order(sources []*Source) {
	slices.SortStableFunc(sources, func(a, b *Source) int {
		if a.hasFirst != b.hasFirst {
			if a.hasFirst {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.firstAt, b.firstAt), cmp.Compare(a.name, b.name))
	})
	for i, s := range sources {
		s.file = i
	}
}

// blockSizeAmong is the size of blocks where n sources are read at once: what
// all of them hold stays within some 64 MiB, if n is not in the hundreds.
func blockSizeAmong(n int) int {
	switch {
	case n <= 16:
		return blockSize
	case n <= 64:
		return headroom + 128<<10
	}
	return headroom + 32<<10
}

// Merged is several sources as one, by capture time; frames with the same time
// come in the order of their sources. The frames of one source keep the order
// of the file: where its time steps back, they come at once, and the other
// sources are not held up.
type Merged struct {
	sources []*Source
	waiting []*Source // not begun; in order of their first packets
	running mergeHeap
	out     *merging // whose frame was returned last
	damaged int      // sources that have ended so
}

// merging is a source with its next frame. key is the latest time that it has
// shown.
type merging struct {
	src   *Source
	frame Frame
	key   int64
}

// Merge reads sources as one. It orders them as OpenAll does; sources that
// Open has opened are told apart by their first packets, for which Merge
// waits.
func Merge(sources ...*Source) *Merged {
	m := &Merged{sources: slices.Clone(sources)}
	if len(sources) > 1 {
		for _, s := range sources {
			s.peek()
		}
	}
	order(m.sources)
	m.waiting = m.sources
	return m
}

// Sources are in the order of their File indexes.
func (m *Merged) Sources() []*Source { return m.sources }

// Next returns the next frame of all sources; io.EOF when all have ended. How
// each of them ended stands in its Info.
func (m *Merged) Next(f *Frame) error {
	if m.out != nil {
		if len(m.running) == 1 && m.alone(f) {
			return nil
		}
		m.advance()
	}
	for len(m.waiting) > 0 && (len(m.running) == 0 || m.waiting[0].due(m.running[0])) {
		m.begin()
	}
	if len(m.running) == 0 {
		return io.EOF
	}
	m.out = m.running[0]
	*f = m.out.frame
	return nil
}

// Alone reports that no other source is being read than that of the latest frame:
// those before it have ended.
func (m *Merged) Alone() bool { return len(m.running) == 1 }

// alone reads the next frame of the only source that is running straight into f,
// and reports whether it is the next of all. When not, it is that source's next
// one, or the source has ended.
func (m *Merged) alone(f *Frame) bool {
	g := m.out
	if g.src.Next(f) != nil {
		m.ended(g.src)
		m.running, m.out = m.running[:0], nil
		return false
	}
	g.key = max(g.key, f.At)
	if len(m.waiting) == 0 || !m.waiting[0].due(g) {
		return true
	}
	g.frame, m.out = *f, nil
	return false
}

// advance reads the next frame of the source whose frame was returned last.
func (m *Merged) advance() {
	switch {
	case m.out == nil: // its next frame is known
	case m.out.advance():
		heap.Fix(&m.running, 0)
	default:
		m.ended(m.out.src)
		heap.Pop(&m.running)
	}
	m.out = nil
}

// ended notes how a source has.
func (m *Merged) ended(s *Source) {
	if s.parser.info.Damage != nil {
		m.damaged++
	}
}

// Damaged is how many sources have ended with damage, and none of their frames
// is still to come.
func (m *Merged) Damaged() int { return m.damaged }

// due reports whether a source that has not begun comes before the frame of g.
func (s *Source) due(g *merging) bool {
	return !s.hasFirst || s.firstAt < g.key || s.firstAt == g.key && s.file < g.src.file
}

// begin lets the first of the waiting sources run.
func (m *Merged) begin() {
	s := m.waiting[0]
	m.waiting = m.waiting[1:]
	if s.dec == nil && !s.ended && !s.peeked {
		if s.unpark(blockSizeAmong(len(m.running)+1)) != nil {
			m.ended(s)
			return
		}
	}
	g := &merging{src: s, key: math.MinInt64}
	if !g.advance() {
		m.ended(s)
		return
	}
	heap.Push(&m.running, g)
}

// advance reads the next frame of a source; false when there is none.
func (g *merging) advance() bool {
	if g.src.Next(&g.frame) != nil {
		return false
	}
	g.key = max(g.key, g.frame.At)
	return true
}

// Close closes all sources.
func (m *Merged) Close() error {
	var errs []error
	for _, s := range m.sources {
		errs = append(errs, s.Close())
	}
	m.waiting, m.running, m.out = nil, nil, nil
	return errors.Join(errs...)
}

// Stop stops all sources; see Source.Stop.
func (m *Merged) Stop() {
	for _, s := range m.sources {
		s.Stop()
	}
}

// mergeHeap has the source whose frame comes next at its root.
type mergeHeap []*merging

func (h mergeHeap) Len() int { return len(h) }
func (h mergeHeap) Less(i, j int) bool {
	return h[i].key < h[j].key || h[i].key == h[j].key && h[i].src.file < h[j].src.file
}
func (h mergeHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)   { *h = append(*h, x.(*merging)) }
func (h *mergeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
