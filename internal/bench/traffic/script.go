package traffic

// act is one entry of a connection's script: something that a side does, or a
// pause. The lowest bit is the side.
type act uint8

const (
	pause     act = iota << 1 // an application thinks
	syn                       // the first one
	synAgain                  // after a second, two, four
	synAck                    // in answer to it
	ack                       // of everything so far
	data                      // the next segment of what is to be sent
	dataAgain                 // the last one again, after a timeout
	overtaken                 // data that comes later than what follows it, now and then
	late                      // here it comes
	fin                       //
	finAgain                  // after a timeout
	abort                     // an RST by a socket that has data or is closed unread
	refuse                    // an RST in answer to the SYN
	park                      // until the connections are to be closed
	loop                      // back to where the transfer began, as long as there is something to send
)

// side is an end of a connection, and the lowest bit of an act.
type side uint8

const (
	client side = iota
	server
)

func (s side) other() side { return s ^ 1 }

// ttl is what is left of 64 where the capture was taken, near the server.
func (s side) ttl() uint8 {
	if s == server {
		return 64
	}
	return 57
}

// by has a side do an act.
func (a act) by(s side) act { return a | act(s) }

// split undoes by.
func (a act) split() (act, side) { return a &^ 1, side(a & 1) }

// script is a list of acts in place.
type script struct {
	acts [30]act
	n    uint8
}

func (s *script) add(acts ...act) { s.n += uint8(copy(s.acts[s.n:], acts)) }

// pick is true in so many of a thousand cases.
func (g *generator) pick(perMille int) bool { return g.rng.IntN(1000) < perMille }

// handshake is the first three segments.
func (s *script) handshake() {
	s.add(syn.by(client), synAck.by(server), ack.by(client))
}

// web is a connection of 8 to 20 packets, or one that ends badly.
func (g *generator) web(c *conn) Fate {
	s := &c.script
	switch n := g.rng.IntN(1000); {
	case n < 10:
		s.add(syn.by(client), synAgain.by(client), synAgain.by(client), synAgain.by(client))
		return Unanswered
	case n < 20:
		s.add(syn.by(client), refuse.by(server))
		return Refused
	case n < 40:
		g.exchange(c)
		g.aborted(c)
		return Reset
	case n < 90:
		g.exchange(c)
		closer := side(g.rng.IntN(2))
		s.add(pause.by(closer), fin.by(closer), ack.by(closer.other()))
		return HalfClosed
	}
	g.exchange(c)
	g.closed(c)
	return Orderly
}

// exchange is the handshake, a request, and a response of 1 to 5 segments.
func (g *generator) exchange(c *conn) {
	s := &c.script
	s.handshake()
	segments := 1 + g.rng.IntN(5)
	c.ends[client].left = uint32(180 + g.rng.IntN(400))
	c.ends[server].left = uint32((segments-1)*c.mss() + 1 + g.rng.IntN(c.mss()))
	s.add(data.by(client))
	if g.pick(500) {
		s.add(ack.by(server))
	}
	s.add(pause.by(server))
	again := -1
	if g.pick(10) {
		again = g.rng.IntN(segments)
	}
	for i := range segments {
		s.add(data.by(server))
		if i == again {
			s.add(dataAgain.by(server))
		}
		if g.pick(750) { // young connections are acknowledged quickly
			s.add(ack.by(client))
		}
	}
}

// closed is both FINs, in one of the ways in which they pass.
func (g *generator) closed(c *conn) {
	s := &c.script
	closer := side(g.rng.IntN(2))
	other := closer.other()
	s.add(pause.by(closer), fin.by(closer))
	if g.pick(20) {
		s.add(finAgain.by(closer))
	}
	if g.pick(500) {
		s.add(ack.by(other), pause.by(other))
	}
	s.add(fin.by(other), ack.by(closer))
}

// aborted is an RST: in the middle, by a server that did not read everything,
// or in answer to what comes after a close.
func (g *generator) aborted(c *conn) {
	s := &c.script
	switch g.rng.IntN(3) {
	case 0:
		s.add(pause.by(client), abort.by(client))
	case 1:
		c.ends[client].left = uint32(c.mss() + 300) // the first request becomes a full segment
		s.add(data.by(client), abort.by(server))
	default:
		s.add(pause.by(client), fin.by(client), ack.by(server), abort.by(server))
	}
}

// burst is how many segments one acknowledgement answers in a long transfer.
const burst = 8

// bulk is a transfer of 5,000 packets, of which one in some hundreds is
// overtaken.
func (g *generator) bulk(c *conn) Fate {
	s := &c.script
	s.handshake()
	c.ends[client].left = 200
	c.ends[server].left = 550 * burst * mss4
	s.add(data.by(client), pause.by(server))
	c.again = s.n
	s.add(overtaken.by(server))
	for range burst - 2 {
		s.add(data.by(server))
	}
	s.add(late.by(server), data.by(server), ack.by(client), loop.by(server))
	s.add(fin.by(server), fin.by(client), ack.by(server))
	return Orderly
}

// held is one that stays open until all are.
func (g *generator) held(c *conn) Fate {
	s := &c.script
	s.handshake()
	c.ends[client].left, c.ends[server].left = uint32(100+g.rng.IntN(300)), uint32(1+g.rng.IntN(mss4))
	s.add(data.by(client), ack.by(server), pause.by(server), data.by(server), ack.by(client), park.by(client))
	s.add(fin.by(client), fin.by(server), ack.by(client))
	return Orderly
}

// flood is a SYN.
func (g *generator) flood(c *conn) Fate {
	c.script.add(syn.by(client))
	return Unanswered
}
