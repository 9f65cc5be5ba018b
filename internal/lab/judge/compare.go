//go:build linux

package judge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Vantage is the host at whose interface a capture was made, or of which a
// socket is. The zero value is none.
type Vantage uint8

// The two vantages.
const (
	AtClient Vantage = 1 + iota
	AtServer
)

// String is the name that recordings use.
func (v Vantage) String() string {
	if v == AtClient {
		return "client"
	}
	return "server"
}

// ending is that of the names of captures from there.
func (v Vantage) ending() string {
	if v == AtClient {
		return lab.ClientCapture
	}
	return lab.ServerCapture
}

// Outcome says how a socket's two ways compare. The zero value is none.
type Outcome uint8

// The outcomes.
const (
	Equal   Outcome = 1 + iota
	Excused         // they differ in what no observer could know
	Differs
)

// Socket is one socket of one host, seen in one capture.
type Socket struct {
	Local, Remote netip.AddrPort
	Near          bool // the capture is of its own host's interface
	Kernel, Ours  Path
	Revised       bool // lastack took something back on the way
	Outcome       Outcome
	Excuse        string // the kind of difference, when Excused
	// Apart are the distances in time of the moves that agree.
	Apart []Distance

	rec  *lab.Recording
	in   *Reading
	host Vantage
	flow *reassembly.Flow // nil when lastack saw none
	side tcp.Side
	life *life // nil when the kernel had none
	same int   // moves at the beginning of Kernel that agree
	ours int   // and of Ours, where several may stand for one
}

// Distance is how much later lastack has a move than the kernel.
type Distance struct {
	Kernel, Ours Move
	NS           int64
	// Sampled: the kernel's time is only known to lie between two samples; NS
	// is 0 when lastack's lies there too.
	Sampled bool
}

// maxApart is how far in time lastack's move may be from the kernel's, ns. The
// next copy of a lost segment is further away.
const maxApart = 150e6

// sockets compares all sockets of one host with what a capture at one of the
// hosts shows of them, in order of their ends and of time.
func sockets(rec *lab.Recording, in *Reading, at, host Vantage) ([]*Socket, error) {
	kernel, err := lives(rec.Transitions, host.String())
	if err != nil {
		return nil, err
	}
	for _, e := range in.seen(rec, host) {
		if _, ok := kernel[e]; !ok {
			kernel[e] = nil
		}
	}
	var out []*Socket
	for e, ls := range kernel {
		for _, s := range pair(in, e, ls) {
			s.rec, s.host, s.Near = rec, host, at == host
			s.compare()
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *Socket) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out, nil
}

// seen are the ends of all flows of which a host has one.
func (r *Reading) seen(rec *lab.Recording, host Vantage) (out []ends) {
	addr := rec.About.Client
	if host == AtServer {
		addr = rec.About.Server
	}
	for _, f := range r.Flows {
		for _, s := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
			if f.Addr(s).Addr().String() == addr {
				out = append(out, ends{f.Addr(s), f.Addr(s.Other())})
			}
		}
	}
	return out
}

// pair puts the sockets that a kernel had between two ends and those that
// lastack saw side by side, in order of time. A host that did nothing but reset,
// as one without a socket does, had none.
func pair(in *Reading, e ends, ls []*life) (out []*Socket) {
	flows, side := in.flowsOf(e.local, e.remote)
	add := func(f *reassembly.Flow, l *life) *Socket {
		s := &Socket{Local: e.local, Remote: e.remote, flow: f, side: side, life: l, in: in}
		if l != nil {
			s.Kernel = l.path
		}
		out = append(out, s)
		return s
	}
	for _, f := range flows {
		p, revised := believed(f, side)
		if len(p) == 0 {
			continue
		}
		var l *life
		if len(ls) > 0 {
			l, ls = ls[0], ls[1:]
		}
		s := add(f, l)
		s.Ours, s.Revised = p, revised
	}
	var last *reassembly.Flow
	if len(flows) > 0 {
		last = flows[len(flows)-1]
	}
	for _, l := range ls {
		add(last, l)
	}
	return out
}

// compare fills what follows from the two paths.
func (s *Socket) compare() {
	s.match()
	if s.same == len(s.Kernel) && s.ours == len(s.Ours) {
		s.Outcome = Equal
		return
	}
	s.Outcome = Differs
	if s.Excuse = s.excused(); s.Excuse != "" {
		s.Outcome = Excused
	}
}

// match walks both ways for as long as they agree. A sample of the kernel may
// stand for several moves.
func (s *Socket) match() {
	for s.same < len(s.Kernel) && s.ours < len(s.Ours) {
		k := s.Kernel[s.same]
		n := 1
		for ; s.ours+n <= len(s.Ours) && s.Ours[s.ours+n-1].To != k.To; n++ {
			if k.Until == 0 || distance(k, s.Ours[s.ours+n-1]).NS != 0 {
				return
			}
		}
		if s.ours+n > len(s.Ours) {
			return
		}
		s.Apart = append(s.Apart, distance(k, s.Ours[s.ours+n-1]))
		s.same, s.ours = s.same+1, s.ours+n
	}
}

// distance is 0 for a move that lies between two samples.
func distance(k, o Move) Distance {
	d := Distance{Kernel: k, Ours: o, NS: o.At - k.At, Sampled: k.Until != 0}
	if d.Sampled && d.NS > 0 {
		d.NS = max(0, o.At-k.Until)
	}
	return d
}

// far reports whether a distance is more than may be.
func (d Distance) far() bool { return d.NS > maxApart || d.NS < -maxApart }

// Bounds of what the samples may miss of a restart, ns: its shift (a smaller one
// is the timer's rounding) and the time until the next sample, at which a shift
// of about that size may first show.
const (
	nextSample = 250e6
	between    = 500e6 + nextSample
)

// restarts says what is wrong with the last restart of the socket's TIME_WAIT,
// "" when nothing is.
func (s *Socket) restarts() string {
	if s.flow == nil || s.life == nil {
		return ""
	}
	kernel := Move{}
	for _, m := range slices.Concat(s.life.path, s.life.restarts) {
		if m.To == fsm.TimeWait && m.At > kernel.At {
			kernel = m
		}
	}
	for _, w := range s.flow.TimeWaits {
		if w.Side != s.side || kernel.At == 0 {
			continue
		}
		last := max(w.Entered, w.RestartAt)
		if last < kernel.At-maxApart-nextSample || last > max(kernel.At, kernel.Until)+between {
			return fmt.Sprintf("TIME_WAIT began or restarted last at %d (%d restarts), the kernel's between %d and %d",
				last, w.Restarts, kernel.At, kernel.Until)
		}
	}
	return ""
}
