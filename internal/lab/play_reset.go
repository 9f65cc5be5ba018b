//go:build linux

package lab

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// resets are connections that one side's own kernel ends with an RST.
func resets() []Scenario {
	return []Scenario{
		{Name: "abort", Does: "The client aborts an idle connection (SO_LINGER 0) after a message that needs no answer.",
			Expect: []string{"abortive-close"}, Play: playAbort},
		{Name: "abort-by-server", Does: "The server aborts an idle connection (SO_LINGER 0) after its answer.",
			Expect: []string{"abortive-close"}, Play: playAbortByServer},
		{Name: "abort-in-close-wait", Does: "The client closes; the server answers the end with an abort (SO_LINGER 0).",
			Expect: []string{"abortive-close"}, Play: playAbortInCloseWait},
		{Name: "unread-data", Does: "The client closes without having read the answer.",
			Expect: []string{"rst-unread-data"}, Play: playUnread},
		{Name: "unread-data-in-close-wait", Repeats: true, Does: "The client sends and closes; the server closes without having read.",
			Expect: []string{"rst-unread-data"}, Play: playUnreadInCloseWait},
		{Name: "unread-data-process-killed", Does: "The server's process is killed before it has read the request.",
			Expect: []string{"rst-unread-data"}, Play: playUnreadKilled},
		{Name: "listener-closed", Does: "The server closes its listener with three connections that it has not accepted.",
			Expect: []string{"rst-listener-closed"}, Possible: []string{"rst-unread-data"}, Play: playListenerClosed},
		{Name: "client-lost", Does: "The client's machine forgets the connection; the server's data 3 s later meet an RST.",
			Expect: []string{"rst-on-dead-connection"}, Play: playClientLost},
	}
}

// timeouts are connections of which one side gives up.
func timeouts() []Scenario {
	return []Scenario{
		{Name: "keepalive-failed", Does: "The wire loses everything; the client's three keepalive probes stay unanswered, and it resets.",
			Expect: []string{"keepalive-failed"}, ExpectServer: []string{}, Play: playKeepalive(true)},
		{Name: "keepalive-answered", Does: "Four keepalive probes of an idle client are answered; then a normal close.", Play: playKeepalive(false)},
		{Name: "user-timeout", Does: "The wire loses everything; the client gives its data up after 2 s (TCP_USER_TIMEOUT). The server writes later and is reset.",
			Expect: []string{"retransmission-timeout"}, ExpectServer: []string{"rst-on-dead-connection"}, Play: playUserTimeout},
		{Name: "retransmission-timeout", Does: "The wire loses everything; the client gives its data up after tcp_retries2 of 3.",
			Expect: []string{"retransmission-timeout"}, ExpectServer: []string{}, Tail: 3 * time.Second, Play: playRetriesOut},
	}
}

func playAbort(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Send(c, 20)
	b.Recv(s, 20)
	b.Sleep(200 * time.Millisecond)
	b.Must(Abort(c))
	b.RecvReset(s)
}

func playAbortByServer(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(200 * time.Millisecond)
	b.Must(Abort(s))
	b.RecvReset(c)
}

func playAbortInCloseWait(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(200 * time.Millisecond)
	b.Must(Abort(s))
}

func playUnread(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Send(c, 100)
	b.Recv(s, 100)
	b.Send(s, 300)
	b.Sleep(200 * time.Millisecond)
	b.Close(c)
	b.RecvReset(s)
}

func playUnreadInCloseWait(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Send(c, 100)
	b.Close(c)
	b.Sleep(300 * time.Millisecond)
	b.Close(s)
}

func playUnreadKilled(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	process := b.Hand(s)
	b.Send(c, 100)
	b.Sleep(300 * time.Millisecond)
	b.Must(process.Close())
	b.RecvReset(c)
}

func playListenerClosed(b *Bench) {
	l := b.Listen(-1)
	var clients []*net.TCPConn
	for range 3 {
		port := b.NextPort()
		b.Label(port)
		c, err := b.Connect(port, patience)
		b.Must(err)
		b.Send(c, 100)
		clients = append(clients, c)
	}
	b.Sleep(200 * time.Millisecond)
	b.Must(l.Close())
	for _, c := range clients {
		b.RecvReset(c)
	}
}

func playClientLost(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Vanish(c)
	b.Sleep(3 * time.Second)
	b.Send(s, 100)
	b.RecvReset(s)
}

func playKeepalive(dead bool) func(*Bench) {
	return func(b *Bench) {
		c, s := b.Open()
		b.Talk(c, s)
		b.keepalive(c, 1)
		if !dead {
			b.Sleep(4500 * time.Millisecond)
			b.CloseClientFirst(c, s)
			return
		}
		b.Sleep(200 * time.Millisecond)
		b.Wire.Add(Blackhole(ToServer))
		b.Wire.Add(Blackhole(ToClient))
		b.recvTimeout(c)
	}
}

// keepalive has a socket probe an idle connection after so many seconds, and
// each second until three probes stay unanswered.
func (b *Bench) keepalive(c *net.TCPConn, idle int) {
	b.Must(SetOption(c, SockOpt(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle),
		SockOpt(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1),
		SockOpt(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3),
		SockOpt(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)))
}

// recvTimeout waits until the kernel gives a connection up.
func (b *Bench) recvTimeout(c *net.TCPConn) {
	if err := b.RecvError(c, 2*patience); !errors.Is(err, syscall.ETIMEDOUT) {
		b.Fail("not a timeout: %w", err)
	}
}

func playUserTimeout(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Must(SetOption(c, SockOpt(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 2000)))
	b.Sleep(200 * time.Millisecond)
	up, down := b.Wire.Add(Blackhole(ToServer)), b.Wire.Add(Blackhole(ToClient))
	b.Send(c, 100)
	b.recvTimeout(c)
	up()
	down()
	b.Sleep(time.Second)
	b.Send(s, 100)
	b.RecvReset(s)
}

func playRetriesOut(b *Bench) {
	b.Tune(b.Client, "tcp_retries2", "3")
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(200 * time.Millisecond)
	b.Wire.Add(Blackhole(ToServer))
	b.Wire.Add(Blackhole(ToClient))
	b.Send(c, 100)
	b.recvTimeout(c)
}
