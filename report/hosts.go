package report

import (
	"maps"
	"net/netip"
	"slices"
)

// Clients of groups are told apart up to groupHosts in one group and to
// listedHosts in all.
const (
	groupHosts  = 1000
	listedHosts = 100_000
)

// hosts is a set of addresses up to a bound. The zero value is empty.
type hosts struct {
	set  map[netip.Addr]struct{}
	more bool // there are others
}

// add reports whether the address is new in the set.
func (h *hosts) add(a netip.Addr, room bool) bool {
	full := !room || len(h.set) >= groupHosts
	if !a.IsValid() || full && h.more {
		return false
	}
	if _, old := h.set[a]; old {
		return false
	}
	if full {
		h.more = true
		return false
	}
	if h.set == nil {
		h.set = map[netip.Addr]struct{}{}
	}
	h.set[a] = struct{}{}
	return true
}

func (h hosts) clone() hosts {
	h.set = maps.Clone(h.set)
	return h
}

// plus adds another set, as far as both are known.
func (h *hosts) plus(o *hosts) {
	for a := range o.set {
		if h.set == nil {
			h.set = map[netip.Addr]struct{}{}
		}
		h.set[a] = struct{}{}
	}
	h.more = h.more || o.more
}

// words is "192.0.2.1", "192.0.2.1 and 192.0.2.2", "3 clients", "more than 1,000
// clients"; "clients" when nothing is known of them. only is true when it names
// every one.
func (h *hosts) words() (s string, only bool) {
	switch n := uint64(len(h.set)); {
	case h.more:
		return "more than " + Count(n) + " clients", false
	case n == 0:
		return "clients", false
	case n <= 2:
		list := slices.SortedFunc(maps.Keys(h.set), netip.Addr.Compare)
		s = list[0].String()
		if n == 2 {
			s += " and " + list[1].String()
		}
		return s, true
	default:
		return Count(n) + " clients", false
	}
}
