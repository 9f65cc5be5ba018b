package traffic

import (
	"io"
	"math/rand/v2"
)

const (
	// begin is the time of every capture's first second.
	begin = 1_700_000_000_000_000_000
	// clients is how many hosts connect; each counts its ports up.
	clients = 4096
	servers = 64
	// service is the first port of the services, which analysers leave alone.
	service  = 18080
	services = 8
	// ephemeral is Linux's first port for clients, which take every other one.
	ephemeral = 32768
	ports     = 14_000

	second = 1_000_000_000 / tickNS // ticks
)

// conn is an open connection. The wheel links it by next.
type conn struct {
	next   uint32
	rtt    uint32 // ticks
	due    int64  // ticks
	vlan   uint16
	v6     bool
	at     uint8 // the next act
	again  uint8 // where loop goes back to
	tries  uint8 // of a SYN
	ends   [2]end
	script script
}

// end is one side of a connection.
type end struct {
	addr     uint32
	port     uint16
	ipid     uint16
	nxt      uint32 // sequence number of what comes next
	tsOffset uint32
	tsval    uint32 // the last one sent
	left     uint32 // octets to send
	heldSeq  uint32 // of the segment that is being overtaken
	held     uint16 // its octets, 0 without one
	last     uint16 // octets of the last segment
	thinks   uint16 // ticks that its application takes to answer
}

// mss is how much fits a segment.
func (c *conn) mss() int {
	if c.v6 {
		return mss6
	}
	return mss4
}

// generator plays all connections.
type generator struct {
	Config
	rng    *rand.Rand
	out    *file
	enc    *encoder
	wheel  wheel
	conns  []conn   // 0 is none
	free   []uint32 // unused elements of conns
	begun  int
	closes int64 // Held: the tick from which connections are closed
	totals Totals
}

func newGenerator(c Config, w io.Writer) *generator {
	g := &generator{
		Config: c, rng: rand.New(rand.NewPCG(c.Seed, uint64(c.Shape))), out: newFile(w, c.Format, c.Snaplen),
		wheel: newWheel(), conns: make([]conn, 1),
	}
	g.enc = newEncoder(g.out, g.rng)
	g.closes = int64(c.Seconds+2) * second
	return g
}

// run plays until every script is over or nobody takes the bytes any more.
func (g *generator) run() {
	span := int64(g.Seconds) * second
	for g.out.err == nil && (g.begun < g.Connections || g.wheel.waiting > 0) {
		for g.begun < g.Connections && g.wheel.now >= span*int64(g.begun)/int64(g.Connections) {
			g.open()
		}
		at := begin + g.wheel.now*tickNS
		for i := g.wheel.take(); i != 0; {
			c := &g.conns[i]
			next := c.next
			if c.due > g.wheel.now {
				g.wheel.link(i, c)
			} else {
				g.wheel.waiting--
				g.act(i, at)
				at = min(at+1000, begin+(g.wheel.now+1)*tickNS-1000)
			}
			i = next
		}
		g.wheel.now++
	}
}

// open begins a connection.
func (g *generator) open() {
	var i uint32
	if n := len(g.free); n > 0 {
		i, g.free = g.free[n-1], g.free[:n-1]
	} else {
		i = uint32(len(g.conns))
		g.conns = append(g.conns, conn{})
	}
	c := &g.conns[i]
	*c = conn{}
	g.people(c)
	var fate Fate
	switch g.Shape {
	case Web:
		fate = g.web(c)
	case Bulk:
		fate = g.bulk(c)
	case Flood:
		fate = g.flood(c)
	case Held:
		fate = g.held(c)
	}
	g.begun++
	g.totals.Connections++
	g.totals.Fates[fate]++
	g.wheel.add(i, c, g.wheel.now+1+g.rng.Int64N(20))
}

// people gives a connection its hosts. No two connections of a capture have
// the same four-tuple, unless there are tens of millions.
func (g *generator) people(c *conn) {
	n, r := g.begun, g.rng.Uint64()
	cl, srv := &c.ends[client], &c.ends[server]
	srv.addr = 10<<24 | uint32(r%servers+1)
	srv.port = service + uint16(r>>8%services)
	cl.addr = 10<<24 | 64<<16 | uint32(n%clients)
	cl.port = ephemeral + uint16(2*(n/clients+n%clients*7)%(2*ports))
	cl.nxt, srv.nxt = uint32(r>>32), g.rng.Uint32()
	cl.tsOffset, srv.tsOffset = uint32(n%clients)*7919, srv.addr*104729
	cl.ipid, srv.ipid = uint16(r>>16), uint16(r>>24)
	c.rtt = uint32(8 + r>>40%400) // 0.4 to 20 ms
	cl.thinks, srv.thinks = uint16(r>>12%2000), uint16(r>>20%4000)
	switch {
	case g.Shape == Flood:
		srv.addr, srv.port = 10<<24|1, service
		cl.addr, cl.port = scatter(uint32(n)), 1024+uint16(r>>16%60000)
	case g.Shape == Web:
		c.v6 = g.pick(60)
		if g.pick(20) {
			c.vlan = uint16(100 + r%8)
		}
	}
}

// scatter gives every number another address, none of which is special.
func scatter(n uint32) uint32 {
	n *= 2654435761 // odd, so this is a permutation
	return 11<<24 + n%(200<<24)
}

// act has connection i do what its script says next, at a time in ns.
func (g *generator) act(i uint32, at int64) {
	c := &g.conns[i]
	a, who := c.script.acts[c.at].split()
	c.at++
	g.perform(c, a, who, at)
	for c.at < c.script.n {
		next, by := c.script.acts[c.at].split()
		if next == loop {
			c.at++
			if c.ends[by].left > 0 {
				c.at = c.again
			}
			continue
		}
		g.wheel.add(i, c, g.wheel.now+g.delay(c, next, who, by))
		return
	}
	g.free = append(g.free, i)
}

// delay is how many ticks pass until side by does act a, after side who acted.
func (g *generator) delay(c *conn, a act, who, by side) int64 {
	switch a {
	case pause:
		return 1 + int64(c.ends[by].thinks)
	case synAgain:
		c.tries++
		return second << (c.tries - 1)
	case dataAgain, finAgain:
		return second/5 + int64(c.rtt)
	case park:
		return max(g.closes-g.wheel.now, 0) + g.rng.Int64N(int64(g.Seconds)*second)
	}
	if by == who {
		return 1
	}
	return 1 + int64(c.rtt)/2
}

// perform encodes what a side does.
func (g *generator) perform(c *conn, a act, who side, at int64) {
	e, p := &c.ends[who], &c.ends[who.other()]
	s := segment{from: who, flags: flagACK, opts: timestamps, ack: p.nxt, seq: e.nxt, window: 502}
	switch a {
	case pause, park:
		return
	case syn, synAgain:
		if a == syn {
			e.nxt++
		}
		s.seq, s.ack, s.flags, s.opts, s.window = e.nxt-1, 0, flagSYN, opening, 64240
		if g.Shape == Flood {
			s.opts, s.window = noOptions, 512
		}
	case synAck:
		s.flags, s.opts, s.window = flagSYN|flagACK, opening, 65160
		e.nxt++
	case data, overtaken:
		if !g.take(c, e, a, &s) {
			return
		}
	case late:
		if e.held == 0 {
			return
		}
		s.seq, s.length, e.held = e.heldSeq, int(e.held), 0
	case dataAgain:
		s.flags |= flagPSH
		s.seq, s.length = e.nxt-uint32(e.last), int(e.last)
	case fin:
		s.flags |= flagFIN
		e.nxt++
	case finAgain:
		s.flags |= flagFIN
		s.seq--
	case abort:
		s.flags |= flagRST
	case refuse:
		s.flags, s.opts, s.seq, s.window = flagRST|flagACK, noOptions, 0, 0
	}
	if a != refuse && a != synAck { // Linux gives these none
		e.ipid++
		s.ipid = e.ipid
	}
	e.tsval = e.tsOffset + uint32((at-begin)/1e6)
	s.tsval, s.tsecr = e.tsval, p.tsval
	g.enc.encode(at, c, &s)
}

// take fills s with the next data of e; false when it is kept back.
func (g *generator) take(c *conn, e *end, a act, s *segment) bool {
	size := min(uint32(c.mss()), e.left)
	e.left -= size
	e.nxt += size
	e.last = uint16(size)
	if e.left == 0 {
		s.flags |= flagPSH
	}
	s.length = int(size)
	if a == overtaken && g.pick(20) {
		e.held, e.heldSeq = uint16(size), s.seq
		return false
	}
	return true
}
