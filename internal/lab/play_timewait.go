//go:build linux

package lab

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/reassembly/tcp"
)

// timeWaits are about the life of TIME_WAIT, which Linux keeps for 60 s.
func timeWaits() []Scenario {
	return []Scenario{
		{Name: "time-wait-expires", Does: "A normal connection; the client's TIME_WAIT ends after its time.", Kernel: []string{"client TIME_WAIT>CLOSED"}, Tail: longTail, Play: playNormal},
		{Name: "time-wait-restarted", Repeats: true, Does: "The wire loses the client's last ACK five times; each repetition of the server's FIN restarts the client's TIME_WAIT.",
			Expect: []string{"last-ack-lost"}, ExpectServer: []string{}, Kernel: []string{"client TIME_WAIT>TIME_WAIT", "client TIME_WAIT>CLOSED"}, Tail: longTail, Play: playLastAckLost(5)},
		{Name: "time-wait-assassinated-by-fin", Does: "A copy of the server's FIN meets the client's TIME_WAIT 5 s late; the server, which has no socket, resets the answer.",
			Expect: []string{"time-wait-assassinated"}, ExpectServer: []string{}, Tail: 7 * time.Second, Play: playLateFIN},
		{Name: "time-wait-assassinated", Does: "A copy of old data from the client meets the server's TIME_WAIT; the client, which has no socket, resets the answer.",
			Expect: []string{}, ExpectServer: []string{"time-wait-assassinated"}, Kernel: []string{"server TIME_WAIT>CLOSED"}, Play: playAssassinated("0")},
		{Name: "time-wait-survives-rst", Does: "As time-wait-assassinated, but the server follows RFC 1337 and ignores the RST.",
			Possible: []string{"time-wait-assassinated"}, Play: playAssassinated("1")}, // which that alone prevents
		{Name: "time-wait-missing", Does: "The client keeps no TIME_WAIT (tcp_max_tw_buckets 0): the server's FIN meets an RST.",
			Expect: []string{"time-wait-missing"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Play: playMissing},
	}
}

// reuses are second connections of a four-tuple.
func reuses() []Scenario {
	return []Scenario{
		{Name: "reuse-server-time-wait", Does: "The server closes first; 2 s later the client connects again from the same port.",
			Expect: []string{"tuple-reused"}, Kernel: []string{"server TIME_WAIT>CLOSED"}, Play: playReuse((*Bench).CloseServerFirst)},
		{Name: "reuse-client-time-wait", Does: "The client closes first; 2 s later it connects again from the same port.",
			Expect: []string{"tuple-reused"}, Kernel: []string{"client TIME_WAIT>CLOSED"}, Timestamps: true, Play: playReuse((*Bench).CloseClientFirst)},
		{Name: "reuse-rejected", Repeats: true, Does: "The server closes first; the client connects again from the same port with an older sequence number and no timestamps: the SYN is answered with an ACK, and that with an RST.",
			Expect: []string{"tuple-reuse-rejected"}, Play: playReuseRejected},
		{Name: "reuse-by-timestamp", Does: "The server closes first; the client connects again from the same port with an older sequence number and newer timestamps: its TIME_WAIT gives way.",
			Expect: []string{"tuple-reused"}, Kernel: []string{"server TIME_WAIT>CLOSED"}, Timestamps: true, Play: playReuseISN(1_000_000_000, 900_000_000)},
		{Name: "reuse-by-sequence", Does: "The server closes first; the client, which has no timestamps, connects again from the same port with a newer sequence number.",
			Expect: []string{"tuple-reused"}, Kernel: []string{"server TIME_WAIT>CLOSED"}, Play: playReuseBySequence},
		{Name: "reuse-rejected-by-timestamp", Repeats: true, Does: "The server closes first; the client connects again from the same port with an older sequence number and older timestamps (PAWS): an ACK answers the SYN, and an RST that.",
			Expect: []string{"tuple-reuse-rejected"}, Timestamps: true, Play: playReusePAWS},
		{Name: "late-duplicate", Does: "A copy of the first connection's data reaches the server inside the window of the tuple's second connection, and is told apart by its timestamp.",
			Expect: []string{"tuple-reused"}, ExpectServer: []string{"tuple-reused", "late-duplicate"}, Timestamps: true, Play: playLateDuplicate},
		{Name: "reuse-after-reset", Does: "The client aborts; 500 ms later it connects again from the same port.",
			Play: playReuseAfterReset},
		{Name: "syn-on-established", Repeats: true, Does: "The client's machine forgets the connection; it connects again from the same port while the server's is still established.",
			Expect: []string{"syn-on-live-connection"}, Play: playSYNOnEstablished},
		{Name: "ports-exhausted", Does: "The client has four ports, connects and closes first; after four connections all are in TIME_WAIT and it cannot connect any more.",
			Expect: []string{"port-exhaustion"}, Play: playPortsExhausted},
		{Name: "syn-on-close-wait", Repeats: true, Does: "The client closes and the server forgets; after the client's FIN_WAIT_2 has expired it connects again from the same port.",
			Expect: []string{"syn-on-live-connection", "fin-unanswered"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Play: playSYNOnCloseWait},
	}
}

func playLateFIN(b *Bench) {
	b.Wire.Add(func(f *Frame) Fate {
		if f.Dir == ToClient && f.Flags.Has(tcp.FIN) {
			raw := f.Raw
			time.AfterFunc(5*time.Second, func() { _ = b.Wire.Inject(ToClient, raw) })
		}
		return Fate{}
	})
	playNormal(b)
}

func playAssassinated(rfc1337 string) func(*Bench) {
	return func(b *Bench) {
		b.Tune(b.Server, "tcp_rfc1337", rfc1337)
		old := b.copyOf(func(f *Frame) bool { return f.Dir == ToServer && f.Len > 0 })
		c, s := b.Open()
		b.Talk(c, s)
		b.CloseServerFirst(c, s)
		b.Sleep(time.Second)
		b.Must(b.Wire.Inject(ToServer, old()))
		b.Sleep(500 * time.Millisecond)
	}
}

func playMissing(b *Bench) {
	b.Tune(b.Client, "tcp_max_tw_buckets", "0")
	playNormal(b)
}

// playReuse opens a second connection on the tuple of one that has ended.
func playReuse(end func(b *Bench, c, s *net.TCPConn)) func(*Bench) {
	return func(b *Bench) {
		l, port := b.Listen(-1), b.NextPort()
		b.LabelAs(port, "The first connection of the tuple.")
		c, s := b.OpenFrom(l, port)
		b.Talk(c, s)
		end(b, c, s)
		b.Sleep(2 * time.Second)
		b.again(l, port)
	}
}

func playReuseAfterReset(b *Bench) {
	l, port := b.Listen(-1), b.NextPort()
	b.LabelAs(port, "The first connection of the tuple, which the client aborts.", "abortive-close")
	c, s := b.OpenFrom(l, port)
	b.Talk(c, s)
	b.Send(c, 20)
	b.Recv(s, 20)
	b.Sleep(200 * time.Millisecond)
	b.Must(Abort(c))
	b.Sleep(500 * time.Millisecond)
	b.again(l, port)
}

// again is the second connection of a tuple, which the client closes first.
func (b *Bench) again(l *Listener, port uint16, opts ...Option) {
	b.Label(port)
	b.reopen(l, port, opts...)
}

// againAs is again where the first connection is the scenario's.
func (b *Bench) againAs(l *Listener, port uint16, did string) {
	b.LabelAs(port, did)
	b.reopen(l, port)
}

func (b *Bench) reopen(l *Listener, port uint16, opts ...Option) {
	c, s := b.OpenFrom(l, port, opts...)
	b.Talk(c, s)
	b.CloseClientFirst(c, s)
}

// playReuseISN has both connections of a tuple begin at chosen sequence
// numbers. The second comes late enough for timestamps to be newer.
func playReuseISN(first, second tcp.Seq) func(*Bench) {
	return func(b *Bench) {
		l := b.Listen(-1)
		b.again(l, b.first(l, first), ISN(second))
	}
}

// first is the first connection of a tuple, which the server closed some time
// ago. It returns the client's port.
func (b *Bench) first(l *Listener, isn tcp.Seq) (port uint16) {
	port = b.NextPort()
	b.LabelAs(port, "The first connection of the tuple.")
	c, s := b.OpenFrom(l, port, ISN(isn))
	b.Talk(c, s)
	b.CloseServerFirst(c, s)
	b.Sleep(1200 * time.Millisecond)
	return port
}

func playReuseBySequence(b *Bench) {
	b.Tune(b.Client, "tcp_timestamps", "0")
	playReuseISN(1_000_000_000, 1_100_000_000)(b)
}

func playReuseRejected(b *Bench) {
	b.Tune(b.Client, "tcp_timestamps", "0")
	l := b.Listen(-1)
	port := b.first(l, 1_000_000_000)
	b.refused(func() { b.again(l, port, ISN(900_000_000)) })
}

// playReusePAWS makes the client's timestamps of the second connection older.
// With tcp_timestamps of 2 they are its clock; with 1 each four-tuple adds an
// offset of its own (secure_tcp_seq_and_ts_off in net/core/secure_seq.c), which
// shows when a port is used. It takes a port whose offset is far ahead.
func playReusePAWS(b *Bench) {
	const margin = 1 << 20 // ticks, a millisecond each
	l := b.Listen(-1)
	b.Tune(b.Client, "tcp_timestamps", "2")
	clock := b.stampOf(l, "Shows the client's clock, and stays open.")
	for range 16 {
		b.Tune(b.Client, "tcp_timestamps", "1")
		port := b.NextPort()
		b.LabelAs(port, "Not ahead of the client's clock, and left open.")
		c, s := b.OpenFrom(l, port, ISN(1_000_000_000))
		if ahead := int32(b.stamp() - clock()); ahead < margin || ahead > 1<<31-margin {
			continue
		}
		b.labels[len(b.labels)-1].Did = "The first connection of the tuple."
		b.Talk(c, s)
		b.CloseServerFirst(c, s)
		b.Sleep(1200 * time.Millisecond)
		b.Tune(b.Client, "tcp_timestamps", "2")
		b.refused(func() { b.again(l, port, ISN(900_000_000)) })
		b.Counted(b.Server, "PAWSTimewait", 1)
		return
	}
	b.Missed("no port of 16 has timestamps ahead of the client's clock")
}

// stamp is the timestamp of the client's latest segment.
func (b *Bench) stamp() uint32 {
	last := b.Wire.Last(ToServer)
	return last.TSVal()
}

// stampOf opens a connection and returns the client's clock of timestamps.
func (b *Bench) stampOf(l *Listener, did string) (clock func() uint32) {
	port := b.NextPort()
	b.LabelAs(port, did)
	b.OpenFrom(l, port)
	first, at := b.stamp(), time.Now()
	return func() uint32 { return first + uint32(time.Since(at).Milliseconds()) }
}

// refused has a connection opened whose first SYN the server must answer with
// something else than a SYN-ACK, while no other connection says anything.
func (b *Bench) refused(open func()) {
	var asked, answered, taken bool // guarded by the wire, until the rule is gone
	stop := b.Wire.Add(func(f *Frame) Fate {
		switch {
		case f.Dir == ToServer && f.Flags.Has(tcp.SYN):
			asked = true
		case f.Dir == ToClient && f.IsTCP() && asked && !answered:
			answered, taken = true, f.Flags.Has(tcp.SYN)
		}
		return Fate{}
	})
	open()
	stop()
	if !answered || taken {
		b.Missed("the kernel took the SYN that it ought to refuse")
	}
}

// playLateDuplicate has the second connection begin just before the first, so
// that old data lie in its window.
func playLateDuplicate(b *Bench) {
	old := b.copyOf(func(f *Frame) bool { return f.Dir == ToServer && f.Len > 0 })
	l := b.Listen(-1)
	port := b.first(l, 1_000_000_000)
	b.Label(port)
	c, s := b.OpenFrom(l, port, ISN(1_000_000_000-50))
	b.Talk(c, s)
	b.Must(b.Wire.Inject(ToServer, old()))
	b.Sleep(300 * time.Millisecond)
	b.CloseClientFirst(c, s)
}

// copyOf keeps the first frame that matches.
func (b *Bench) copyOf(match func(*Frame) bool) (frame func() []byte) {
	var raw []byte
	seen := b.Wire.Add(func(f *Frame) Fate {
		if raw == nil && match(f) {
			raw = f.Raw
		}
		return Fate{}
	})
	return func() []byte {
		seen()
		return raw
	}
}

// playPortsExhausted binds as connect(2) does, to a port that no socket has;
// the tracepoint would show connect(2)'s own choice too late.
func playPortsExhausted(b *Bench) {
	b.Tune(b.Client, "ip_local_port_range", "41000 41003")
	l := b.Listen(-1)
	fresh := SockOpt(unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	for range 4 {
		c, err := b.Connect(0, patience, fresh)
		b.Must(err)
		b.Label(local(c).Port())
		s, err := l.AcceptWithin(patience)
		b.Must(err)
		b.Keep(s)
		b.Talk(c, s)
		b.CloseClientFirst(c, s)
	}
	if _, err := b.Connect(0, patience, fresh); !errors.Is(err, syscall.EADDRINUSE) {
		b.Fail("a fifth connection: %v", err)
	}
}

func playSYNOnEstablished(b *Bench) {
	l, port := b.Listen(-1), b.NextPort()
	b.Label(port)
	c, s := b.OpenFrom(l, port)
	b.Talk(c, s)
	b.Vanish(c)
	b.Sleep(time.Second)
	b.againAs(l, port, "The second connection of the tuple.")
}

func playSYNOnCloseWait(b *Bench) {
	b.Tune(b.Client, "tcp_fin_timeout", "3")
	l, port := b.Listen(-1), b.NextPort()
	b.Label(port)
	c, s := b.OpenFrom(l, port)
	b.Talk(c, s)
	b.Close(c)
	b.Sleep(5 * time.Second)
	b.againAs(l, port, "The second connection of the tuple.")
}
