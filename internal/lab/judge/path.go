//go:build linux

package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Move is one change of a socket's state.
type Move struct {
	From, To fsm.State
	At       int64 // ns since 1970 UTC
	// Until is later than At where the kernel was only sampled: the move came
	// between the two, and others may have come with it. 0 otherwise.
	Until int64
	// Ref, On and Basis are lastack's.
	Ref   tcp.PacketRef
	On    fsm.Event
	Basis fsm.Basis
}

// Path is a socket's way through the states, without restarts of TIME_WAIT.
type Path []Move

// String lists the states, such as "CLOSED>SYN_SENT>CLOSED".
func (p Path) String() string {
	if len(p) == 0 {
		return "-"
	}
	var b strings.Builder
	b.WriteString(p[0].From.String())
	for _, m := range p {
		fmt.Fprintf(&b, ">%v", m.To)
	}
	return b.String()
}

// has reports whether the path enters a state.
func (p Path) has(s fsm.State) bool {
	return slices.ContainsFunc(p, func(m Move) bool { return m.To == s })
}

// believed is the way of one side of a flow as lastack believes it in the end,
// and whether anything had to be revised on the way.
func believed(f *reassembly.Flow, side tcp.Side) (p Path, revised bool) {
	for i := range f.Steps {
		s := &f.Steps[i]
		if s.Side != side {
			continue
		}
		if s.On != fsm.Revise {
			p = append(p, Move{From: s.From, To: s.To, At: s.At, Ref: s.Ref, On: s.On, Basis: s.Basis})
			continue
		}
		revised = true
		p = back(p, s)
	}
	return p, revised
}

// back takes a path back to the state to which a revision goes. Where the path
// never was there, a move before that which is taken back leads there now: from
// FIN_WAIT_1 by CLOSING to TIME_WAIT without the peer's FIN is FIN_WAIT_2.
func back(p Path, r *reassembly.Step) Path {
	for n := len(p); n > 0; n-- {
		if p[n-1].To == r.To {
			return p[:n]
		}
	}
	for n := len(p); n > 0; n-- {
		from := p[n-1].To
		for _, e := range fsm.RFC() {
			if e.From == from && e.To == r.To && n < len(p) {
				return append(p[:n:n], Move{From: from, To: r.To, At: p[n].At, Ref: r.Ref, On: e.On, Basis: fsm.Revised})
			}
		}
	}
	return nil
}

// life is one socket's way as its kernel went it.
type life struct {
	path     Path
	restarts []Move // of TIME_WAIT's timer
}

// lives are the sockets that a host had, one after another, on each pair of
// ends. The error names a state that is none.
func lives(ts []lab.Transition, host string) (map[ends][]*life, error) {
	out := map[ends][]*life{}
	for i := range ts {
		t := &ts[i]
		if t.Host != host {
			continue
		}
		m := Move{At: t.Time, Until: t.Until}
		var ok [2]bool
		m.From, ok[0] = stateNamed(t.From)
		m.To, ok[1] = stateNamed(t.To)
		if !ok[0] || !ok[1] {
			return nil, fmt.Errorf("a transition from %q to %q", t.From, t.To)
		}
		e := ends{t.Local, t.Remote}
		if m.From == fsm.Closed || m.From == fsm.Listen || len(out[e]) == 0 {
			out[e] = append(out[e], &life{})
		}
		l := out[e][len(out[e])-1]
		if m.From == fsm.TimeWait && m.To == fsm.TimeWait {
			l.restarts = append(l.restarts, m)
		} else {
			l.path = append(l.path, m)
		}
	}
	return out, nil
}

// ends are a socket's own end and its peer's.
type ends struct{ local, remote netip.AddrPort }

func stateNamed(name string) (fsm.State, bool) {
	for s := fsm.Closed; s <= fsm.TimeWait; s++ {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}
