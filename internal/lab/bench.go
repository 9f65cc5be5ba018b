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
	"os"
	"time"
)

// Bench is where a scenario is played: two hosts, the wire, and verbs that end
// the scenario when they fail. Its verbs are called by one goroutine, that of
// Scenario.Play, unless they say otherwise.
type Bench struct {
	*Network
	Take

	last   bool // it is not played again
	stalls *stalls
	tuned  []Tuning
	port   uint16 // the latest of the client's; begins at firstPort
	labels []Label
	// unlabelled are the labels that were taken back.
	unlabelled int
	held       []io.Closer // sockets that applications forgot
	truth      *truth
}

const (
	servicePort = 8000
	patience    = 20 * time.Second // for what must happen soon
)

// failure is what a verb panics with; the runner recovers it.
type failure struct{ error }

// Must ends the scenario when there is an error.
func (b *Bench) Must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Fail ends the scenario.
func (b *Bench) Fail(format string, args ...any) { b.Must(fmt.Errorf(format, args...)) }

// missed is what a scenario fails with when the kernels did not do what it is
// about: it proves nothing about the program and is played again.
type missed struct{ error }

// Missed ends the scenario because it did not set up what its label says.
func (b *Bench) Missed(format string, args ...any) { b.Must(missed{fmt.Errorf(format, args...)}) }

// Counted ends the scenario unless a host's kernel counted an event of
// TcpExt, by its name in /proc/net/netstat, so many times or more.
func (b *Bench) Counted(h *Host, event string, least int) {
	n, err := h.counter("netstat", "TcpExt", event)
	b.Must(err)
	if n < least {
		b.Missed("the %s's kernel counted %s %d times and not %d", h.Name, event, n, least)
	}
}

// Sleep lets time pass.
func (b *Bench) Sleep(d time.Duration) { time.Sleep(d) }

// Tune sets a parameter of a host's TCP, such as "tcp_fin_timeout".
func (b *Bench) Tune(h *Host, name, value string) {
	b.Must(h.Sysctl("net.ipv4."+name, value))
	b.tuned = append(b.tuned, Tuning{h.Name, name, value})
}

// Service is the address on which the server listens.
func (b *Bench) Service() netip.AddrPort {
	return netip.AddrPortFrom(b.Server.Addr(b.Family), servicePort)
}

// NextPort is a port of the client that no connection had. Ports are bound
// before connect(2): the trace would else show SYN_SENT without one.
func (b *Bench) NextPort() uint16 {
	b.port++
	return b.port
}

// firstPort is a random beginning, for the reason for which Tracer.Number is
// random.
func firstPort() uint16 { return uint16(20_000 + 100*rand.IntN(400)) }

// At is an address of the client.
func (b *Bench) At(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(b.Client.Addr(b.Family), port)
}

// Label notes a connection of the scenario with what the scenario expects.
func (b *Bench) Label(port uint16) { b.label(b.At(port)) }

func (b *Bench) label(client netip.AddrPort) {
	s := b.Scenario
	b.labels = append(b.labels, Label{Behaviour: s.Name, Did: s.Does, Client: client,
		Server: b.Service(), Expect: s.Expect, ExpectServer: s.ExpectServer, Possible: s.Possible})
}

// LabelAs notes a connection that only plays a part in the scenario.
func (b *Bench) LabelAs(port uint16, did string, expect ...string) {
	b.labels = append(b.labels, Label{Behaviour: b.Scenario.Name + "/part", Did: did,
		Client: b.At(port), Server: b.Service(), Expect: expect})
}

// Keep holds a socket until the captures are over. Without it the garbage
// collector would close what the applications of a scenario forget.
func (b *Bench) Keep(c io.Closer) { b.held = append(b.held, c) }

// Listen opens the service; see Host.Listen.
func (b *Bench) Listen(backlog int, opts ...Option) *Listener {
	l, err := b.Server.Listen(b.Family, servicePort, backlog, opts...)
	b.Must(err)
	b.Keep(l)
	return l
}

// Connect is the client's side alone: it may fail.
func (b *Bench) Connect(port uint16, wait time.Duration, opts ...Option) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := b.Client.Dial(ctx, port, b.Service(), opts...)
	if err == nil {
		b.Keep(c)
	}
	return c, err
}

// OpenFrom connects from a port to a listener and accepts.
func (b *Bench) OpenFrom(l *Listener, port uint16, opts ...Option) (client, server *net.TCPConn) {
	client, err := b.Connect(port, patience, opts...)
	b.Must(err)
	server, err = l.AcceptWithin(patience)
	b.Must(err)
	b.Keep(server)
	return client, server
}

// Open is a connection of the scenario: labelled, established and accepted.
func (b *Bench) Open(opts ...Option) (client, server *net.TCPConn) {
	port := b.NextPort()
	b.Label(port)
	return b.OpenFrom(b.Listen(-1), port, opts...)
}

// Talk has the client ask and the server answer.
func (b *Bench) Talk(client, server net.Conn) {
	b.Send(client, 100)
	b.Recv(server, 100)
	b.Send(server, 300)
	b.Recv(client, 300)
}

// Send writes n octets.
func (b *Bench) Send(c net.Conn, n int) {
	_, err := c.Write(make([]byte, n))
	b.Must(err)
}

// Recv reads n octets.
func (b *Bench) Recv(c net.Conn, n int) {
	b.Must(c.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.ReadFull(c, make([]byte, n))
	b.Must(err)
}

// RecvEnd reads until the peer's end and drops what comes before it.
func (b *Bench) RecvEnd(c net.Conn) {
	b.Must(c.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, c)
	b.Must(err)
}

// RecvError waits until a connection fails, and returns the error.
func (b *Bench) RecvError(c net.Conn, wait time.Duration) error {
	b.Must(c.SetReadDeadline(time.Now().Add(wait)))
	_, err := io.Copy(io.Discard, c)
	if err == nil {
		b.Fail("an end where a failure was expected")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.Fail("the connection did not fail within %v", wait)
	}
	return err
}

// RecvReset waits until the peer resets the connection.
func (b *Bench) RecvReset(c net.Conn) {
	if err := b.RecvError(c, patience); !wasReset(err) {
		b.Fail("not a reset: %w", err)
	}
}

// Shut ends the writing side: shutdown(SHUT_WR).
func (b *Bench) Shut(c *net.TCPConn) { b.Must(c.CloseWrite()) }

// Close closes both sides.
func (b *Bench) Close(c *net.TCPConn) { b.Must(c.Close()) }

// CloseClientFirst closes the client, and the server once it has seen the end.
func (b *Bench) CloseClientFirst(client, server *net.TCPConn) { b.closeInTurn(client, server) }

// CloseServerFirst closes the server, and the client once it has seen the end.
func (b *Bench) CloseServerFirst(client, server *net.TCPConn) { b.closeInTurn(server, client) }

// closeInTurn leaves room for the acknowledgement of the first FIN, which the
// kernel may hold back for 40 ms.
func (b *Bench) closeInTurn(first, second *net.TCPConn) {
	b.Close(first)
	b.RecvEnd(second)
	b.Sleep(150 * time.Millisecond)
	b.Close(second)
	b.Sleep(100 * time.Millisecond)
}
