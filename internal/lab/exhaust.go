//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/fsm"
)

// Exhaustion is a run of a client that opens connections to one server at a
// steady rate and closes each at once, until its kernel has no port left.
// Before, it may be slow for a while, at a fiftieth of the rate.
type Exhaustion struct {
	Path    string // of the client's capture, without its ending
	Client  netip.Addr
	Service netip.AddrPort
	Lo, Hi  uint16        // net.ipv4.ip_local_port_range
	Rate    float64       // connections per second
	Slow    time.Duration // for how long it is slow before
	Opened  int           // before the failure
	// Half is when half of the ports had been used, ns: then a listing of the
	// client's sockets began, which ended at HalfListed. HeldAtHalf is how many
	// there were that had been open.
	Half, HalfListed int64
	HeldAtHalf       int
	Failed           int64         // when connect(2) failed with EADDRNOTAVAIL
	End              int64         // when the last connection was closed
	HeldAtEnd        int           // sockets that the client's kernel listed then
	LongestLateBy    time.Duration // of a connection behind the steady rate
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
		again = append(again, err.Error())
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
	if err = errors.Join(err, n.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", exhaustName, err)
	}
	return &e, nil
}

func (e *Exhaustion) play(n *Network) error {
	for name, value := range map[string]string{
		"ip_local_port_range": fmt.Sprintf("%d %d", e.Lo, e.Hi),
		"tcp_tw_reuse":        "0",
		"tcp_max_tw_buckets":  strconv.Itoa(2 * e.ports()), // a namespace's small table would leave room for fewer
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

// connect opens connections at the rate until that fails; closers close them.
func (e *Exhaustion) connect(n *Network) error {
	d, err := newDiagSocket(n.Client, IPv4)
	if err != nil {
		return err
	}
	defer d.close()
	c := closers{}
	err = n.Client.ns.Do(func() error { return e.pace(d, &c) })
	c.wg.Wait()
	if err = errors.Join(err, c.failed()); err != nil {
		return err
	}
	s, err := d.list()
	e.HeldAtEnd, e.End = len(s.sockets), s.after
	return err
}

// pace runs in the client's namespace.
func (e *Exhaustion) pace(d *diagSocket, c *closers) error {
	ports := e.ports()
	for begin := time.Now(); e.Opened <= ports; {
		due := begin.Add(e.due(e.Opened))
		time.Sleep(time.Until(due))
		e.LongestLateBy = max(e.LongestLateBy, time.Since(due))
		fd, err := e.begin()
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			e.Failed = time.Now().UnixNano()
			return nil
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", e.Opened+1, err)
		}
		c.take(fd)
		if e.Opened++; 2*e.Opened >= ports && e.Half == 0 {
			if err := e.half(d); err != nil {
				return err
			}
		}
	}
	return missed{fmt.Errorf("%d connections from %d ports: the first were free again", e.Opened, ports)}
}

func (e *Exhaustion) ports() int { return int(e.Hi) - int(e.Lo) + 1 }

// half notes how many connections the kernel holds that have been open.
func (e *Exhaustion) half(d *diagSocket) error {
	s, err := d.list()
	for _, st := range s.sockets {
		if st.state != fsm.SynSent {
			e.HeldAtHalf++
		}
	}
	e.Half, e.HalfListed = s.before, s.after
	return err
}

// begin begins a connection, and does not wait for it. The kernel chooses the
// port in connect(2), and says at once when it has none: bind(2) would choose
// without regard to the destination.
func (e *Exhaustion) begin() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(e.Service.Port()), Addr: e.Service.Addr().As4()})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// closers wait until connections are open, and close them.
type closers struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

// take closes a connection as soon as it is open.
func (c *closers) take(fd int) {
	c.wg.Go(func() {
		if err := errors.Join(opened(fd), unix.Close(fd)); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.errs = append(c.errs, err)
		}
	})
}

// failed are the connections that did not open; what is wrong with the first
// stands for all.
func (c *closers) failed() error {
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d connections did not open: %w", len(c.errs), c.errs[0])
}

// opened waits until a connection is open.
func opened(fd int) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(err, errors.New("it takes too long"))
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}
	return errors.New("it takes too long")
}

// due is when the n-th connection is to be opened, after the beginning.
func (e *Exhaustion) due(n int) time.Duration {
	slow := int(e.Slow.Seconds() * e.Rate / slower)
	if n < slow {
		return time.Duration(float64(n) * slower / e.Rate * float64(time.Second))
	}
	return e.Slow + time.Duration(float64(n-slow)/e.Rate*float64(time.Second))
}

// confirm asks the kernel whether the run was what it is called.
func (e *Exhaustion) confirm(n *Network) error {
	if err := roomForTimeWait(n.Client); err != nil {
		return err
	}
	if e.HeldAtEnd != e.ports() {
		return missed{fmt.Errorf("connect(2) failed with %d sockets on %d ports", e.HeldAtEnd, e.ports())}
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
