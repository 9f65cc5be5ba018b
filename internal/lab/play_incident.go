//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// incidents are what brings services down: several causes that meet.
func incidents() []Scenario {
	return []Scenario{
		{Name: Incident, Does: "A load balancer before a database closes what was idle for 3 s. Two hosts with pools close too, until from one moment on both acknowledge and never close.",
			Expect: []string{"fin-unanswered", "synchronized-onset", "idle-timeout-close"}, Hosts: incidentHosts, Large: true,
			Kernel: []string{"client ESTABLISHED>CLOSE_WAIT", "server FIN_WAIT_1>FIN_WAIT_2"}, Tail: incidentIdle + 7*time.Second, Play: playIncident},
	}
}

// Incident is the name of the scenario in which pools on two hosts leak what a
// load balancer closes.
const Incident = "pools-leak"

const (
	incidentHosts = 2
	incidentIdle  = 3 * time.Second        // of the load balancer
	incidentEvery = 300 * time.Millisecond // a host opens a connection
	incidentWell  = 50                     // connections of each host until the pools no longer close
	incidentMore  = 15                     // that each opens then
)

// incident is a run of playIncident.
type incident struct {
	*Bench
	stuck atomic.Bool // the pools no longer look at what was closed

	mu   sync.Mutex
	errs []error
}

func playIncident(b *Bench) {
	s := &incident{Bench: b}
	l := b.Listen(-1)
	var wg, serving sync.WaitGroup
	serving.Go(func() { s.serve(l) })
	for i := range incidentWell + incidentMore {
		if i == incidentWell {
			s.stuck.Store(true)
		}
		for host := range incidentHosts {
			from := netip.AddrPortFrom(b.Client.further(b.Family, host), b.NextPort())
			wg.Go(func() { s.note(s.pooled(from)) })
			b.Sleep(incidentEvery / incidentHosts)
		}
	}
	wg.Wait()
	b.Must(l.Close())
	serving.Wait()
	b.Must(errors.Join(s.errs...))
}

// note keeps the errors of applications.
func (s *incident) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// keep holds on to a socket, and labels the connection where its client says
// what became of it.
func (s *incident) keep(c io.Closer, label ...Label) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Keep(c)
	s.labels = append(s.labels, label...)
}

// The sizes of the messages of a database's protocol: the server speaks first.
const (
	greeting, login, loggedIn = 78, 120, 11
	query, rows               = 143, 122
)

// serve closes what was idle for too long.
func (s *incident) serve(l *Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return // the run is over
		}
		s.keep(c)
		wg.Go(func() {
			defer c.Close()
			if _, err := c.Write(make([]byte, greeting)); err != nil || readIdle(c, login) != nil {
				return
			}
			for answer := loggedIn; ; answer = rows {
				if _, err := c.Write(make([]byte, answer)); err != nil || readIdle(c, query) != nil {
					return
				}
			}
		})
	}
}

// readIdle reads n octets within the load balancer's time.
func readIdle(c net.Conn, n int) error {
	if err := c.SetReadDeadline(time.Now().Add(incidentIdle)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, n))
	return err
}

// pooled is a connection of a pool: used a few times, then idle until the load
// balancer closes it.
func (s *incident) pooled(from netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := s.Client.DialFrom(ctx, from, s.Service())
	if err != nil {
		return err
	}
	if err := converse(c, 1+int(from.Port())%3); err != nil {
		return fmt.Errorf("%v: %w", from, err)
	}
	if n, err := io.Copy(io.Discard, c); err != nil || n > 0 {
		return fmt.Errorf("%v: %d octets that nobody asked for, %w", from, n, err)
	}
	l := Label{Behaviour: s.Scenario.Name, Did: "acknowledges that the server closed, and never closes", Client: from, Server: s.Service(), Expect: s.Scenario.Expect}
	if s.stuck.Load() {
		s.keep(c, l)
		return nil
	}
	l.Behaviour, l.Did, l.Expect = s.Scenario.Name+"/well", "closes when the server has closed", []string{"idle-timeout-close"}
	s.keep(c, l)
	return c.Close()
}

// converse logs in and asks some questions.
func converse(c *net.TCPConn, questions int) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, greeting)); err != nil {
		return err
	}
	for i, ask, answer := 0, login, loggedIn; i <= questions; i, ask, answer = i+1, query, rows {
		if _, err := c.Write(make([]byte, ask)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, make([]byte, answer)); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
