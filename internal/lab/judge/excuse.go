//go:build linux

package judge

import (
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// excuse is a kind of difference that no observer could avoid, and the test
// that a difference is of that kind.
type excuse struct {
	kind, reason string
	applies      func(*Socket) bool
}

// excuses is the whole list: a difference of any other kind is a defect.
var excuses = []excuse{
	{"fin-never-sent", "close() puts nothing on the wire while its FIN waits behind data or a closed window, and here it never left",
		(*Socket).finNeverSent},
	{"fin-queued", "close() came first, but its FIN waited behind data until the peer's had come, and acknowledges it",
		(*Socket).finQueued},
	{"gave-up-silently", "the kernel gave a connection up (retransmissions, a request, an orphan in FIN_WAIT_2) and put nothing on the wire, then or later",
		(*Socket).gaveUpSilently},
	{"timer-slack", "the kernel's timers run a little longer than their nominal time, and the capture ended in between",
		(*Socket).timerSlack},
	{"rfc1337", "the host was told to ignore an RST in TIME_WAIT (tcp_rfc1337), which it does without a word",
		(*Socket).ignoresRST},
	{"raw-socket", "a scanner's SYN comes from a raw socket: its host has no connection, and nothing in the SYN says so",
		(*Socket).rawSocket},
	{"request-unseen", "a connection request came and went between two samples of sock_diag, or was a SYN cookie: what the kernel held is not known",
		(*Socket).requestUnseen},
}

// rest are the moves of either way after the last that agrees.
func (s *Socket) rest() (kernel, ours Path) { return s.Kernel[s.same:], s.Ours[s.ours:] }

// quiet is how long before and after a move nothing may pass for it to be
// silent, ns: longer than a busy machine lets a capture lag behind its kernel.
const quiet = 30e6

// passed reports whether the capture holds a segment of the connection that
// matches around a move.
func (s *Socket) passed(m Move, match func(*tcp.Segment) bool) bool {
	if s.flow == nil {
		return false
	}
	for i := range s.in.segments[s.flow.Tuple] {
		x := &s.in.segments[s.flow.Tuple][i]
		if x.At > m.At-quiet && x.At < max(m.At, m.Until)+quiet && match(x) {
			return true
		}
	}
	return false
}

// silent reports that nothing in the capture goes with a kernel's move: no
// segment at all or, where a socket was closed, none that can close it.
func (s *Socket) silent(m Move) bool {
	closing := m.To == fsm.Closed && m.From != fsm.LastAck
	return !s.passed(m, func(x *tcp.Segment) bool {
		return !closing || x.Kind == tcp.KindICMP || x.Flags.Has(tcp.RST)
	})
}

// finNeverSent: without the kernel's own FIN both ways are equal.
func (s *Socket) finNeverSent() bool {
	k, o := s.rest()
	if len(k) == 0 || k[0].To != fsm.FinWait1 && k[0].To != fsm.LastAck {
		return false
	}
	later := Move{At: k[0].At, Until: s.in.End}
	if s.passed(later, func(x *tcp.Segment) bool { return x.From == s.side && x.Flags.Has(tcp.FIN) }) {
		return false
	}
	unsent := map[fsm.State]fsm.State{fsm.FinWait1: fsm.Established, fsm.Closing: fsm.CloseWait, fsm.LastAck: fsm.CloseWait}
	at := k[0].From
	for _, m := range k {
		to := m.To
		if t, ok := unsent[to]; ok {
			to = t
		}
		if to == at {
			continue
		}
		if len(o) == 0 || o[0].To != to {
			return false
		}
		at, o = to, o[1:]
	}
	return len(o) == 0
}

// finQueued: the kernel went FIN_WAIT_1, CLOSING, TIME_WAIT, and any observer
// says CLOSE_WAIT, LAST_ACK, CLOSED.
func (s *Socket) finQueued() bool {
	k, o := s.rest()
	return len(k) >= 2 && len(o) >= 2 && k[0].To == fsm.FinWait1 && k[1].To == fsm.Closing &&
		o[0].To == fsm.CloseWait && o[1].To == fsm.LastAck && k[0].At < o[1].At &&
		s.flow.Endpoint(s.side).FINAcksPeer
}

func (s *Socket) gaveUpSilently() bool {
	k, o := s.rest()
	return len(o) == 0 && len(k) == 1 && k[0].To == fsm.Closed && s.silent(k[0])
}

// slack is by how much the kernel's TIME_WAIT may outlast its 60 s, ns.
const slack = 4e9

func (s *Socket) timerSlack() bool {
	k, o := s.rest()
	return len(k) == 0 && len(o) == 1 && o[0].Basis == fsm.Timer && s.in.End-o[0].At < slack
}

func (s *Socket) ignoresRST() bool {
	k, o := s.rest()
	return len(k) == 0 && len(o) == 1 && o[0].From == fsm.TimeWait && o[0].On == fsm.RecvRST &&
		tuned(&s.rec.About, s.host.String(), "tcp_rfc1337", "1")
}

func (s *Socket) rawSocket() bool {
	return s.life == nil && len(s.Ours) == 2 && s.Ours[0].On == fsm.SendSYN && s.Ours[1].On == fsm.SendRST &&
		s.flow.Reset.Class == reassembly.ResetPassive
}

func (s *Socket) requestUnseen() bool {
	return s.life == nil && s.Ours[0].To == fsm.SynRcvd && !s.Ours.has(fsm.Established)
}

// lag is a kind of distance in time that no observer could avoid.
type lag struct {
	kind, reason string
	applies      func(*Socket, Distance) bool
}

// lags is the whole list: a move that is further apart than maxApart for
// another reason is a defect.
var lags = []lag{
	{"by-timer", "a timer's default against the kernel's own arithmetic",
		func(_ *Socket, d Distance) bool { return d.Ours.Basis == fsm.Timer }},
	{"silent", "the move put nothing on the wire and showed later",
		func(s *Socket, d Distance) bool { return d.NS > 0 && s.silent(d.Kernel) }},
	{"request", "the trace has a connection request only when it becomes a socket",
		func(_ *Socket, d Distance) bool { return d.NS < 0 && d.Kernel.From == fsm.Listen && !d.Sampled }},
	{"fin-held", "close() came first, and data or a closed window held the FIN back",
		func(_ *Socket, d Distance) bool { return d.NS > 0 && d.Ours.On == fsm.SendFIN }},
	{"syn-held", "connect() came first, and the SYN waited for the neighbour's hardware address",
		func(_ *Socket, d Distance) bool { return d.NS > 0 && d.Ours.On == fsm.SendSYN }},
	{"payload-discarded", "payload before the FIN had reached the host, which threw it away for want of room: only its repetition brought the FIN in order",
		(*Socket).discarded},
	{"accept-queue", "the server ignored the third ACK since its accept queue was full; that looks as if data were lost",
		(*Socket).ignoredACK},
}

// refusedSYN is the kind of a restart of TIME_WAIT that only Linux makes.
const refusedSYN = "refused-syn"

// restartsForSYN reports whether the kernel's last restart of TIME_WAIT goes with
// a SYN of the peer.
func (s *Socket) restartsForSYN() bool {
	n := len(s.life.restarts)
	return n > 0 && s.passed(s.life.restarts[n-1], func(x *tcp.Segment) bool {
		return x.From != s.side && x.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN
	})
}

// ignoredACK: until the kernel's move the server sent nothing but SYN-ACKs.
func (s *Socket) ignoredACK(d Distance) bool {
	if d.NS > 0 || d.Kernel.From != fsm.SynRcvd || d.Kernel.To != fsm.Established {
		return false
	}
	waiting := Move{At: d.Ours.At + quiet, Until: d.Kernel.At - 2*quiet}
	return !s.passed(waiting, func(x *tcp.Segment) bool { return x.From == s.side && !x.Flags.Has(tcp.SYN) })
}

// discarded: payload that passed before lastack's move passes again at the
// kernel's, at the place up to which the host had acknowledged all the time.
func (s *Socket) discarded(d Distance) bool {
	if d.NS > 0 || d.Ours.On != fsm.RecvFIN {
		return false
	}
	awaited := func(m Move) bool {
		return s.passed(m, func(x *tcp.Segment) bool {
			return x.From != s.side && x.Len > 0 && slices.ContainsFunc(s.in.segments[s.flow.Tuple], func(a tcp.Segment) bool {
				return a.From == s.side && a.Ack == x.Seq && a.At > d.Ours.At && a.At < d.Kernel.At
			})
		})
	}
	return awaited(Move{At: s.flow.Start, Until: d.Ours.At}) && awaited(Move{At: d.Kernel.At})
}

// kinds are the kinds of excuses and lags with their reasons.
func kinds() map[string]string {
	out := map[string]string{}
	for _, x := range excuses {
		out[x.kind] = x.reason
	}
	for _, x := range lags {
		out[x.kind] = x.reason
	}
	out[refusedSYN] = "Linux begins TIME_WAIT anew for a SYN whose timestamp it refuses, the RFC for a repeated FIN alone"
	return out
}

// excused finds the kind of a socket's difference; "" for a defect.
func (s *Socket) excused() string {
	if i := slices.IndexFunc(excuses, func(x excuse) bool { return x.applies(s) }); i >= 0 {
		return excuses[i].kind
	}
	return ""
}

// lagged finds the kind of a distance in time; "" for a defect.
func (s *Socket) lagged(d Distance) string {
	if i := slices.IndexFunc(lags, func(x lag) bool { return x.applies(s, d) }); i >= 0 {
		return lags[i].kind
	}
	return ""
}
