//go:build linux

package lab

import (
	"context"
	"net"
	"sync"
	"time"
)

// overflows are the faces of an accept queue that is full. The listener's
// backlog of zero leaves room for one connection.
func overflows() []Scenario {
	expect := []string{"accept-queue-overflow"}
	late := []string{"fin-answered-late"} // whom the server accepts and closes first waits for the others
	return []Scenario{
		{Name: "accept-queue-syn-dropped", Does: "The queue is full: the server's kernel ignores the SYN, until the application accepts 2.5 s later.",
			Expect: expect, Possible: []string{"syn-retransmitted"}, Play: playQueueFullSYN},
		{Name: "accept-queue-ack-ignored", Does: "Three handshakes at once for the last place: two third ACKs are ignored, until the application accepts 2.5 s later.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(2, "0")},
		{Name: "accept-queue-abort", Does: "Three handshakes at once for the last place, and tcp_abort_on_overflow: two third ACKs are answered with RST.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(2, "1")},
		{Name: "accept-queue-cookies", Does: "Three handshakes at once for the only place: two get SYN cookies, and their third ACKs are ignored, until the application accepts 2.5 s later.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(0, "0")},
	}
}

func playQueueFullSYN(b *Bench) {
	l := b.Listen(0)
	first := b.NextPort()
	b.LabelAs(first, "Fills the accept queue, and is accepted 2.5 s later.")
	c1, err := b.Connect(first, patience)
	b.Must(err)
	b.Send(c1, 100)
	var s1 *net.TCPConn
	var acceptErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		time.Sleep(2500 * time.Millisecond)
		s1, acceptErr = l.AcceptWithin(patience)
	})
	second := b.NextPort()
	b.Label(second)
	c2, s2 := b.OpenFromLater(l, second, &wg)
	b.Must(acceptErr)
	b.Keep(s1)
	b.Recv(s1, 100)
	b.Talk(c2, s2)
	b.CloseClientFirst(c1, s1)
	b.CloseClientFirst(c2, s2)
}

// OpenFromLater is OpenFrom for a listener from which others accept first.
func (b *Bench) OpenFromLater(l *Listener, port uint16, others *sync.WaitGroup) (client, server *net.TCPConn) {
	client, err := b.Connect(port, patience)
	b.Must(err)
	others.Wait()
	server, err = l.AcceptWithin(patience)
	b.Must(err)
	b.Keep(server)
	return client, server
}

// playQueueRace opens three connections at once when one place is left in the
// accept queue. A backlog leaves room for one connection more than it says, in
// the accept queue and among the requests, beyond which those get cookies.
// Which of them gets the place is the kernel's choice: the first to be accepted
// after those that filled the queue.
func playQueueRace(backlog int, abort string) func(*Bench) {
	return func(b *Bench) {
		b.Tune(b.Server, "tcp_abort_on_overflow", abort)
		l := b.Listen(backlog)
		var clients []*net.TCPConn
		for range backlog {
			port := b.NextPort()
			b.labelQueued(port, "Fills the accept queue.")
			c, err := b.Connect(port, patience)
			b.Must(err)
			clients = append(clients, c)
		}
		clients = append(clients, b.race(3)...)
		for _, c := range clients {
			b.Send(c, 100)
		}
		b.Sleep(2500 * time.Millisecond)
		accepted := len(clients)
		if abort == "1" {
			accepted = backlog + 1
		}
		var winner uint16
		for i := range accepted {
			s, err := l.AcceptWithin(patience)
			b.Must(err)
			b.Keep(s)
			if i == backlog {
				winner = s.RemoteAddr().(*net.TCPAddr).AddrPort().Port()
			}
			b.Recv(s, 100)
			b.Close(s)
		}
		for _, c := range clients[backlog:] {
			if port := local(c).Port(); port == winner {
				b.labelQueued(port, "Gets the last place in the accept queue.")
			} else {
				b.Label(port)
			}
		}
		for _, c := range clients {
			b.Sleep(200 * time.Millisecond)
			b.Close(c)
		}
	}
}

// labelQueued notes a connection that found room in the accept queue.
func (b *Bench) labelQueued(port uint16, did string) {
	b.LabelAs(port, did)
	b.labels[len(b.labels)-1].Possible = b.Scenario.Possible
}

// race opens connections at once.
func (b *Bench) race(n int) []*net.TCPConn {
	clients, errs := make([]*net.TCPConn, n), make([]error, n)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range n {
		port := b.NextPort()
		wg.Go(func() { clients[i], errs[i] = b.Client.Dial(ctx, port, b.Service()) })
	}
	wg.Wait()
	for i := range n {
		b.Must(errs[i])
		b.Keep(clients[i])
	}
	return clients
}
