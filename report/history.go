package report

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
)

// Series is the state table of each host over time: at instants a step apart,
// and at the input's end. The step is a second, or as many times twice that as
// it takes to have no more than about two thousand instants.
type Series struct {
	Step  int64 // ns
	Hosts []HostSeries
	// Crowded reports that there were more hosts than are told apart; they are
	// in the sum.
	Crowded bool

	first, last int64 // instants, in steps since 1970
	end         int64 // of the input
}

// HostSeries is the series of one host.
type HostSeries struct {
	Host netip.Addr // invalid for the sum over all hosts, which comes first

	curve     curve
	listeners []int64 // the instants by which they had been seen, in order
}

// Name is the host's address, or "*" for all hosts.
func (h *HostSeries) Name() string { return hostName(h.Host) }

// Moment is the state table of one host at one instant.
type Moment struct {
	Time    int64              // ns
	Counts  [fsm.States]uint64 // LISTEN: the listeners seen by then
	Entered [fsm.States]uint64 // moves into each state since the instant before
}

// finish makes a series of what was gathered of an input from start to end, and
// of when each listener was first seen.
func (s *series) finish(start, end int64, listeners map[listener]int64) *Series {
	s.cover(start)
	s.cover(end)
	out := &Series{Step: s.step(), Crowded: s.crowded, first: s.instant(start), last: s.instant(end), end: end}
	seen := map[address][]int64{}
	var all []int64
	for l, at := range listeners {
		seen[l.addr] = append(seen[l.addr], s.instant(at))
		all = append(all, s.instant(at))
	}
	slices.Sort(all)
	out.Hosts = []HostSeries{{curve: s.all, listeners: all}}
	for _, h := range s.told(seen) {
		slices.Sort(seen[h])
		one := HostSeries{Host: addrOf(h), listeners: seen[h]}
		if c := s.hosts[h]; c != nil {
			one.curve = *c
		}
		out.Hosts = append(out.Hosts, one)
	}
	return out
}

// told lists the hosts in order: those that moved, and as far as there is room
// those of which nothing but an answer is known.
func (s *series) told(seen map[address][]int64) []address {
	list := slices.Collect(maps.Keys(s.hosts))
	for _, h := range slices.SortedFunc(maps.Keys(seen), compareAddress) {
		if s.hosts[h] == nil && len(list) < seriesHosts {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, compareAddress)
	return list
}

// Each calls visit for each instant of a host, in order, until it is false.
func (s *Series) Each(h *HostSeries, visit func(*Moment) bool) {
	var m Moment
	var counts [fsm.States]int64
	heard := 0
	for n := h.begin(s.first); n <= s.last; n++ {
		if b := h.curve[n>>5]; b != nil {
			t := &b[n&(blockSteps-1)]
			for st := range counts {
				counts[st] += int64(t.change[st])
				m.Entered[st] += uint64(t.entered[st])
			}
		}
		for ; heard < len(h.listeners) && h.listeners[heard] <= n; heard++ {
			counts[fsm.Listen]++
			m.Entered[fsm.Listen]++
		}
		if n < s.first {
			continue
		}
		if m.Time = s.end; n < s.last {
			m.Time = n * s.Step
		}
		for st := range counts {
			m.Counts[st] = uint64(max(0, counts[st]))
		}
		if !visit(&m) {
			return
		}
		m.Entered = [fsm.States]uint64{}
	}
}

// begin is the first instant to be added up, which is first or before it.
func (h *HostSeries) begin(first int64) int64 {
	for k := range h.curve {
		first = min(first, k<<5)
	}
	return first
}

// Entered is how often each state was entered on a host.
func (s *Series) Entered(h *HostSeries) (sum [fsm.States]uint64) {
	s.Each(h, func(m *Moment) bool {
		for st, n := range m.Entered {
			sum[st] += n
		}
		return true
	})
	return sum
}
