package scenario

import (
	"fmt"
	"strconv"

	"github.com/lastack/lastack/reassembly/tcp"
)

// builder follows the connections of a transcript, as far as defaults need it.
type builder struct {
	v6, nots, nosack, nowscale bool
	isn                        map[host]uint32
	conns                      map[[2]endpoint]*conn
	frames                     []Frame
	lastTo                     map[endpoint]int // number of the last frame that the endpoint sent
	now                        int64            // ns from the start
	clock                      int64            // the same on the hosts' clocks, which never go back
}

// conn is one four-tuple, with all its incarnations.
type conn struct {
	index int
	sides map[endpoint]*side
}

// side is one sender of a connection.
type side struct {
	isn, oldISN uint32
	opened      bool // a SYN or a SYN-ACK was sent
	sent        bool // anything was sent
	refusing    bool // it sent nothing but an RST: numbers count from 0
	nxt         uint32
	ipid        uint16
	tsBase      uint32
	tsLast      uint32
	tsSYN       uint32 // of its SYN
}

func newBuilder() *builder {
	return &builder{isn: map[host]uint32{}, conns: map[[2]endpoint]*conn{}, lastTo: map[endpoint]int{}}
}

// add appends the frame of one line, and its copy.
func (b *builder) add(l line) error {
	if l.relative {
		l.at += b.now
	}
	b.clock += max(l.at-b.now, 0)
	b.now = l.at
	f := Frame{At: Epoch*1e9 + b.now, Line: l.no}
	var err error
	switch {
	case l.end:
		f.Data = arp()
	case l.icmp:
		f.Data, err = b.icmp(l)
	default:
		f.Data, err = b.segment(l)
		f.PureACK = l.flags == tcp.ACK && l.length == 0
	}
	if err != nil {
		return err
	}
	f.Len = len(f.Data)
	b.frames = append(b.frames, f)
	b.lastTo[l.src] = len(b.frames)
	if l.dup != 0 {
		f.At += l.dup
		b.frames = append(b.frames, f)
	}
	return nil
}

// repeat adds the lines of a block, whose times count from now.
func (b *builder) repeat(k *block) error {
	lines, err := k.lines(b.now)
	for i := range lines {
		if err == nil {
			if err = b.add(lines[i]); err != nil {
				err = fmt.Errorf("line %d: %w", lines[i].no, err)
			}
		}
	}
	return err
}

// conn finds the connection of two endpoints, or begins it.
func (b *builder) conn(x, y endpoint) *conn {
	key := [2]endpoint{x, y}
	if c, ok := b.conns[key]; ok {
		return c
	}
	index := len(b.conns) / 2
	c := &conn{index: index, sides: map[endpoint]*side{}}
	for _, e := range key {
		isn, ok := b.isn[e.host]
		if !ok {
			isn = uint32(index)*10_000_000 + 100_000*uint32(e.n)
			if e.kind == 'S' {
				isn += 5_000_000
			}
		}
		c.sides[e] = &side{isn: isn, oldISN: isn, nxt: isn + 1,
			ipid: uint16(isn>>7) | 1, tsBase: isn * 7}
	}
	b.conns[key], b.conns[[2]endpoint{y, x}] = c, c
	return c
}

// segment builds the TCP segment of a line.
func (b *builder) segment(l line) ([]byte, error) {
	c := b.conn(l.src, l.dst)
	me, peer := c.sides[l.src], c.sides[l.dst]
	if err := me.open(l, peer); err != nil {
		return nil, err
	}
	p := packet{v6: b.v6, src: l.src, dst: l.dst, flags: l.flags, length: l.length, badsum: l.badsum,
		ttl: uint8(l.ttl.or(64))}
	p.seq = me.number(l.seq, l.oldSeq)
	if l.ack.set {
		p.ack = peer.base(l.oldAck) + uint32(l.ack.n)
	}
	for _, r := range l.sack {
		p.sack = append(p.sack, [2]uint32{peer.base(l.oldAck) + uint32(r[0]), peer.base(l.oldAck) + uint32(r[1])})
	}
	// A host that has no socket answers with a bare header, as Linux does:
	// no window, no options, no IP identification.
	bare := l.passive || l.flags.Has(tcp.RST) && !l.active && (!l.flags.Has(tcp.ACK) || me.refusing)
	p.window = uint16(l.win.or(map[bool]int64{true: 64240, false: 502}[l.flags.Has(tcp.SYN)]))
	p.ipid = me.nextIPID(l, bare)
	if bare && !l.win.set {
		p.window = 0
	}
	b.timestamps(&p, l, me, peer, bare)
	if l.flags.Has(tcp.SYN) && !l.noopts {
		p.syn = &synOptions{mss: uint16(l.mss.or(1460)), wscale: int(l.wscale.or(7)), sack: !b.nosack}
		if b.nowscale && !l.wscale.set {
			p.syn.wscale = -1
		}
	}
	me.sent = true
	if end := p.seq + p.length + octets(l.flags); !l.flags.Has(tcp.RST) && int32(end-me.nxt) > 0 {
		me.nxt = end
	}
	frame := p.frame()
	if l.tso {
		clearLength(frame)
	}
	return frame, nil
}

// timestamps fills the timestamp option: a clock of 1000 Hz with an offset of
// its own for each sender (RFC 7323 §5.4), echoing the peer's last value. A
// SYN-ACK echoes the SYN also when it comes again (Linux since 6.14).
func (b *builder) timestamps(p *packet, l line, me, peer *side, bare bool) {
	if l.noopts || (bare || b.nots || l.nots) && !l.ts.set {
		return
	}
	p.timestamps = true
	p.tsval, p.tsecr = me.tsBase+uint32(b.clock/1e6), peer.tsLast
	switch {
	case !l.flags.Has(tcp.ACK):
		p.tsecr = 0
	case l.flags.Has(tcp.SYN):
		p.tsecr = peer.tsSYN
	}
	if l.ts.set {
		p.tsval, p.tsecr = uint32(l.ts.n), l.tsecr
	}
	me.tsLast = p.tsval
	if l.flags.Has(tcp.SYN) {
		me.tsSYN = p.tsval
	}
}

// octets is how many sequence numbers SYN and FIN take.
func octets(f tcp.Flags) (n uint32) {
	if f.Has(tcp.SYN) {
		n++
	}
	if f.Has(tcp.FIN) {
		n++
	}
	return n
}

// open keeps the account of initial sequence numbers: a SYN with isn= begins a
// new incarnation, and an RST that answers a SYN counts from 0 where its sender
// has sent nothing, for it has no initial sequence number.
func (s *side) open(l line, peer *side) error {
	switch {
	case l.isn != "":
		v, err := strconv.ParseInt(l.isn, 0, 64)
		if err != nil {
			return fmt.Errorf("isn=%s is not a number", l.isn)
		}
		s.oldISN = s.isn
		if l.isn[0] == '+' || l.isn[0] == '-' {
			s.isn = s.nxt + uint32(v)
		} else {
			s.isn = uint32(v)
		}
		s.nxt, s.opened, s.refusing = s.isn+1, true, false
	case l.flags.Has(tcp.SYN):
		s.opened, s.refusing = true, false
	}
	s.refusing = l.flags.Has(tcp.RST) && !s.opened && peer.opened && (s.refusing || !s.sent) && !l.active
	return nil
}

// base is the number that relative numbers of this sender count from.
func (s *side) base(old bool) uint32 {
	if old {
		return s.oldISN
	}
	return s.isn
}

// number is the absolute sequence number of a segment.
func (s *side) number(n numbered, old bool) uint32 {
	if !n.set {
		return s.nxt
	}
	if s.refusing {
		return uint32(n.n)
	}
	return s.base(old) + uint32(n.n)
}

// nextIPID counts the sender's datagrams. Linux leaves the identification 0
// where no socket stands behind: in a SYN-ACK and in the answer of none.
func (s *side) nextIPID(l line, bare bool) uint16 {
	if l.ipid.set {
		return uint16(l.ipid.n)
	}
	if bare || l.flags.Has(tcp.SYN|tcp.ACK) {
		return 0
	}
	if s.ipid++; s.ipid == 0 {
		s.ipid = 1
	}
	return s.ipid
}

// icmp builds an ICMP error that quotes a frame of its addressee.
func (b *builder) icmp(l line) ([]byte, error) {
	n := l.quote
	if n == 0 {
		n = b.lastTo[l.dst]
	}
	if n < 1 || n > len(b.frames) {
		return nil, fmt.Errorf("icmp: there is no frame to quote")
	}
	return icmpError(b.v6, l.src.host, l.dst.host, l.icmpType, l.icmpCode, b.frames[n-1].Data), nil
}
