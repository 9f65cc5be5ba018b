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

// change is what happens to the numbers of a place at a time.
type change struct {
	at        int64
	use, wait int32
	entered   uint32
	// base, where set, is the numbers of the stays that were folded, from now on.
	base              bool
	baseUse, baseWait uint32
}

// each calls do for every place, in order, with its changes by time and the
// flows that entered TIME_WAIT. Both are valid during the call.
func (s *stays) each(do func(place, []change, *waits)) {
	recent := make([]*stay, len(s.recent))
	for i := range s.recent {
		recent[i] = &s.recent[i]
	}
	slices.SortFunc(recent, (*stay).compare)
	old := s.old.places()
	var list []change
	for from, k := 0, 0; from < len(recent) || k < len(old); {
		var at place
		if from < len(recent) {
			at = recent[from].place
		}
		if k < len(old) && (from == len(recent) || old[k].whole().compare(at) < 0) {
			at = old[k].whole()
		}
		var cell waits
		if c := s.flows.get(at); c != nil {
			cell.merge(c)
		}
		list = list[:0]
		for ; from < len(recent) && recent[from].place == at; from++ {
			x := recent[from]
			list = x.changes(list)
			if x.wait != 0 {
				cell.enter(x)
			}
		}
		for ; k < len(old) && old[k].whole() == at; k++ {
			list = s.counted(old[k], list)
		}
		// What ends makes room before what begins takes it.
		slices.SortFunc(list, func(a, b change) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.use+a.wait, b.use+b.wait))
		})
		do(at, list, &cell)
	}
}

// changes appends what a stay does to the numbers.
func (x *stay) changes(list []change) []change {
	out := change{at: x.gone, use: -1}
	if x.wait != 0 {
		out.wait = -1
		list = append(list, change{at: x.wait, wait: 1, entered: 1})
	}
	return append(list, change{at: x.open, use: 1}, out)
}

// counted appends the numbers of a window.
func (s *stays) counted(k place, list []change) []change {
	w, first := s.old.get(k), k.slot*windowSlots
	var use, wait uint32
	for i := range w.use {
		use, wait = use+w.use[i], wait+w.wait[i]
		list = append(list, change{at: (first + int64(i)) * momentNS, base: true,
			baseUse: use, baseWait: wait, entered: w.entered[i]})
	}
	if k.slot++; s.old.get(k) == nil {
		list = append(list, change{at: (first + windowSlots) * momentNS, base: true})
	}
	return list
}

// load is how many connections a place had at its worst.
type load struct {
	peakWait, peakUse uint64
	peakAt            int64  // first time of peakWait
	peakOpen          uint64 // the most that were open, and not in TIME_WAIT, at once
	openAtPeak        uint64 // at peakAt
	useAtEnd          uint64
	openAtEnd         uint64
	rate              float64 // into TIME_WAIT per second, up to peakAt
	rateAtEnd         float64 // of late
	first             int64   // entry into TIME_WAIT
	leaving           []leave // after the end
}

// leave is how many TIME_WAITs end at a time.
type leave struct {
	at int64
	n  uint64
}

// measure reads a history up to end.
func measure(list []change, end int64, twoMSL int64) (l load) {
	var use, wait, baseUse, baseWait int64
	i := 0
	for ; i < len(list) && list[i].at <= end; i++ {
		c := &list[i]
		use, wait = use+int64(c.use), wait+int64(c.wait)
		if c.base {
			baseUse, baseWait = int64(c.baseUse), int64(c.baseWait)
		}
		if c.entered > 0 && l.first == 0 {
			l.first = c.at
		}
		inUse, inWait := uint64(max(0, use+baseUse)), uint64(max(0, wait+baseWait))
		open := inUse - min(inUse, inWait)
		l.peakUse, l.peakOpen = max(l.peakUse, inUse), max(l.peakOpen, open)
		if inWait > l.peakWait {
			l.peakWait, l.peakAt, l.openAtPeak = inWait, c.at, open
		}
		l.useAtEnd, l.openAtEnd = inUse, open
	}
	l.after(list[i:], end, baseWait)
	l.rate, l.rateAtEnd = entering(list, l.first, l.peakAt, twoMSL), slope(list, end, twoMSL)
	return l
}

// after takes what follows the end: nothing but TIME_WAITs that end. Of stays
// that were folded baseWait waited at the last moment before; those that entered
// since then show at the first moment after the end.
func (l *load) after(list []change, end, baseWait int64) {
	for i := range list {
		c := &list[i]
		switch {
		case c.base:
			if late := uint64(c.entered); late > 0 && c.at < end+momentNS {
				l.useAtEnd += late
				l.peakUse = max(l.peakUse, l.useAtEnd)
				baseWait += int64(late)
			}
			if gone := baseWait - int64(c.baseWait); gone > 0 {
				l.leaving = append(l.leaving, leave{max(end, c.at-momentNS/2), uint64(gone)})
			}
			baseWait = int64(c.baseWait)
		case c.wait < 0:
			l.leaving = append(l.leaving, leave{c.at, 1})
		}
	}
	slices.SortStableFunc(l.leaving, func(a, b leave) int { return cmp.Compare(a.at, b.at) })
}

// slope is how many per second enter TIME_WAIT at the end, as the newer half of
// those tells that entered in the 2MSL before: a client that was slow or silent
// before is taken for what it does now.
func slope(list []change, end, twoMSL int64) float64 {
	// Folded stays that entered just before the end show at a moment after it.
	last, n, folded := 0, uint64(0), false
	for ; last < len(list) && list[last].at < end+momentNS; last++ {
		if c := &list[last]; c.at > end-twoMSL {
			n += uint64(c.entered)
			folded = folded || c.base && c.entered > 0
		}
	}
	if n == 0 {
		return 0
	}
	i, newer := last, uint64(0)
	for newer < (n+1)/2 {
		i--
		newer += uint64(list[i].entered)
	}
	since := list[i].at
	for k := i - 1; k >= 0; k-- { // the one before begins the time
		if list[k].entered > 0 {
			since = list[k].at
			break
		}
	}
	since = min(since, end-1e9)
	if folded {
		since -= since % momentNS
	}
	newer = 0
	for k := last - 1; k >= 0 && list[k].at > since; k-- {
		newer += uint64(list[k].entered)
	}
	return float64(max(newer, 1)) / (float64(end-since) / 1e9)
}

// entering is how many per second entered TIME_WAIT in the 2MSL before t, or
// since the first did, which is at least a second.
func entering(list []change, first, t, twoMSL int64) float64 {
	if first == 0 {
		return 0
	}
	span := max(min(twoMSL, t-first), 1e9)
	n := uint64(0)
	for i := range list {
		if c := &list[i]; c.at > t-span && c.at <= t || c.at == first && t-first <= span {
			n += uint64(c.entered)
		}
	}
	return float64(n) / (float64(span) / 1e9)
}

// exhaustedIn is in how many ns after the end capacity is used up when
// connections keep entering TIME_WAIT at the rate of the end; -1 for never.
func (l *load) exhaustedIn(capacity uint64, end, twoMSL int64) int64 {
	switch {
	case l.useAtEnd >= capacity:
		return 0
	case l.rateAtEnd*float64(twoMSL)/1e9+float64(l.openAtEnd) <= float64(capacity):
		return -1
	}
	// Until 2MSL have passed those that wait now leave one by one.
	room, from := float64(capacity-l.useAtEnd), end
	for _, x := range l.leaving {
		if need := room / l.rateAtEnd * 1e9; need <= float64(x.at-from) {
			return from - end + int64(need)
		}
		room += float64(x.n) - l.rateAtEnd*float64(x.at-from)/1e9
		from = x.at
	}
	return from - end + int64(room/l.rateAtEnd*1e9)
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
