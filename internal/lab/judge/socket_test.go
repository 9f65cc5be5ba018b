//go:build linux

package judge

import (
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const sec = int64(time.Second)

// way is a path of names, one move a second from the time of a second.
func way(from int64, states string) (p Path) {
	names := strings.Fields(states)
	for i := 1; i < len(names); i++ {
		a, _ := stateNamed(names[i-1])
		b, ok := stateNamed(names[i])
		if !ok {
			panic(names[i])
		}
		p = append(p, Move{From: a, To: b, At: (from + int64(i) - 1) * sec, Basis: fsm.Seen})
	}
	return p
}

func TestLives(t *testing.T) {
	move := func(host string, at int64, from, to string) lab.Transition {
		return lab.Transition{Time: at, Host: host, Local: here, Remote: there, From: from, To: to}
	}
	got, err := lives([]lab.Transition{
		move("client", 1, "CLOSED", "SYN_SENT"), move("server", 1, "LISTEN", "SYN_RCVD"),
		move("client", 2, "SYN_SENT", "TIME_WAIT"), move("client", 3, "TIME_WAIT", "TIME_WAIT"),
		move("client", 4, "TIME_WAIT", "CLOSED"), move("client", 5, "CLOSED", "SYN_SENT"),
	}, "client")
	if err != nil {
		t.Fatal(err)
	}
	ls := got[ends{here, there}]
	if len(got) != 1 || len(ls) != 2 || ls[0].path.String() != "CLOSED>SYN_SENT>TIME_WAIT>CLOSED" ||
		len(ls[0].restarts) != 1 || ls[1].path.String() != "CLOSED>SYN_SENT" {
		t.Errorf("got %v", got)
	}
	if _, err := lives([]lab.Transition{move("client", 1, "CLOSED", "OPEN")}, "client"); err == nil {
		t.Error("OPEN is taken for a state")
	}
}

// What a revision takes back is the last move that led away from where it goes;
// where the path never was there, a move that must then have come instead.
func TestBelieved(t *testing.T) {
	step := func(from, to fsm.State, on fsm.Event) reassembly.Step {
		return reassembly.Step{Side: tcp.SideA, From: from, To: to, On: on, Basis: fsm.Seen}
	}
	other := step(fsm.Closed, fsm.SynRcvd, fsm.RecvSYN)
	other.Side = tcp.SideB
	open := []reassembly.Step{
		step(fsm.Closed, fsm.SynSent, fsm.SendSYN), other, step(fsm.SynSent, fsm.Established, fsm.RecvSYNACK),
		step(fsm.Established, fsm.FinWait1, fsm.SendFIN),
	}
	for want, more := range map[string][]reassembly.Step{
		"CLOSED>SYN_SENT>ESTABLISHED>FIN_WAIT_1": nil,
		"CLOSED>SYN_SENT>ESTABLISHED>FIN_WAIT_1>FIN_WAIT_2": {
			step(fsm.FinWait1, fsm.FinWait2, fsm.RecvACKOfFIN), step(fsm.FinWait2, fsm.TimeWait, fsm.RecvFIN),
			step(fsm.TimeWait, fsm.FinWait2, fsm.Revise)},
		"CLOSED>SYN_SENT>ESTABLISHED": {step(fsm.FinWait1, fsm.Established, fsm.Revise)},
		"CLOSED>SYN_SENT>ESTABLISHED>FIN_WAIT_1>FIN_WAIT_2>TIME_WAIT": {
			step(fsm.FinWait1, fsm.Closing, fsm.RecvFIN), step(fsm.Closing, fsm.TimeWait, fsm.RecvACKOfFIN),
			step(fsm.TimeWait, fsm.FinWait2, fsm.Revise), step(fsm.FinWait2, fsm.TimeWait, fsm.RecvFIN)},
	} {
		f := &reassembly.Flow{Steps: append(open[:len(open):len(open)], more...)}
		got, revised := believed(f, tcp.SideA)
		hasRevision := len(more) > 0
		if got.String() != want || revised != hasRevision {
			t.Errorf("got %v, %v, want %s", got, revised, want)
		}
	}
}

func TestMatch(t *testing.T) {
	sampled := func(p Path, i int, until int64) Path {
		p[i].Until = until * sec
		return p
	}
	for _, tt := range []struct {
		name         string
		kernel, ours Path
		equal        bool
	}{
		{"the same", way(1, "CLOSED SYN_SENT CLOSED"), way(1, "CLOSED SYN_SENT CLOSED"), true},
		{"a listener's", way(1, "LISTEN SYN_RCVD CLOSED"), way(1, "CLOSED SYN_RCVD CLOSED"), true},
		{"more", way(1, "CLOSED SYN_SENT"), way(1, "CLOSED SYN_SENT CLOSED"), false},
		{"less", way(1, "CLOSED SYN_SENT CLOSED"), way(1, "CLOSED SYN_SENT"), false},
		{"another", way(1, "CLOSED SYN_SENT ESTABLISHED"), way(1, "CLOSED SYN_SENT CLOSED"), false},
		{"two between two samples", sampled(way(1, "FIN_WAIT_2 CLOSED"), 0, 3), way(1, "FIN_WAIT_2 TIME_WAIT CLOSED"), true},
		{"one of them before", sampled(way(3, "FIN_WAIT_2 CLOSED"), 0, 9), way(1, "FIN_WAIT_2 TIME_WAIT CLOSED"), false},
		{"two where the kernel was traced", way(1, "FIN_WAIT_2 CLOSED"), way(1, "FIN_WAIT_2 TIME_WAIT CLOSED"), false},
	} {
		s := &Socket{Kernel: tt.kernel, Ours: tt.ours}
		s.match()
		if got := s.same == len(s.Kernel) && s.ours == len(s.Ours); got != tt.equal {
			t.Errorf("%s: equal %v", tt.name, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct{ at, until, ours, want int64 }{
		{10, 0, 12, 2}, {10, 0, 7, -3}, {10, 20, 7, -3}, {10, 20, 10, 0}, {10, 20, 20, 0}, {10, 20, 25, 5},
	} {
		if got := distance(Move{At: tt.at, Until: tt.until}, Move{At: tt.ours}).NS; got != tt.want {
			t.Errorf("%d to %d and %d: %d, want %d", tt.at, tt.until, tt.ours, got, tt.want)
		}
	}
}

// scene is a socket on a capture that ends after 100 s, with segments of it.
func scene(kernel, ours Path, segments ...tcp.Segment) *Socket {
	f := flowOf(1, 0)
	for i := range segments {
		if segments[i].From == 0 {
			segments[i].From = f.Client
		}
	}
	s := &Socket{Kernel: kernel, Ours: ours, flow: f, side: f.Client, host: AtClient, rec: &lab.Recording{},
		in: &Reading{End: 100 * sec, segments: map[tcp.Tuple][]tcp.Segment{f.Tuple: segments}}}
	if kernel != nil {
		s.life = &life{path: kernel}
	}
	s.match()
	return s
}

func seg(at int64, f tcp.Flags) tcp.Segment {
	return tcp.Segment{At: at * sec, Flags: f, Kind: tcp.KindTCP}
}

// Every kind of excuse has a difference that it excuses, and look-alikes that
// no kind does.
func TestExcuses(t *testing.T) {
	const open = "CLOSED SYN_SENT ESTABLISHED "
	tune := func(s *Socket, name, value string) *Socket {
		s.rec.About.Tuned = append(s.rec.About.Tuned, lab.Tuning{Host: "client", Name: name, Value: value})
		return s
	}
	last := func(s *Socket, on fsm.Event, b fsm.Basis) *Socket {
		s.Ours[len(s.Ours)-1].On, s.Ours[len(s.Ours)-1].Basis = on, b
		return s
	}
	reset := func(s *Socket, c reassembly.ResetClass) *Socket {
		s.flow.Reset.Class = c
		s.Ours[0].On, s.Ours[1].On = fsm.SendSYN, fsm.SendRST
		return s
	}
	acks := func(s *Socket) *Socket {
		s.flow.Ends[s.side.Index()].FINAcksPeer = true
		return s
	}
	closing, lastAck := way(1, open+"FIN_WAIT_1 CLOSING TIME_WAIT"), way(1, open+"CLOSE_WAIT LAST_ACK CLOSED")
	lateClose := way(1, open+"FIN_WAIT_1 CLOSING")
	lateClose[2].At = 9 * sec
	for _, tt := range []struct {
		name, want string
		s          *Socket
	}{
		{"a FIN behind a closed window", "fin-never-sent", scene(way(1, open+"FIN_WAIT_1"), way(1, open), seg(5, tcp.ACK))},
		{"which an RST ends", "fin-never-sent", scene(way(1, open+"FIN_WAIT_1 CLOSED"), way(1, open+"CLOSED"), seg(4, tcp.RST))},
		{"which the peer's FIN meets", "fin-never-sent", scene(way(1, open+"FIN_WAIT_1 CLOSING CLOSED"), way(1, open+"CLOSE_WAIT CLOSED"), seg(4, tcp.RST))},
		{"which the peer's FIN does not end", "", scene(way(1, open+"FIN_WAIT_1 CLOSING"), way(1, open+"CLOSE_WAIT CLOSED"), seg(4, tcp.RST))},
		{"a FIN that was sent", "", scene(way(1, open+"FIN_WAIT_1"), way(1, open), seg(5, tcp.FIN|tcp.ACK))},
		{"a FIN queued behind data", "fin-queued", acks(scene(closing, lastAck))},
		{"a FIN that acknowledges nothing", "", scene(closing, lastAck)},
		{"a FIN sent before close()", "", acks(scene(lateClose, lastAck))},
		{"given up", "gave-up-silently", scene(way(1, open+"CLOSED"), way(1, open), seg(3, tcp.ACK))},
		{"closed by an RST", "", scene(way(1, open+"CLOSED"), way(1, open), seg(3, tcp.RST|tcp.ACK))},
		{"an orphan that expired", "gave-up-silently", scene(way(1, open+"FIN_WAIT_1 FIN_WAIT_2 CLOSED"), way(1, open+"FIN_WAIT_1 FIN_WAIT_2"))},
		{"LAST_ACK acknowledged", "", scene(way(1, open+"CLOSE_WAIT LAST_ACK CLOSED"), way(1, open+"CLOSE_WAIT LAST_ACK"), seg(5, tcp.ACK))},
		{"never closed by the kernel", "", scene(way(1, open), way(1, open+"CLOSED"))},
		{"a timer at the end", "timer-slack", last(scene(way(94, open+"TIME_WAIT"), way(94, open+"TIME_WAIT CLOSED")), fsm.Timeout2MSL, fsm.Timer)},
		{"a timer long before", "", last(scene(way(1, open+"TIME_WAIT"), way(1, open+"TIME_WAIT CLOSED")), fsm.Timeout2MSL, fsm.Timer)},
		{"an RST in TIME_WAIT", "", last(scene(way(1, open+"TIME_WAIT"), way(1, open+"TIME_WAIT CLOSED")), fsm.RecvRST, fsm.Presumed)},
		{"with tcp_rfc1337", "rfc1337", tune(last(scene(way(1, open+"TIME_WAIT"), way(1, open+"TIME_WAIT CLOSED")), fsm.RecvRST, fsm.Presumed), "tcp_rfc1337", "1")},
		{"with it turned off again", "", tune(tune(last(scene(way(1, open+"TIME_WAIT"), way(1, open+"TIME_WAIT CLOSED")), fsm.RecvRST, fsm.Presumed), "tcp_rfc1337", "1"), "tcp_rfc1337", "0")},
		{"a scanner", "raw-socket", reset(scene(nil, way(1, "CLOSED SYN_SENT CLOSED")), reassembly.ResetPassive)},
		{"a socket that aborts", "", reset(scene(nil, way(1, "CLOSED SYN_SENT CLOSED")), reassembly.ResetActive)},
		{"a SYN cookie", "request-unseen", scene(nil, way(1, "LISTEN SYN_RCVD"))},
		{"a connection that the kernel never had", "", scene(nil, way(1, "LISTEN SYN_RCVD ESTABLISHED"))},
	} {
		if got := tt.s.excused(); got != tt.want {
			t.Errorf("%s: excused as %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestLags(t *testing.T) {
	mk := func(from, to fsm.State, kernel, ours int64, on fsm.Event, b fsm.Basis) Distance {
		return distance(Move{From: from, To: to, At: kernel * sec}, Move{From: from, To: to, At: ours * sec, On: on, Basis: b})
	}
	up := mk(fsm.SynRcvd, fsm.Established, 9, 3, fsm.RecvACKOfSYN, fsm.Seen)
	for _, tt := range []struct {
		name, want string
		d          Distance
		segments   []tcp.Segment
	}{
		{"a timer", "by-timer", mk(fsm.SynSent, fsm.Closed, 3, 9, fsm.Timeout, fsm.Timer), nil},
		{"an orphan found dead", "silent", mk(fsm.FinWait2, fsm.Closed, 3, 9, fsm.SendRST, fsm.Implied), nil},
		{"an RST overlooked", "", mk(fsm.FinWait2, fsm.Closed, 3, 9, fsm.SendRST, fsm.Implied), []tcp.Segment{seg(3, tcp.RST)}},
		{"a request traced late", "request", mk(fsm.Listen, fsm.SynRcvd, 9, 3, fsm.RecvSYN, fsm.Seen), []tcp.Segment{seg(9, tcp.ACK)}},
		{"a request too late", "", mk(fsm.Listen, fsm.SynRcvd, 3, 9, fsm.RecvSYN, fsm.Seen), []tcp.Segment{seg(3, tcp.SYN)}},
		{"a FIN held back", "fin-held", mk(fsm.Established, fsm.FinWait1, 3, 9, fsm.SendFIN, fsm.Seen), []tcp.Segment{seg(3, tcp.ACK)}},
		{"a FIN too early", "", mk(fsm.Established, fsm.FinWait1, 9, 3, fsm.SendFIN, fsm.Seen), []tcp.Segment{seg(9, tcp.ACK)}},
		{"a SYN held back", "syn-held", mk(fsm.Closed, fsm.SynSent, 3, 9, fsm.SendSYN, fsm.Seen), []tcp.Segment{seg(3, tcp.SYN)}},
		{"an ACK ignored", "accept-queue", up, []tcp.Segment{seg(5, tcp.SYN|tcp.ACK), seg(9, tcp.ACK)}},
		{"an ACK that was not", "", up, []tcp.Segment{seg(5, tcp.ACK), seg(9, tcp.ACK)}},
		{"the peer's FIN too early", "", mk(fsm.Established, fsm.CloseWait, 9, 3, fsm.RecvFIN, fsm.Seen), []tcp.Segment{seg(9, tcp.ACK)}},
	} {
		if got := scene(nil, nil, tt.segments...).lagged(tt.d); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestRestarts(t *testing.T) {
	enter := Move{From: fsm.FinWait2, To: fsm.TimeWait, At: 10 * sec, Until: 10*sec + 1}
	again := Move{From: fsm.TimeWait, To: fsm.TimeWait, At: 12 * sec, Until: 12*sec + 200e6}
	for _, tt := range []struct {
		name     string
		restarts []Move
		last     int64 // lastack's
		ok       bool
	}{
		{"none", nil, 0, true},
		{"one that the samples do not show", nil, 10*sec + 300e6, true},
		{"one that the kernel lacks", nil, 12 * sec, false},
		{"one", []Move{again}, 12*sec + 100e6, true},
		{"one overlooked", []Move{again}, 0, false},
		{"one too late", []Move{again}, 14 * sec, false},
	} {
		s := scene(Path{enter}, Path{enter})
		s.life.restarts = tt.restarts
		s.flow.TimeWaits = []reassembly.TimeWait{{Side: s.side, Entered: 10 * sec, RestartAt: tt.last}}
		if got := s.restarts(); (got == "") != tt.ok {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestRestartsForSYN(t *testing.T) {
	for flags, want := range map[tcp.Flags]bool{tcp.SYN: true, tcp.SYN | tcp.ACK: false, tcp.FIN | tcp.ACK: false} {
		x := seg(12, flags)
		f := flowOf(1, 0)
		x.From = f.Client.Other()
		s := scene(Path{}, nil, x)
		s.life.restarts = []Move{{At: 12 * sec, Until: 12*sec + 200e6}}
		if s.restartsForSYN() != want {
			t.Errorf("%v: %v", flags, !want)
		}
	}
}

func TestProfile(t *testing.T) {
	p, err := profile(&lab.About{Tuned: []lab.Tuning{
		{Name: "tcp_fin_timeout", Value: "6"}, {Name: "tcp_syn_retries", Value: "3"}, {Name: "tcp_synack_retries", Value: "2"},
		{Name: "tcp_orphan_retries", Value: "3"}, {Name: "ip_local_port_range", Value: "41000 41003"},
		{Name: "tcp_fastopen_key", Value: "00000001-00000002-00000003-00000004"},
	}})
	want := reassembly.Profiles()[0]
	want.FinWait2, want.SYN, want.SYNACK, want.FIN = 6*time.Second, 19*time.Second, 7*time.Second, 3150*time.Millisecond
	want.PortLo, want.PortHi = 41000, 41003
	if err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := profile(&lab.About{Tuned: []lab.Tuning{{Name: "tcp_fin_timeout", Value: "soon"}}}); err == nil {
		t.Error("a timer of \"soon\" is taken")
	}
}
