//go:build linux

package lab

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/reassembly/tcp"
)

// openings are the ways in which connections come to be.
func openings() []Scenario {
	return []Scenario{
		{Name: "normal", Does: "The client opens, asks, is answered and closes; the server closes 150 ms later.",
			Play: playNormal},
		{Name: "syn-lost-once", Repeats: true, Does: "The wire loses the first SYN; then a normal connection.",
			Expect: []string{"syn-retransmitted"}, ExpectServer: []string{},
			Play: playLossy(ToServer, func(f *Frame) bool { return f.Flags.Has(tcp.SYN) })},
		{Name: "synack-lost-once", Repeats: true, Does: "The wire loses each SYN-ACK until the client has sent its SYN again; then a normal connection.",
			Expect: []string{"syn-retransmitted"}, Play: playSYNACKLost},
		{Name: "third-ack-lost", Repeats: true, Does: "The wire loses the ACK of the SYN-ACK, and the client has nothing to send for 2.5 s.",
			Expect: []string{"handshake-ack-lost"}, Play: playThirdACKLost(2500 * time.Millisecond)},
		{Name: "third-ack-lost-data", Repeats: true, Does: "The wire loses the ACK of the SYN-ACK; the data that follow at once stand in for it.",
			Play: playThirdACKLost(0)},
		{Name: "half-open-scan", Does: "A scanner sends a SYN past the client's TCP, which resets the answer.",
			Expect: []string{"handshake-abandoned"}, Play: playScan},
		{Name: "handshake-abandoned", Repeats: true, Does: "The client gives its connect() up before the SYN-ACK comes, which its kernel resets.",
			Expect: []string{"handshake-abandoned"}, OneWay: 100 * time.Millisecond, Play: playAbandoned},
		{Name: "simultaneous-open", Does: "Both hosts connect() to each other at once; then the first closes, and the second.",
			Expect: []string{"simultaneous-open"}, Kernel: []string{"client SYN_SENT>SYN_RCVD", "server SYN_SENT>SYN_RCVD"}, OneWay: 100 * time.Millisecond, Play: playSimultaneousOpen},
		{Name: "fast-open", Repeats: true, Does: "The client gets a cookie (TCP Fast Open), and sends data in the SYN of its second connection.",
			Play: playFastOpen(false)},
		{Name: "fast-open-rejected", Repeats: true, Does: "As fast-open, but the server has changed its key: it acknowledges the SYN without its data.",
			Play: playFastOpen(true)},
		{Name: "health-check", Does: "The client opens and closes without a word; the server closes at once.", Play: playHealthCheck},
		{Name: "sequence-wrap", Does: "A normal connection whose client's sequence numbers pass 2^32.", Play: playWrap},
	}
}

func playNormal(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.CloseClientFirst(c, s)
}

// playLossy loses the first frame of a direction that matches.
func playLossy(d Dir, match func(*Frame) bool) func(*Bench) {
	return func(b *Bench) {
		b.Wire.Add(DropFirst(1, func(f *Frame) bool { return f.Dir == d && f.IsTCP() && match(f) }))
		playNormal(b)
	}
}

// playSYNACKLost loses more than one where the server's timer, which is as long
// as the client's, runs out first.
func playSYNACKLost(b *Bench) {
	syns := 0
	b.Wire.Add(func(f *Frame) Fate {
		if f.Dir == ToServer && f.Flags.Has(tcp.SYN) {
			syns++
		}
		return Fate{Drop: f.Dir == ToClient && f.Flags.Has(tcp.SYN) && syns < 2}
	})
	playNormal(b)
}

func playThirdACKLost(quiet time.Duration) func(*Bench) {
	return func(b *Bench) {
		b.Wire.Add(DropFirst(1, func(f *Frame) bool { return f.Dir == ToServer && f.PureACK() }))
		port, l := b.NextPort(), b.Listen(-1)
		b.Label(port)
		c, err := b.Connect(port, patience)
		b.Must(err)
		b.Sleep(quiet)
		b.Send(c, 100)
		s, err := l.AcceptWithin(patience)
		b.Must(err)
		b.Keep(s)
		b.Recv(s, 100)
		b.Send(s, 300)
		b.Recv(c, 300)
		b.CloseClientFirst(c, s)
	}
}

func playScan(b *Bench) {
	b.Listen(-1)
	port := b.NextPort()
	b.Label(port)
	b.learnNeighbours()
	b.Must(b.Client.SendRaw(b.Forge(ToServer, port, Forged{Flags: tcp.SYN, Seq: 0x1234abcd, MSS: 1460})))
}

// learnNeighbours has the hosts learn each other's hardware address, which a
// frame sent past a stack does not wait for.
func (b *Bench) learnNeighbours() {
	conn, err := b.Connect(b.NextPort(), patience)
	b.Must(err)
	b.LabelAs(local(conn).Port(), "Opened before the scan and left open.")
}

func local(c net.Conn) netip.AddrPort { return c.LocalAddr().(*net.TCPAddr).AddrPort() }

func playAbandoned(b *Bench) {
	b.Listen(-1)
	port := b.NextPort()
	b.Label(port)
	if _, err := b.Connect(port, 120*time.Millisecond); err == nil {
		b.Fail("connected before the answer can have come")
	}
	b.Sleep(500 * time.Millisecond)
}

func playSimultaneousOpen(b *Bench) {
	port := b.NextPort()
	b.Label(port)
	var server *net.TCPConn
	var serverErr error
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	wg.Go(func() { server, serverErr = b.Server.Dial(ctx, servicePort, b.At(port)) })
	client, err := b.Connect(port, patience)
	wg.Wait()
	b.Must(err)
	b.Must(serverErr)
	b.Keep(server)
	b.Talk(client, server)
	b.Sleep(300 * time.Millisecond)
	b.Close(client)
	b.RecvEnd(server)
	b.Sleep(400 * time.Millisecond)
	b.Close(server)
	b.Sleep(400 * time.Millisecond)
}

func playFastOpen(changeKey bool) func(*Bench) {
	return func(b *Bench) {
		b.Tune(b.Client, "tcp_fastopen", "3")
		b.Tune(b.Server, "tcp_fastopen", "3")
		b.Tune(b.Server, "tcp_fastopen_key", "00000001-00000002-00000003-00000004")
		l := b.Listen(-1, SockOpt(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16))
		for i := range 2 {
			if i == 1 && changeKey {
				b.Tune(b.Server, "tcp_fastopen_key", "00000005-00000006-00000007-00000008")
			}
			port := b.NextPort()
			b.Label(port)
			// With this option connect() only notes the address: the SYN goes
			// with the first data.
			c, err := b.Connect(port, patience, SockOpt(unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1))
			b.Must(err)
			b.Send(c, 100)
			s, err := l.AcceptWithin(patience)
			b.Must(err)
			b.Keep(s)
			b.Recv(s, 100)
			b.Send(s, 300)
			b.Recv(c, 300)
			b.CloseClientFirst(c, s)
		}
	}
}

func playHealthCheck(b *Bench) {
	c, s := b.Open()
	b.Close(c)
	b.RecvEnd(s)
	b.Close(s)
}

func playWrap(b *Bench) {
	c, s := b.Open(ISN(0xffffff80)) // 128 before the end of the circle
	for range 3 {
		b.Talk(c, s)
	}
	b.CloseClientFirst(c, s)
}
