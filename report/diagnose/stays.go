package diagnose

import (
	"cmp"
	"math"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// stay is one connection of a place.
type stay struct {
	place
	tenure
}

// tenure is how long a connection took a socket: open from open, in TIME_WAIT
// from wait (0: never) and gone at gone.
type tenure struct {
	open, wait, gone int64
	flow, entered    tcp.PacketRef // the packet that took it into TIME_WAIT, if it did,
	by               part          // and its sender, as a role
	exchanges        uint16        // that it carried, as far as known; see exchanges
}

// seen is the entry into TIME_WAIT.
func (x *stay) seen() sighting { return sighting{flow: x.flow, at: x.wait, ref: x.entered, side: x.by} }

const (
	// recentStays are remembered one by one, so that a capture that is not huge
	// is counted exactly.
	recentStays = 2048
	// keptStays is how many of those a place must have to be counted on.
	keptStays = 4
	// A window is windowSlots moments at which older stays are counted, each
	// momentNS after the one before: 4.3 s and 275 s.
	windowSlots = 64
	momentNS    = int64(1) << 32
	// longestStay is how many moments of one connection are counted, the last.
	longestStay = 1 << 10
)

// stays counts how many connections of each place were open or in TIME_WAIT at
// any time.
type stays struct {
	recent []stay
	hashes []uint64 // of their places
	old    sketch[window, *window]
	flows  sketch[waits, *waits] // that entered TIME_WAIT, of the older ones
	order  []uint64              // of settle, kept for its memory
}

// window is how many connections of a place there were at some moments, and how
// many entered TIME_WAIT in the time before each. Of use and wait it holds by how
// many they differ from the moment before, modulo 2^32: a connection changes them
// twice, however long it lasts.
type window struct {
	use, wait, entered [windowSlots]uint32
}

func (w *window) weight() (most uint64) {
	use := uint32(0)
	for _, d := range w.use {
		use += d
		most = max(most, uint64(use))
	}
	return most
}

func (w *window) merge(o *window) {
	for i := range o.use {
		w.use[i] += o.use[i]
		w.wait[i] += o.wait[i]
		w.entered[i] += o.entered[i]
	}
}

func (w *window) reset() { *w = window{} }

// waits are the flows of a place that entered TIME_WAIT, and what they carried.
type waits struct {
	flowCell
	single, several uint64 // carried one exchange, or several
	sum, squares    uint64 // of the exchanges of the latter
}

func (w *waits) enter(x *stay) {
	w.add(x.seen())
	switch n := uint64(x.exchanges); {
	case n == 1:
		w.single++
	case n > 1:
		w.several++
		w.sum += n
		w.squares += n * n
	}
}

func (w *waits) merge(o *waits) {
	w.flowCell.merge(&o.flowCell)
	w.single, w.several = w.single+o.single, w.several+o.several
	w.sum, w.squares = w.sum+o.sum, w.squares+o.squares
}

func (w *waits) reset() { *w = waits{flowCell: flowCell{seen: w.seen[:0]}} }

// add remembers a stay at k, but on that side. The place is written where it
// stays: this is done for each flow, and copies would cost more than the rest.
func (s *stays) add(k *place, hosts uint64, side part, x tenure) {
	n := len(s.recent)
	if n >= recentStays {
		s.settle()
		n = 0
	}
	if n == cap(s.recent) {
		s.recent, s.hashes = slices.Grow(s.recent, max(n, 16)), slices.Grow(s.hashes, max(n, 16))
	}
	s.recent = s.recent[:n+1]
	y := &s.recent[n]
	y.place, y.tenure = *k, x
	y.side = side
	s.hashes = append(s.hashes, y.hashOn(hosts))
}

// settle counts what is remembered one by one at moments instead. Places with
// hardly any of it are let go: however long they went on, they would not come
// near those that matter.
func (s *stays) settle() {
	order := s.shared()
	slices.Sort(order)
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && order[to]>>settleBits == order[from]>>settleBits {
			to++
		}
		if to-from >= keptStays {
			s.foldAll(order[from:to])
		}
		from = to
	}
	s.recent, s.hashes = s.recent[:0], s.hashes[:0]
}

// foldAll counts the recent stays with those numbers, which are of one place or,
// by a chance, of several.
func (s *stays) foldAll(order []uint64) {
	var to folding
	for _, o := range order {
		x := &s.recent[o&(1<<settleBits-1)]
		if to.window == nil || x.place != to.key.whole() {
			to = folding{key: x.place, hosts: x.hosts()}
		}
		s.fold(x, &to)
		if x.wait == 0 {
			continue
		}
		if to.seen == nil {
			to.seen = s.flows.on(&x.place, to.hosts)
		}
		to.seen.enter(x)
	}
}

// folding is where the stays of a place are counted: the cells found last.
type folding struct {
	key    place // of the window
	hosts  uint64
	window *window
	seen   *waits
}

// settleBits number the recent stays, also those of many merged judges.
const settleBits = 20

// shared lists the recent stays whose place may have keptStays of them, as the
// upper bits of the place's hash and the stay's number: most places have few,
// and need no order. Two places hardly ever share those bits, and then count as
// one only for whether there are enough.
func (s *stays) shared() []uint64 {
	const few = 13        // bits: four times as many places as there are stays
	var n [1 << few]uint8 // stays of those
	order := s.order[:0]
	for i, h := range s.hashes {
		order = append(order, h>>settleBits<<settleBits|uint64(i))
		n[h>>(64-few)] = min(n[h>>(64-few)]+1, keptStays)
	}
	s.order = order
	kept := order[:0]
	for _, o := range order {
		if n[o>>(64-few)] >= keptStays {
			kept = append(kept, o)
		}
	}
	return kept
}

func (x *stay) compare(y *stay) int {
	if c := x.place.compare(y.place); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(x.open, y.open), cmp.Compare(x.gone, y.gone), cmp.Compare(x.flow, y.flow))
}

// fold counts a stay at the moments that it covers.
func (s *stays) fold(x *stay, in *folding) {
	from, to := moment(x.open), moment(x.gone) // of the first that it covers, and of the first after it
	entered := int64(math.MaxInt64)
	if x.wait != 0 {
		entered = moment(x.wait)
		to = max(to, entered+1) // so that it is counted
	}
	for from = max(from, to-longestStay); from < to; {
		slot := from / windowSlots
		if in.window == nil || slot != in.key.slot {
			in.key.slot = slot
			in.window = s.old.on(&in.key, in.hosts)
		}
		w, end := in.window, min(to, (slot+1)*windowSlots)
		between(&w.use, from, end)
		if entered < end {
			between(&w.wait, max(from, entered), end)
		}
		if from <= entered && entered < end {
			w.entered[entered%windowSlots]++
		}
		from = end
	}
}

// between adds one to the numbers of the moments from from to before to, which
// is in the same window or the first of the next.
func between(numbers *[windowSlots]uint32, from, to int64) {
	numbers[from%windowSlots]++
	if i := to % windowSlots; i != 0 {
		numbers[i]--
	}
}

// moment is the number of the first moment at or after t.
func moment(t int64) int64 { return max(0, (t+momentNS-1)/momentNS) }

func (s *stays) merge(o *stays) {
	s.recent, s.hashes = append(s.recent, o.recent...), append(s.hashes, o.hashes...)
	s.old.merge(&o.old)
	s.flows.merge(&o.flows)
}

// stayOf is how long a connection took a socket of one of its sides, or false
// when it was never open. A side that may still be open counts as such until
// the flow's end.
func stayOf(f *reassembly.Flow, s tcp.Side) (x tenure, ok bool) {
	switch f.Handshake.Outcome {
	case reassembly.Complete, reassembly.Simultaneous, reassembly.Unseen:
	default:
		return x, false
	}
	x.open, x.gone = f.Start, f.Until+1
	for i := range f.TimeWaits {
		if w := &f.TimeWaits[i]; w.Side == s && w.EnteredRef != 0 && (w.EndedAt > w.Entered || w.EndedBy == reassembly.TimeWaitCaptureEnd) {
			x.wait, x.gone = w.Entered, w.EndedAt
			if w.EndedBy == reassembly.TimeWaitCaptureEnd || w.EndedBy == reassembly.TimeWaitEviction {
				x.gone = max(w.Expires, f.Until+1)
			}
			// It is the peer's packet that takes it there.
			x.flow, x.entered, x.by = f.ID, w.EnteredRef, roleSide(f, s.Other())
			return x, true
		}
	}
	d := f.Endpoint(s)
	if d.State == fsm.Closed && d.Since != 0 {
		x.gone = d.Since
	}
	return x, true
}
