//go:build linux

package lab

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/fsm"
)

// What the kernel writes: documentation of the tracepoint's format by example.
const (
	lineV4 = "            sshd-612     [000] ..s2.   917.000042: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP " +
		"sport=8000 dport=40001 saddr=10.1.0.5 daddr=10.1.0.11 saddrv6=::ffff:10.1.0.5 daddrv6=::ffff:10.1.0.11 " +
		"oldstate=TCP_ESTABLISHED newstate=TCP_CLOSE_WAIT"
	lineV6 = "  a task: with -9    [001] .....     3.999999: inet_sock_set_state: family=AF_INET6 protocol=IPPROTO_TCP " +
		"sport=40001 dport=8000 saddr=0.0.0.0 daddr=0.0.0.0 saddrv6=2001:db8::b daddrv6=2001:db8::5 " +
		"oldstate=TCP_SYN_SENT newstate=TCP_ESTABLISHED"
	lineSCTP = "  x-9    [001] .....     3.999999: inet_sock_set_state: family=AF_INET protocol=IPPROTO_SCTP " +
		"sport=1 dport=2 saddr=10.1.0.5 daddr=10.1.0.11 saddrv6=:: daddrv6=:: oldstate=TCP_CLOSE newstate=TCP_LISTEN"
)

func TestParseTraceLine(t *testing.T) {
	ap := netip.MustParseAddrPort
	tests := []struct {
		name, line string
		want       traceEvent
		ok         bool
	}{
		{"IPv4", lineV4, traceEvent{917_000_042_000, ap("10.1.0.5:8000"), ap("10.1.0.11:40001"), fsm.Established, fsm.CloseWait}, true},
		{"IPv6, blanks and a colon in the task's name", lineV6,
			traceEvent{3_999_999_000, ap("[2001:db8::b]:40001"), ap("[2001:db8::5]:8000"), fsm.SynSent, fsm.Established}, true},
		{"another protocol", lineSCTP, traceEvent{}, false},
		{"another event", "  x-9 [001] ..... 3.999999: tcp_probe: family=AF_INET", traceEvent{}, false},
		{"nothing", "", traceEvent{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok, err := parseTraceLine(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("got %v, %v; want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestParseTraceLineRefuses(t *testing.T) {
	if _, _, err := parseTraceLine("CPU:1 [LOST 12 EVENTS]"); !errors.Is(err, errLost) {
		t.Errorf("lost events give %v", err)
	}
	good := "x [1] . 1.000000: inet_sock_set_state: protocol=IPPROTO_TCP sport=1 dport=2 saddr=10.0.0.1 daddr=10.0.0.2 oldstate=TCP_CLOSE newstate=TCP_LISTEN"
	if _, ok, err := parseTraceLine(good); !ok || err != nil {
		t.Fatalf("the line of which the others are spoilt: %v, %v", ok, err)
	}
	for _, bad := range []string{
		"x [1] . 1.0: inet_sock_set_state: protocol=IPPROTO_TCP sport=1 dport=2 saddr=10.0.0.1 daddr=10.0.0.2 oldstate=TCP_CLOSE newstate=TCP_LISTEN",
		"x [1] . 1.000000: inet_sock_set_state: protocol=IPPROTO_TCP sport=70000 dport=2 saddr=10.0.0.1 daddr=10.0.0.2 oldstate=TCP_CLOSE newstate=TCP_LISTEN",
		"x [1] . 1.000000: inet_sock_set_state: protocol=IPPROTO_TCP sport=1 dport=2 saddr=ten daddr=10.0.0.2 oldstate=TCP_CLOSE newstate=TCP_LISTEN",
		"x [1] . 1.000000: inet_sock_set_state: protocol=IPPROTO_TCP sport=1 dport=2 saddr=10.0.0.1 daddr=10.0.0.2 oldstate=TCP_CLOSE newstate=14",
		"x [1] . 1.000000: inet_sock_set_state: protocol=IPPROTO_TCP",
	} {
		if e, ok, err := parseTraceLine(bad); err == nil {
			t.Errorf("%s\ngives %v, %v and no error", bad, e, ok)
		}
	}
}

// A past is given in ms; its sockets are those of one connection.
type past struct {
	events  []traceEvent
	samples history
}

var historyConn = connection{netip.MustParseAddrPort("10.1.0.5:8000"), netip.MustParseAddrPort("10.1.0.11:40001")}

const ms = int64(1_000_000)

func (h *past) event(at int64, from, to fsm.State) {
	h.events = append(h.events, traceEvent{at * ms, historyConn.local, historyConn.remote, from, to})
}

// start takes the connection to a state at 1 ms, which the tests do not list.
func (h *past) start(states ...fsm.State) {
	from := fsm.Listen
	for _, s := range append([]fsm.State{fsm.SynRcvd, fsm.Established}, states...) {
		h.event(1, from, s)
		from = s
	}
}

// sample lists a state (0: no socket); a small one expires at a time (0: full).
func (h *past) sample(at int64, s fsm.State, expires int64) {
	x := sample{before: at * ms, after: at*ms + ms, sockets: map[connection]socketState{}}
	if s != 0 {
		x.sockets[historyConn] = socketState{s, expires * ms}
	}
	h.samples.add(x)
}

func TestDerive(t *testing.T) {
	tests := []struct {
		name string
		play func(h *past)
		want []string
	}{
		{"an abandoned FIN_WAIT_2 and its TIME_WAIT, to the end", func(h *past) {
			h.sample(0, 0, 0)
			h.start()
			h.event(10, fsm.Established, fsm.FinWait1)
			h.event(20, fsm.FinWait1, fsm.FinWait2)
			h.event(20, fsm.FinWait2, fsm.Closed)
			h.sample(21, fsm.FinWait2, 60_000)
			h.sample(200, fsm.TimeWait, 60_150)
			h.sample(400, fsm.TimeWait, 60_150)
			h.sample(60_400, 0, 0)
		}, []string{
			"10 ESTABLISHED FIN_WAIT_1", "20 FIN_WAIT_1 FIN_WAIT_2",
			"21-201 FIN_WAIT_2 TIME_WAIT", "400-60401 TIME_WAIT CLOSED",
		}},
		{"TIME_WAIT at once, restarted, reused", func(h *past) {
			h.start(fsm.FinWait1, fsm.FinWait2)
			h.event(20, fsm.FinWait2, fsm.Closed)
			h.sample(21, fsm.TimeWait, 60_020)
			h.sample(200, fsm.TimeWait, 60_030) // rounding is no restart
			h.sample(2_000, fsm.TimeWait, 61_900)
			h.event(3_000, fsm.Listen, fsm.SynRcvd)
			h.event(3_000, fsm.SynRcvd, fsm.Established)
			h.sample(3_200, fsm.Established, 0)
		}, []string{
			"20-22 FIN_WAIT_2 TIME_WAIT", "200-2001 TIME_WAIT TIME_WAIT", "2000-3000 TIME_WAIT CLOSED",
			"3000 LISTEN SYN_RCVD", "3000 SYN_RCVD ESTABLISHED",
		}},
		{"no TIME_WAIT was left", func(h *past) {
			h.start(fsm.FinWait1, fsm.FinWait2)
			h.event(20, fsm.FinWait2, fsm.Closed)
			h.sample(21, 0, 0)
			h.sample(200, 0, 0)
		}, []string{"20-22 FIN_WAIT_2 CLOSED"}},
		{"from CLOSING nothing can come between", func(h *past) {
			h.start(fsm.FinWait1)
			h.event(10, fsm.FinWait1, fsm.Closing)
			h.event(20, fsm.Closing, fsm.Closed)
			h.sample(100, fsm.TimeWait, 60_020)
		}, []string{"10 FIN_WAIT_1 CLOSING", "20 CLOSING TIME_WAIT"}},
		{"a request that waits before it is accepted", func(h *past) {
			h.sample(0, 0, 0)
			h.sample(200, fsm.SynRcvd, 0)
			h.sample(400, fsm.SynRcvd, 0)
			h.event(500, fsm.Listen, fsm.SynRcvd)
			h.event(500, fsm.SynRcvd, fsm.Established)
		}, []string{"0-201 LISTEN SYN_RCVD", "500 SYN_RCVD ESTABLISHED"}},
		{"a request that is given up", func(h *past) {
			h.sample(0, 0, 0)
			h.sample(200, fsm.SynRcvd, 0)
			h.sample(400, 0, 0)
		}, []string{"0-201 LISTEN SYN_RCVD", "200-401 SYN_RCVD CLOSED"}},
		{"a request where TIME_WAIT was", func(h *past) {
			h.start(fsm.FinWait1, fsm.FinWait2)
			h.event(20, fsm.FinWait2, fsm.Closed)
			h.sample(21, fsm.TimeWait, 60_020)
			h.sample(200, fsm.SynRcvd, 0)
			h.event(210, fsm.Listen, fsm.SynRcvd)
			h.event(210, fsm.SynRcvd, fsm.Established)
		}, []string{"20-22 FIN_WAIT_2 TIME_WAIT", "21-201 TIME_WAIT CLOSED", "21-201 LISTEN SYN_RCVD", "210 SYN_RCVD ESTABLISHED"}},
		{"a request on the heels of a reset, in a list that was begun before", func(h *past) {
			h.start()
			h.sample(5, fsm.Established, 0)
			h.event(10, fsm.Established, fsm.Closed)
			h.sample(10, fsm.SynRcvd, 0)
			h.event(20, fsm.Listen, fsm.SynRcvd)
			h.event(20, fsm.SynRcvd, fsm.Established)
		}, []string{"10 ESTABLISHED CLOSED", "10-11 LISTEN SYN_RCVD", "20 SYN_RCVD ESTABLISHED"}},
		{"a TIME_WAIT whose timer is late", func(h *past) {
			h.start(fsm.FinWait1, fsm.FinWait2)
			h.event(20, fsm.FinWait2, fsm.Closed)
			h.sample(21, fsm.TimeWait, 60_020)
			h.sample(60_800, fsm.TimeWait, 60_800) // nothing is left of it
			h.sample(61_600, fsm.TimeWait, 61_600)
			h.sample(62_400, 0, 0)
		}, []string{"20-22 FIN_WAIT_2 TIME_WAIT", "61600-62401 TIME_WAIT CLOSED"}},
		{"a connect(2) to a connection that another socket has", func(h *past) {
			h.start(fsm.CloseWait)
			h.event(10, fsm.Closed, fsm.SynSent)
			h.event(10, fsm.SynSent, fsm.Closed)
			h.event(30, fsm.CloseWait, fsm.LastAck)
		}, []string{"30 CLOSE_WAIT LAST_ACK"}},
		{"a connect(2) that fails in time", func(h *past) {
			h.event(10, fsm.Closed, fsm.SynSent)
			h.event(15, fsm.SynSent, fsm.Closed)
		}, []string{"10 CLOSED SYN_SENT", "15 SYN_SENT CLOSED"}},
		{"a full socket is left to the trace, also while it is listed late", func(h *past) {
			h.start()
			h.event(10, fsm.Established, fsm.FinWait1)
			h.sample(11, fsm.FinWait1, 0)
			h.event(12, fsm.FinWait1, fsm.Closed)
			h.sample(13, fsm.FinWait1, 0)
			h.sample(200, 0, 0)
		}, []string{"10 ESTABLISHED FIN_WAIT_1", "12 FIN_WAIT_1 CLOSED"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h past
			tt.play(&h)
			var got []string
			ts, err := deriveHost("server", h.events, &h.samples)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range ts {
				if x.Time != ms {
					got = append(got, x.brief())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeriveRefusesForeignEvents(t *testing.T) {
	var h past
	h.start()
	h.event(10, fsm.FinWait1, fsm.Closed) // of a socket that had the same addresses before
	if ts, err := deriveHost("server", h.events, &h.samples); err == nil {
		t.Errorf("derived %v", ts)
	}
}
