//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The demonstration: clients of a service that closes connections which were
// idle for two seconds. One code path of the client forgets such a connection
// instead of closing it.
const (
	poolIdle      = 2 * time.Second
	poolRamp      = 30 * time.Second // while connections begin
	poolTail      = 68 * time.Second // more than a minute beyond the last of them
	poolPort      = 7306
	poolFirstPort = 41200 // of the clients
	poolClosed    = 7307  // nothing listens here
	poolSnaplen   = 128
	poolEveryV6   = 8 // one connection in so many runs over IPv6
)

// pool is one run of the demonstration.
type pool struct {
	net *Network
	end context.Context // over when the capture ends

	mu     sync.Mutex
	rng    *rand.Rand
	held   []io.Closer // connections that nobody closes
	labels []Label
}

// RecordPool plays the demonstration and writes the capture of the client's
// interface to path, and beside it, with the extension ".labels.jsonl", a
// Label for each connection. The seed decides order and pauses. It takes a
// minute and three quarters.
func RecordPool(path string, seed uint64) error {
	n, err := NewNetwork(NetworkConfig{
		Client: Subnet{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:0:7306::/64")},
		OneWay: 900 * time.Microsecond,
	})
	if err != nil {
		return err
	}
	end, stop := context.WithTimeout(context.Background(), poolRamp+poolIdle+poolTail)
	defer stop()
	p := &pool{net: n, end: end, rng: rand.New(rand.NewPCG(seed, 0))}
	err = errors.Join(p.play(path), n.Close(), release(p.held))
	if err != nil {
		return err
	}
	slices.SortStableFunc(p.labels, func(a, b Label) int { return a.Client.Compare(b.Client) })
	return WriteLabels(strings.TrimSuffix(path, filepath.Ext(path))+".labels.jsonl", p.labels)
}

func (p *pool) play(path string) error {
	for _, f := range []Family{IPv4, IPv6} {
		l, err := p.net.Server.Listen(f, poolPort, -1)
		if err != nil {
			return err
		}
		defer l.Close()
		go p.serve(l)
	}
	if err := p.net.Capture(p.net.Client, path, poolSnaplen); err != nil {
		return err
	}
	jobs := p.jobs()
	failed := make(chan error, len(jobs))
	for i, j := range jobs {
		at := poolRamp * time.Duration(i) / time.Duration(len(jobs))
		time.AfterFunc(at, func() { failed <- j.run() })
	}
	var errs []error
	for range jobs {
		errs = append(errs, <-failed)
	}
	<-p.end.Done()
	return errors.Join(errs...)
}

// jobs is what the clients do, in the order in which they begin.
func (p *pool) jobs() []*visit {
	var jobs []*visit
	for _, b := range poolBehaviours() {
		for i := range b.count {
			f := IPv4
			if i%poolEveryV6 == 1 {
				f = IPv6
			}
			jobs = append(jobs, &visit{pool: p, behaviour: b, family: f})
		}
	}
	p.rng.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
	// The kernel's own choice would now and then use a tuple a second time.
	for i, j := range jobs {
		j.port = uint16(poolFirstPort + 2*i)
	}
	return jobs
}

// pause sleeps for a random time between two bounds.
func (p *pool) pause(from, to time.Duration) {
	p.mu.Lock()
	d := from + time.Duration(p.rng.Int64N(int64(to-from)))
	p.mu.Unlock()
	time.Sleep(d)
}

// keep holds on to a connection that the application forgets.
func (p *pool) keep(c io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, c)
}

// visit is the client's part in one connection.
type visit struct {
	*pool
	behaviour
	family Family
	port   uint16 // which no other visit uses
}

func (s *visit) run() error {
	if err := s.behaviour.run(s); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// server is the service's address, or a closed port of the same host.
func (s *visit) server(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(s.net.Server.Addr(s.family), port)
}

// dial connects to the service and labels the connection.
func (s *visit) dial() (*net.TCPConn, error) {
	to := s.server(poolPort)
	c, err := s.net.Client.Dial(s.end, s.port, to)
	if err != nil {
		return nil, err
	}
	s.label(to)
	return c, nil
}

// label notes the connection; the second connection of a tuple comes after the
// first.
func (s *visit) label(server netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels = append(s.labels, Label{Behaviour: s.name, Did: s.does, Expect: s.expect,
		Client: netip.AddrPortFrom(s.net.Client.Addr(s.family), s.port), Server: server})
}
