package report

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// hostsKept and listenersKept bound what one judge remembers: a scan or a
// flood shows as many addresses as there are.
const (
	hostsKept     = 1 << 12
	listenersKept = 1 << 12
)

type address = [16]byte

// population is how many sockets each host holds in each state at an instant,
// and which listeners have been seen.
type population struct {
	at        int64
	past      bool // at is asked for; else it is the input's end
	total     headcount
	hosts     register[address, headcount]
	listeners register[listener, int64] // when the first SYN-ACK was seen
	seed      uint64                    // of their hashes; 0 before the first
	server    listener                  // of the flow that was approached,
	hashed    uint64                    // and its hash
	touched   mark                      // means nothing: see approach
	// manyHosts and manyListeners report that there were more than are kept.
	// Then no host's own line is told, and they are counted no further.
	manyHosts, manyListeners bool
}

// shade is how sure a socket's state is.
type shade uint8

const (
	certain shade = iota
	presumed
	assumed
	shades
)

// headcount is sockets by state: of one instant, so that there are no more than
// flows are held.
type headcount struct {
	counts [fsm.States]uint32
	unsure *[shades][fsm.States]uint32 // those of counts that are not certain; nil for none
}

func (c *headcount) add(st fsm.State, sure shade) {
	c.counts[st]++
	if sure == certain {
		return
	}
	if c.unsure == nil {
		c.unsure = new([shades][fsm.States]uint32)
	}
	c.unsure[sure][st]++
}

func (c *headcount) plus(o *headcount) {
	for st, n := range o.counts {
		c.counts[st] += n
	}
	if o.unsure == nil {
		return
	}
	if c.unsure == nil {
		c.unsure = new([shades][fsm.States]uint32)
	}
	for s := range o.unsure {
		for st, n := range o.unsure[s] {
			c.unsure[s][st] += n
		}
	}
}

// clone goes on from here and leaves c as it is.
func (c *headcount) clone() (out headcount) {
	out.plus(c)
	return out
}

// listener is an address and port that answered a SYN with a SYN-ACK.
type listener struct {
	addr address
	port uint16
}

// approach looks at where the server of a flow is found that add will count,
// without waiting for it: it comes from memory while the flow is judged.
func (p *population) approach(f *reassembly.Flow) {
	s := f.Server()
	p.server = listener{sideAddress(&f.Tuple, s), sidePort(&f.Tuple, s)}
	p.hashed = p.hash(&p.server.addr, p.server.port)
	p.touched += p.listeners.near(p.hashed)
}

// add counts the endpoints of a finalised flow that was approached. Those that are
// CLOSED at the instant count nothing, and those of a flow that was judged early
// count until then: nobody watched what became of them, and if they speak again
// they are a new flow.
func (p *population) add(f *reassembly.Flow) {
	for i := range f.Ends {
		side := tcp.SideA + tcp.Side(i)
		if st, sure := p.state(f, side); st > fsm.Listen {
			p.socket(sideAddress(&f.Tuple, side), st, sure)
		}
	}
	if f.Handshake.SYNACKRef != 0 && f.Handshake.Outcome != reassembly.Simultaneous {
		p.listen(f.Handshake.SYNACK)
	}
}

// state is that of one side at the instant.
func (p *population) state(f *reassembly.Flow, s tcp.Side) (st fsm.State, sure shade) {
	last := f.Endpoint(s).State
	switch {
	case p.past && p.at < f.Start:
		return fsm.Closed, certain
	case p.past && p.at < f.Until:
		f.Stays(s, func(x reassembly.Stay) bool {
			if x.From <= p.at && p.at < x.To {
				st, sure = x.State, shadeOf(x.Basis)
			}
			return p.at >= x.To
		})
		return st, sure
	case last <= fsm.Listen, f.Ended == reassembly.EndEvicted:
		return fsm.Closed, certain
	}
	return last, shadeOf(lastBasis(f, s, last))
}

// lastBasis is that of the step that took one side to its last state.
func lastBasis(f *reassembly.Flow, s tcp.Side, last fsm.State) (b fsm.Basis) {
	for _, st := range slices.Backward(f.Steps) {
		if st.Side == s && !st.Retired && st.On != fsm.Revise {
			if st.To == last {
				return st.Basis
			}
			break // since what it follows was taken back, it leads elsewhere
		}
	}
	f.Stays(s, func(x reassembly.Stay) bool {
		b = x.Basis
		return true
	})
	return b
}

func shadeOf(b fsm.Basis) shade {
	switch b {
	case fsm.Seen:
		return certain
	case fsm.Presumed:
		return presumed
	}
	return assumed
}

func sideAddress(t *tcp.Tuple, s tcp.Side) address {
	if s == tcp.SideB {
		return t.AddrB
	}
	return t.AddrA
}

func sidePort(t *tcp.Tuple, s tcp.Side) uint16 {
	if s == tcp.SideB {
		return t.PortB
	}
	return t.PortA
}

func (p *population) socket(host address, st fsm.State, sure shade) {
	p.total.add(st, sure)
	if p.manyHosts || p.manyListeners {
		return
	}
	hash := p.hash(&host, 0)
	counts := p.hosts.get(&host, hash)
	if counts == nil {
		if p.hosts.count >= hostsKept {
			p.manyHosts, p.hosts = true, register[address, headcount]{}
			return
		}
		counts = p.hosts.put(&host, hash)
	}
	counts.add(st, sure)
}

// listen notes that the server answered a SYN at a time.
func (p *population) listen(at int64) {
	if first := p.listeners.get(&p.server, p.hashed); first != nil {
		*first = min(*first, at)
		return
	}
	if p.listeners.count >= listenersKept {
		p.manyListeners = true
		return
	}
	*p.listeners.put(&p.server, p.hashed) = at
}

// hash is that of an address and a port.
func (p *population) hash(a *address, port uint16) uint64 {
	if p.seed == 0 {
		p.seed = rand.Uint64() | 1
	}
	h := fold(p.seed^binary.LittleEndian.Uint64(a[:8]), 0x9e3779b97f4a7c15^uint64(port))
	return fold(p.seed^h, bits.RotateLeft64(p.seed, 32)^binary.LittleEndian.Uint64(a[8:]))
}

func (p *population) clone() population {
	c := *p
	c.listeners, c.hosts = p.listeners.clone(), p.hosts.clone()
	c.total = p.total.clone()
	for _, counts := range c.hosts.all() {
		*counts = counts.clone()
	}
	return c
}

// census is the populations of all judges as one.
type census struct {
	past       bool  // an instant was asked for
	asked      int64 // and which
	at         int64 // that of the counts: asked, or the end when that is earlier
	total      headcount
	hosts      map[address]*headcount
	listeners  map[listener]int64
	incomplete bool // there were more hosts or listeners than are kept
}

// takeCensus adds the judges of an input up that ended at end. With more
// hosts than are kept only the sum over all is known, since no host's own line
// could be trusted.
func takeCensus(judges []*judge, end int64) *census {
	c := &census{asked: end, hosts: map[address]*headcount{}, listeners: map[listener]int64{}}
	for _, j := range judges {
		p := &j.people
		if p.past {
			c.asked, c.past = p.at, true
		}
		c.incomplete = c.incomplete || p.manyHosts || p.manyListeners
		c.total.plus(&p.total)
		for h, counts := range p.hosts.all() {
			c.host(h).plus(counts)
		}
		for l, at := range p.listeners.all() {
			if first, ok := c.listeners[l]; !ok || *at < first {
				c.listeners[l] = *at
			}
		}
	}
	c.at = min(c.asked, end)
	for l, at := range c.listeners {
		if at <= c.at {
			c.total.add(fsm.Listen, certain)
			c.host(l.addr).add(fsm.Listen, certain)
		}
	}
	return c
}

func (c *census) host(h address) *headcount {
	counts := c.hosts[h]
	if counts == nil {
		counts = new(headcount)
		c.hosts[h] = counts
	}
	return counts
}

// states lists the sum first, then the hosts by address.
func (c *census) states() []States {
	out := []States{c.total.states(c.at)}
	if c.incomplete {
		return out
	}
	for _, h := range slices.SortedFunc(maps.Keys(c.hosts), compareAddress) {
		s := c.hosts[h].states(c.at)
		s.Host = addrOf(h)
		out = append(out, s)
	}
	return out
}

func addrOf(a address) netip.Addr { return netip.AddrFrom16(a).Unmap() }

func compareAddress(a, b address) int { return bytes.Compare(a[:], b[:]) }

func (c *headcount) states(at int64) States {
	s := States{Time: at}
	for st, n := range c.counts {
		s.Counts[st] = uint64(n)
		if c.unsure != nil {
			s.Presumed[st], s.Assumed[st] = uint64(c.unsure[presumed][st]), uint64(c.unsure[assumed][st])
		}
	}
	return s
}
