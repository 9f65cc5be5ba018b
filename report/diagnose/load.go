package diagnose

import (
	"cmp"
	"slices"
)

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
