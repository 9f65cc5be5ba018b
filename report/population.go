package report

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// hostsKept and listenersKept bound what one partition remembers: a scan or a
// flood shows as many addresses as there are.
const (
	hostsKept     = 1 << 12
	listenersKept = 1 << 12
)

type address = [16]byte

// population is how many sockets each host holds in each state when the input
// ends, and which listeners have been seen.
type population struct {
	total     [fsm.States]uint64
	hosts     map[address]*[fsm.States]uint64
	listeners map[listener]struct{}
	// manyHosts and manyListeners report that there were more than are kept.
	manyHosts, manyListeners bool
}

// listener is an address and port that answered a SYN with a SYN-ACK.
type listener struct {
	addr address
	port uint16
}

// add counts a finalised flow's endpoints. Those of a flow that ended before
// the input did are CLOSED and count nothing.
func (p *population) add(f *reassembly.Flow) {
	for i := range f.Ends {
		if st := f.Ends[i].State; st > fsm.Listen {
			p.socket(sideAddress(&f.Tuple, tcp.SideA+tcp.Side(i)), st, 1)
		}
	}
	if f.Handshake.SYNACKRef != 0 && f.Handshake.Outcome != reassembly.Simultaneous {
		p.listen(listener{sideAddress(&f.Tuple, f.Server()), f.Addr(f.Server()).Port()})
	}
}

func sideAddress(t *tcp.Tuple, s tcp.Side) address {
	if s == tcp.SideB {
		return t.AddrB
	}
	return t.AddrA
}

func (p *population) socket(host address, st fsm.State, n uint64) {
	p.total[st] += n
	counts := p.hosts[host]
	if counts == nil {
		if counts = p.host(host); counts == nil {
			return
		}
	}
	counts[st] += n
}

// host makes the counts of a new host; nil when there is no room.
func (p *population) host(host address) *[fsm.States]uint64 {
	if len(p.hosts) >= hostsKept {
		p.manyHosts = true
		return nil
	}
	if p.hosts == nil {
		p.hosts = map[address]*[fsm.States]uint64{}
	}
	counts := new([fsm.States]uint64)
	p.hosts[host] = counts
	return counts
}

func (p *population) listen(l listener) {
	if _, ok := p.listeners[l]; ok {
		return
	}
	if len(p.listeners) >= listenersKept {
		p.manyListeners = true
		return
	}
	if p.listeners == nil {
		p.listeners = map[listener]struct{}{}
	}
	p.listeners[l] = struct{}{}
}

func (p *population) clone() population {
	c := *p
	c.listeners = maps.Clone(p.listeners)
	c.hosts = make(map[address]*[fsm.States]uint64, len(p.hosts))
	for h, counts := range p.hosts {
		n := *counts
		c.hosts[h] = &n
	}
	return c
}

// census is the populations of all partitions as one.
type census struct {
	total      [fsm.States]uint64
	hosts      map[address]*[fsm.States]uint64
	incomplete bool // there were more hosts or listeners than are kept
}

// takeCensus adds the partitions up. With more hosts than are kept only the sum
// over all is known, since no host's own line could be trusted.
func takeCensus(judges []*judge) *census {
	c := &census{hosts: map[address]*[fsm.States]uint64{}}
	listeners := map[listener]struct{}{}
	for _, j := range judges {
		p := &j.people
		c.incomplete = c.incomplete || p.manyHosts || p.manyListeners
		for st, n := range p.total {
			c.total[st] += n
		}
		for h, counts := range p.hosts {
			for st, n := range counts {
				c.host(h)[st] += n
			}
		}
		for l := range p.listeners {
			if _, ok := listeners[l]; !ok {
				listeners[l] = struct{}{}
				c.total[fsm.Listen]++
				c.host(l.addr)[fsm.Listen]++
			}
		}
	}
	return c
}

func (c *census) host(h address) *[fsm.States]uint64 {
	counts := c.hosts[h]
	if counts == nil {
		counts = new([fsm.States]uint64)
		c.hosts[h] = counts
	}
	return counts
}

// states lists the sum first, then the hosts by address.
func (c *census) states(at int64) []States {
	out := []States{{Time: at, Counts: c.total}}
	if c.incomplete {
		return out
	}
	hosts := slices.SortedFunc(maps.Keys(c.hosts), func(a, b address) int { return bytes.Compare(a[:], b[:]) })
	for _, h := range hosts {
		out = append(out, States{Time: at, Host: netip.AddrFrom16(h).Unmap(), Counts: *c.hosts[h]})
	}
	return out
}
