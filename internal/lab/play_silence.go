//go:build linux

package lab

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// silences are closings that one side leaves unanswered, or answers late.
func silences() []Scenario {
	return []Scenario{
		{Name: "fin-never-answered", Does: "The client closes; the server's application never looks at the connection again.",
			Expect: []string{"fin-unanswered"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Tail: longTail, Play: playNeverAnswered},
		{Name: "fin-never-answered-shutdown", Does: "The client shuts its writing side down; the server's application never looks again.",
			Expect: []string{"fin-unanswered"}, Tail: longTail, Play: playNeverAnsweredShut},
		{Name: "fin-never-answered-by-client", Does: "The server closes; the client's application never looks at the connection again.",
			Expect: []string{"fin-unanswered"}, Tail: longTail, Play: playNeverAnsweredByClient},
		{Name: "fin-never-answered-keepalive", Does: "As fin-never-answered, with keepalives on the server's side: they are answered until the client's FIN_WAIT_2 has expired (after 6 s), and reset then.",
			Expect: []string{"fin-unanswered"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Play: playNeverAnsweredKeepalive},
		{Name: "fin-answered-late", Does: "The client closes; the server closes 3 s later, within the client's tcp_fin_timeout of 6 s.",
			Expect: []string{"fin-answered-late"}, Kernel: []string{"client FIN_WAIT_2>TIME_WAIT"}, Play: playAnsweredAfter(3*time.Second, (*net.TCPConn).Close)},
		{Name: "fin-answered-too-late", Does: "The client closes; the server closes 12 s later, beyond the client's tcp_fin_timeout of 6 s.",
			Expect: []string{"late-close-reset"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Play: playAnsweredAfter(12*time.Second, (*net.TCPConn).Close)},
		{Name: "fin-answered-late-shutdown", Does: "The client shuts its writing side down and waits; the server closes 12 s later.",
			Expect: []string{"fin-answered-late"}, Play: playAnsweredAfter(12*time.Second, (*net.TCPConn).CloseWrite)},
		{Name: "write-after-fin", Does: "The client closes; the server writes 300 ms later and is reset.",
			Expect: []string{"write-after-fin"}, Play: playWriteAfterFIN},
		{Name: "write-too-late", Does: "The client closes; the server writes 12 s later, when the client's FIN_WAIT_2 has expired.",
			Expect: []string{"late-close-reset"}, Kernel: []string{"client FIN_WAIT_2>CLOSED"}, Play: playWriteTooLate},
		{Name: "fin-meets-data", Does: "The client closes while data of the server are under way; the data are reset.",
			Expect: []string{"rst-unread-data"}, ExpectServer: []string{"rst-after-fin"}, OneWay: 50 * time.Millisecond, Play: playFINMeetsData},
		{Name: "close-behind-zero-window", Repeats: true, Does: "The client fills the window of a server that does not read, and closes: its FIN cannot leave.",
			Expect: []string{"close-behind-zero-window"}, Tail: 15 * time.Second, Play: playZeroWindow(false)},
		{Name: "zero-window-drained", Repeats: true, Does: "As close-behind-zero-window, but the server reads everything 4 s later, and closes.",
			Expect: []string{}, Play: playZeroWindow(true)},
	}
}

func playNeverAnswered(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
}

func playNeverAnsweredShut(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Shut(c)
}

func playNeverAnsweredByClient(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(s)
}

func playNeverAnsweredKeepalive(b *Bench) {
	b.Tune(b.Client, "tcp_fin_timeout", finTimeout)
	c, s := b.Open()
	b.Talk(c, s)
	b.keepalive(s, 2)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(12 * time.Second)
}

// finTimeout is the client's tcp_fin_timeout in seconds. What expires lives a
// little longer, and never less than 3.5 retransmission timeouts.
const finTimeout = "6"

func playAnsweredAfter(d time.Duration, end func(*net.TCPConn) error) func(*Bench) {
	return func(b *Bench) {
		b.Tune(b.Client, "tcp_fin_timeout", finTimeout)
		c, s := b.Open()
		b.Talk(c, s)
		b.Must(end(c))
		b.RecvEnd(s)
		b.Sleep(d)
		b.Close(s)
		b.Sleep(200 * time.Millisecond)
	}
}

func playWriteAfterFIN(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(300 * time.Millisecond)
	b.Send(s, 100) // accepted by the kernel; the RST comes after it
	b.Sleep(300 * time.Millisecond)
	b.Close(s)
}

func playWriteTooLate(b *Bench) {
	b.Tune(b.Client, "tcp_fin_timeout", finTimeout)
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(12 * time.Second)
	b.Send(s, 100)
	b.Sleep(300 * time.Millisecond)
	b.Close(s)
}

func playFINMeetsData(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(300 * time.Millisecond)
	b.Send(s, 400)
	b.Sleep(10 * time.Millisecond)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(300 * time.Millisecond)
	b.Close(s)
}

func playZeroWindow(drain bool) func(*Bench) {
	return func(b *Bench) {
		port := b.NextPort()
		b.Label(port)
		c, s := b.OpenFrom(b.Listen(-1, SockOpt(unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)), port)
		b.Talk(c, s)
		b.Send(c, 30_000) // more than the receiver takes, less than the sender may hold
		b.Sleep(time.Second)
		b.Close(c)
		if drain {
			b.Sleep(4 * time.Second)
			b.RecvEnd(s)
			b.Close(s)
		}
	}
}
