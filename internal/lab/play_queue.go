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
		{Name: "accept-queue-syn-dropped", Does: "Two connections fill the queue; the server's kernel takes what they ask and ignores the SYNs of two others, until the application accepts 4 s later.",
			Expect: expect, Possible: []string{"syn-retransmitted"}, Play: playQueueFullSYN},
		{Name: "accept-queue-ack-ignored", Does: "Three handshakes at once for the last place: two third ACKs are ignored, until the application accepts 2.5 s later.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(2, "0")},
		{Name: "accept-queue-abort", Does: "Three handshakes at once for the last place, and tcp_abort_on_overflow: two third ACKs are answered with RST.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(2, "1")},
		{Name: "accept-queue-cookies", Does: "Three handshakes at once for the only place: two get SYN cookies, and their third ACKs are ignored, until the application accepts 2.5 s later.",
			Expect: expect, Possible: late, OneWay: 50 * time.Millisecond, Play: playQueueRace(0, "0")},
	}
}

// playQueueFullSYN has those that wait ask a second time while the SYNs are
// ignored: that the kernel takes it shows that host and path are well.
func playQueueFullSYN(b *Bench) {
	l := b.Listen(1)
	var waiting []*net.TCPConn
	for range 2 {
		port := b.NextPort()
		b.labelQueued(port, "Waits in the accept queue for 4 s.")
		c, err := b.Connect(port, patience)
		b.Must(err)
		b.Send(c, 100)
		waiting = append(waiting, c)
		b.Sleep(100 * time.Millisecond)
	}
	b.Sleep(300 * time.Millisecond) // so that it is not the same moment
	late, errs := make([]*net.TCPConn, 2), make([]error, 2)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range late {
		port := b.NextPort()
		b.Label(port)
		wg.Go(func() { late[i], errs[i] = b.Client.Dial(ctx, port, b.Service()) })
	}
	for range 2 {
		b.Sleep(1500 * time.Millisecond)
		for _, c := range waiting {
			b.Send(c, 100)
		}
	}
	b.Sleep(600 * time.Millisecond)
	b.Counted(b.Server, "ListenOverflows", 4)
	for _, c := range waiting { // they were queued in that order
		s, err := l.AcceptWithin(patience)
		b.Must(err)
		b.Keep(s)
		b.Recv(s, 300)
		b.Send(s, 300)
		b.Recv(c, 300)
		b.CloseClientFirst(c, s)
	}
	wg.Wait()
	for i, c := range late {
		b.Must(errs[i])
		b.Keep(c)
		s, err := l.AcceptWithin(patience)
		b.Must(err)
		b.Keep(s)
		b.Close(s)
	}
	for _, c := range late {
		b.Close(c)
	}
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
		b.Counted(b.Server, "ListenOverflows", 1)
		if backlog == 0 {
			b.Counted(b.Server, "SyncookiesSent", 2)
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
