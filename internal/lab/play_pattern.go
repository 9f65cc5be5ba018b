//go:build linux

package lab

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// patterns are what only many connections together show.
func patterns() []Scenario {
	return []Scenario{
		{Name: "idle-timeout", Does: "The server closes each of eight connections after it was idle for 2 s; the client closes when it sees that.",
			Expect: []string{"idle-timeout-close"}, Play: playIdleTimeout},
		{Name: "leak-together", Does: "Three hosts close what the server closes, until all of them stop looking at their connections at the same moment.",
			Expect: []string{"fin-unanswered", "synchronized-onset"}, Hosts: leakHosts, Tail: 6 * time.Second, Play: playLeakTogether},
		{Name: "churn", Does: "The client makes 560 short connections, hardly any at the same time, and closes first.",
			Expect: []string{"time-wait-churn"}, Large: true, Play: playChurn},
	}
}

func playIdleTimeout(b *Bench) {
	l := b.Listen(-1)
	var wg sync.WaitGroup
	for i := range 8 {
		if i > 0 {
			b.Sleep(400 * time.Millisecond)
		}
		port := b.NextPort()
		b.Label(port)
		c, s := b.OpenFrom(l, port)
		b.Talk(c, s)
		time.AfterFunc(2*time.Second, func() { s.Close() })
		wg.Go(func() {
			_, _ = io.Copy(io.Discard, c)
			time.Sleep(150 * time.Millisecond)
			c.Close()
		})
	}
	wg.Wait()
	b.Sleep(200 * time.Millisecond)
}

const (
	leakHosts  = 3
	leakBefore = 20 // connections of each host that it closes
	leakAfter  = 5  // and that it forgets
)

// playLeakTogether has the hosts connect in turn, so that each has been well
// for as long as the others when they begin to leak.
func playLeakTogether(b *Bench) {
	l := b.Listen(-1)
	for i := range leakBefore + leakAfter {
		for host := range leakHosts {
			from := netip.AddrPortFrom(b.Client.further(b.Family, host), b.NextPort())
			if i < leakBefore {
				b.labels = append(b.labels, Label{Behaviour: b.Scenario.Name + "/before", Did: "closes when the server has closed",
					Client: from, Server: b.Service()})
			} else {
				b.label(from)
			}
			c, s := b.openAt(l, from)
			b.Talk(c, s)
			b.Close(s)
			if i < leakBefore {
				b.RecvEnd(c)
				b.Close(c)
			}
			b.Sleep(100 * time.Millisecond)
		}
	}
}

// openAt connects from one of the client's addresses and accepts.
func (b *Bench) openAt(l *Listener, from netip.AddrPort) (client, server *net.TCPConn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := b.Client.DialFrom(ctx, from, b.Service())
	b.Must(err)
	b.Keep(client)
	server, err = l.AcceptWithin(patience)
	b.Must(err)
	b.Keep(server)
	return client, server
}

// playChurn needs more room for TIME_WAIT than a namespace's small table gives.
func playChurn(b *Bench) {
	b.Tune(b.Client, "tcp_max_tw_buckets", "4096")
	l := b.Listen(-1)
	for range 560 {
		port := b.NextPort()
		b.Label(port)
		c, s := b.OpenFrom(l, port)
		b.Close(c)
		b.RecvEnd(s)
		b.Close(s)
	}
}
