//go:build linux

package lab

import (
	"net"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// timeWaits are about the life of TIME_WAIT, which Linux keeps for 60 s.
func timeWaits() []Scenario {
	return []Scenario{
		{Name: "time-wait-expires", Does: "A normal connection; the client's TIME_WAIT ends after its time.", Tail: longTail, Play: playNormal},
		{Name: "time-wait-restarted", Does: "The wire loses the client's last ACK five times; each repetition of the server's FIN restarts the client's TIME_WAIT.",
			Expect: []string{"last-ack-lost"}, Tail: longTail, Play: playLastAckLost(5)},
		{Name: "time-wait-assassinated-by-fin", Does: "A copy of the server's FIN meets the client's TIME_WAIT 5 s late; the server, which has no socket, resets the answer.",
			Expect: []string{"time-wait-assassinated"}, Tail: 7 * time.Second, Play: playLateFIN},
		{Name: "time-wait-assassinated", Does: "A copy of old data from the client meets the server's TIME_WAIT; the client, which has no socket, resets the answer.",
			Expect: []string{"time-wait-assassinated"}, Play: playAssassinated("0")},
		{Name: "time-wait-survives-rst", Does: "As time-wait-assassinated, but the server follows RFC 1337 and ignores the RST.",
			Expect: []string{"late-duplicate"}, Play: playAssassinated("1")},
		{Name: "time-wait-missing", Does: "The client keeps no TIME_WAIT (tcp_max_tw_buckets 0): the server's FIN meets an RST.",
			Expect: []string{"time-wait-missing"}, Play: playMissing},
	}
}

// reuses are second connections of a four-tuple.
func reuses() []Scenario {
	return []Scenario{
		{Name: "reuse-server-time-wait", Does: "The server closes first; 2 s later the client connects again from the same port.",
			Expect: []string{"tuple-reused"}, Play: playReuse((*Bench).CloseServerFirst)},
		{Name: "reuse-client-time-wait", Does: "The client closes first; 2 s later it connects again from the same port.",
			Expect: []string{"tuple-reused"}, Play: playReuse((*Bench).CloseClientFirst)},
		{Name: "reuse-rejected", Does: "The server closes first; the client connects again from the same port with an older sequence number and no timestamps: the SYN is answered with an ACK, and that with an RST.",
			Expect: []string{"tuple-reuse-rejected"}, Play: playReuseRejected},
		{Name: "reuse-after-reset", Does: "The client aborts; 500 ms later it connects again from the same port.",
			Play: playReuse(func(b *Bench, c, _ *net.TCPConn) { b.Must(Abort(c)) })},
		{Name: "syn-on-established", Does: "The client's machine forgets the connection; it connects again from the same port while the server's is still established.",
			Expect: []string{"syn-on-live-connection"}, Play: playSYNOnEstablished},
		{Name: "syn-on-close-wait", Does: "The client closes and the server forgets; after the client's FIN_WAIT_2 has expired it connects again from the same port.",
			Expect: []string{"syn-on-live-connection"}, Play: playSYNOnCloseWait},
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
		var old []byte
		seen := b.Wire.Add(func(f *Frame) Fate {
			if f.Dir == ToServer && f.Len > 0 && old == nil {
				old = f.Raw
			}
			return Fate{}
		})
		c, s := b.Open()
		b.Talk(c, s)
		b.CloseServerFirst(c, s)
		seen()
		b.Sleep(time.Second)
		b.Must(b.Wire.Inject(ToServer, old))
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

// again is the second connection of a tuple, which the client closes first.
func (b *Bench) again(l *Listener, port uint16, opts ...Option) {
	b.Label(port)
	c, s := b.OpenFrom(l, port, opts...)
	b.Talk(c, s)
	b.CloseClientFirst(c, s)
}

func playReuseRejected(b *Bench) {
	b.Tune(b.Client, "tcp_timestamps", "0")
	l, port := b.Listen(-1), b.NextPort()
	b.LabelAs(port, "The first connection of the tuple.")
	c, s := b.OpenFrom(l, port, ISN(1_000_000_000))
	b.Talk(c, s)
	b.CloseServerFirst(c, s)
	b.Sleep(time.Second)
	b.again(l, port, ISN(900_000_000))
}

func playSYNOnEstablished(b *Bench) {
	l, port := b.Listen(-1), b.NextPort()
	b.LabelAs(port, "The first connection of the tuple, which the server keeps.")
	c, s := b.OpenFrom(l, port)
	b.Talk(c, s)
	b.Vanish(c)
	b.Sleep(time.Second)
	b.again(l, port)
}

func playSYNOnCloseWait(b *Bench) {
	b.Tune(b.Client, "tcp_fin_timeout", "3")
	l, port := b.Listen(-1), b.NextPort()
	b.LabelAs(port, "The first connection of the tuple, which the server forgets.", "fin-unanswered")
	c, s := b.OpenFrom(l, port)
	b.Talk(c, s)
	b.Close(c)
	b.Sleep(5 * time.Second)
	b.again(l, port)
}
