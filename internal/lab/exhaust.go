//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Exhaustion is a run of a client that opens connections to one server at a
// steady rate and closes each at once, until its kernel has no port left.
// Before, it may be slow for a while, at a fiftieth of the rate.
type Exhaustion struct {
	Path          string // of the client's capture, without its ending
	Client        netip.Addr
	Service       netip.AddrPort
	Lo, Hi        uint16        // net.ipv4.ip_local_port_range
	Rate          float64       // connections per second
	Slow          time.Duration // for how long it is slow before
	Opened        int           // before the failure
	Half          int64         // when half of the ports had been used, ns
	HeldAtHalf    int           // sockets that the client's kernel listed then
	Failed        int64         // when connect(2) failed with EADDRNOTAVAIL
	HeldAtFailure int
	LongestLateBy time.Duration // of a connection behind the steady rate
}

const (
	exhaustName = "exhaustion"
	slower      = 50 // times
	// unsteady is how late a connection may be at a rate that is called steady.
	unsteady = 400 * time.Millisecond
	// exhaustAttempts is how often the run is played, on a machine that is too
	// busy for a steady rate.
	exhaustAttempts = 4
)

// persistExhaustion plays a run and writes the client's capture into a folder. It
// is played again, a few times, when connections did not come at a steady rate;
// again lists why. Ports must run out within TIME_WAIT's minute.
func persistExhaustion(dir string, run Exhaustion) (e *Exhaustion, again []string, err error) {
	for range exhaustAttempts {
		e, err = recordExhaustion(dir, run)
		if !errors.As(err, new(missed)) {
			return e, again, err
		}
		again = append(again, fmt.Sprintf("%s: %v", exhaustName, err))
	}
	return nil, again, err
}

func recordExhaustion(dir string, e Exhaustion) (*Exhaustion, error) {
	n, err := NewNetwork(NetworkConfig{Client: Subnet{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:0:2001::/64")},
		OneWay: 200 * time.Microsecond})
	if err != nil {
		return nil, err
	}
	e.Client, e.Path = n.Client.V4, filepath.Join(dir, exhaustName)
	if e.Slow > 0 {
		e.Path += "-slow"
	}
	err = e.play(n)
	return &e, errors.Join(err, n.Close())
}

func (e *Exhaustion) play(n *Network) error {
	for name, value := range map[string]string{
		"ip_local_port_range": fmt.Sprintf("%d %d", e.Lo, e.Hi),
		"tcp_tw_reuse":        "0",
		"tcp_max_tw_buckets":  strconv.Itoa(2 * (int(e.Hi) - int(e.Lo) + 1)), // a namespace's small table would leave room for fewer
	} {
		if err := n.Client.Sysctl("net.ipv4."+name, value); err != nil {
			return err
		}
	}
	l, err := n.Server.Listen(IPv4, servicePort, -1)
	if err != nil {
		return err
	}
	e.Service = l.Addr
	var serving sync.WaitGroup
	serving.Go(func() { closeAtEnd(l) })
	if err = n.Capture(n.Client, e.Path+ClientCapture, labSnaplen); err == nil {
		err = e.connect(n)
	}
	if err == nil {
		err = e.confirm(n)
	}
	err = errors.Join(err, l.Close())
	serving.Wait()
	return err
}

// closeAtEnd is a server that closes each connection when the client has.
func closeAtEnd(l *Listener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return // the run is over
		}
		go func() {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}()
	}
}

// connect opens and closes connections until that fails. The kernel chooses the
// port in connect(2): bind(2) would choose without regard to the destination.
func (e *Exhaustion) connect(n *Network) error {
	d, err := newDiagSocket(n.Client, IPv4)
	if err != nil {
		return err
	}
	defer d.close()
	ports := int(e.Hi) - int(e.Lo) + 1
	begin := time.Now()
	for {
		due := begin.Add(e.due(e.Opened))
		time.Sleep(time.Until(due))
		e.LongestLateBy = max(e.LongestLateBy, time.Since(due))
		err := e.once(n.Client)
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			e.Failed = time.Now().UnixNano()
			e.HeldAtFailure, err = held(d)
			return err
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", e.Opened+1, err)
		}
		if e.Opened++; 2*e.Opened >= ports && e.Half == 0 {
			e.Half = time.Now().UnixNano()
			if e.HeldAtHalf, err = held(d); err != nil {
				return err
			}
		}
		if e.Opened > ports {
			return fmt.Errorf("%d connections from %d ports", e.Opened, ports)
		}
	}
}

// due is when the n-th connection is to be opened, after the beginning.
func (e *Exhaustion) due(n int) time.Duration {
	slow := int(e.Slow.Seconds() * e.Rate / slower)
	if n < slow {
		return time.Duration(float64(n) * slower / e.Rate * float64(time.Second))
	}
	return e.Slow + time.Duration(float64(n-slow)/e.Rate*float64(time.Second))
}

// once opens a connection and closes it.
func (e *Exhaustion) once(h *Host) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	d.SetMultipathTCP(false)
	var c net.Conn
	err := h.ns.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", e.Service.String())
		return err
	})
	if err != nil {
		return err
	}
	return c.Close()
}

// held is how many sockets the kernel lists.
func held(d *diagSocket) (int, error) {
	s, err := d.list()
	return len(s.sockets), err
}

// confirm asks the kernel whether the run was what it is called.
func (e *Exhaustion) confirm(n *Network) error {
	if err := roomForTimeWait(n.Client); err != nil {
		return err
	}
	if ports := int(e.Hi) - int(e.Lo) + 1; e.HeldAtFailure != ports {
		return missed{fmt.Errorf("connect(2) failed with %d sockets on %d ports", e.HeldAtFailure, ports)}
	}
	if e.LongestLateBy > unsteady {
		return missed{fmt.Errorf("a connection came %v late: the rate was not steady", e.LongestLateBy.Round(time.Millisecond))}
	}
	return nil
}

// roomForTimeWait is an error when the kernel had to end TIME_WAITs early.
func roomForTimeWait(h *Host) error {
	n, err := h.counter("netstat", "TcpExt", "TCPTimeWaitOverflow")
	if err == nil && n > 0 {
		err = fmt.Errorf("the %s's kernel had no room for %d sockets in TIME_WAIT", h.Name, n)
	}
	return err
}
