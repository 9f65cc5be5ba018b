//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Option sets a socket up before it is bound; fd is the socket.
type Option func(fd int) error

// SockOpt is the option that sets an integer, as setsockopt(2) does.
func SockOpt(level, name, value int) Option {
	return func(fd int) error { return unix.SetsockoptInt(fd, level, name, value) }
}

// control runs the options on a socket that is about to be bound. Addresses
// may be bound again while TIME_WAIT still holds them.
func control(opts []Option) func(string, string, syscall.RawConn) error {
	opts = append([]Option{SockOpt(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)}, opts...)
	return func(_, _ string, raw syscall.RawConn) error { return apply(raw, opts) }
}

func apply(raw syscall.RawConn, opts []Option) error {
	var errs []error
	err := raw.Control(func(fd uintptr) {
		for _, o := range opts {
			errs = append(errs, o(int(fd)))
		}
	})
	return errors.Join(append(errs, err)...)
}

// SetOption sets an option of a connected socket.
func SetOption(c *net.TCPConn, opts ...Option) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return apply(raw, opts)
}

// Listener is a listening socket of a host.
type Listener struct {
	*net.TCPListener
	Addr netip.AddrPort
}

// Listen opens a listening socket on a port of the host. A negative backlog
// is the system's largest; zero leaves room for one connection.
func (h *Host) Listen(f Family, port uint16, backlog int, opts ...Option) (*Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: control(opts)}
	lc.SetMultipathTCP(false)
	addr := netip.AddrPortFrom(h.Addr(f), port)
	var l net.Listener
	err := h.ns.Do(func() (err error) {
		l, err = lc.Listen(context.Background(), "tcp", addr.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	tl := l.(*net.TCPListener)
	if backlog >= 0 { // listen(2) again changes the backlog
		raw, err := tl.SyscallConn()
		if err == nil {
			err = apply(raw, []Option{func(fd int) error { return unix.Listen(fd, backlog) }})
		}
		if err != nil {
			return nil, fmt.Errorf("%s: backlog of %s: %w", h.Name, addr, err)
		}
	}
	return &Listener{tl, addr}, nil
}

// AcceptWithin accepts a connection that is there before the time is over.
func (l *Listener) AcceptWithin(d time.Duration) (*net.TCPConn, error) {
	if err := l.SetDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	return l.AcceptTCP()
}

// Dial connects from a port of the host (0: the kernel chooses), without
// keepalives, and gives up when the context ends.
func (h *Host) Dial(ctx context.Context, port uint16, to netip.AddrPort, opts ...Option) (*net.TCPConn, error) {
	local := h.V4
	if to.Addr().Is6() {
		local = h.V6
	}
	return h.DialFrom(ctx, netip.AddrPortFrom(local, port), to, opts...)
}

// DialFrom is Dial from one of the host's addresses.
func (h *Host) DialFrom(ctx context.Context, from, to netip.AddrPort, opts ...Option) (*net.TCPConn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(from),
		KeepAlive: -1,
		Control:   control(opts),
	}
	var c net.Conn
	err := h.ns.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	return c.(*net.TCPConn), nil
}

// Abort closes a connection with a reset (SO_LINGER with a time of zero).
func Abort(c *net.TCPConn) error {
	return errors.Join(c.SetLinger(0), c.Close())
}

// wasReset reports whether an error says that the peer reset the connection.
func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
