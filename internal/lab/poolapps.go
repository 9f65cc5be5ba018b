//go:build linux

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// behaviour is what the client does with some of the connections.
type behaviour struct {
	name   string
	count  int
	does   string
	expect []string
	run    func(s *visit) error
}

// closesByRequest is what a client does in two of the behaviours.
const closesByRequest = "asks the service to close after its answer, and closes too"

func poolBehaviours() []behaviour {
	idle := "idle-timeout-close"
	return []behaviour{
		{"client-closes", 150, "uses the connection and closes it", nil, clientCloses},
		{"server-closes", 60, closesByRequest, nil, serverCloses},
		{"idle-closed", 40, "leaves the connection idle until the service closes it, and closes too", []string{idle}, idleClosed},
		{"leak", 24, "leaves the connection idle and never looks at it again", []string{"fin-unanswered", idle}, leak},
		{"stale-write", 5, "writes to a connection that the service closed as idle", []string{"write-after-fin", idle}, staleWrite},
		{"abort", 8, "sends a message that needs no answer and aborts with SO_LINGER 0", []string{"abortive-close"}, abort},
		{"unread", 6, "closes without having read the answer", []string{"rst-unread-data"}, unread},
		{"refused", 6, "connects to a port on which nothing listens", []string{"connection-refused"}, refused},
		{"final-ack-lost", 5, "closes; its last ACK is lost once on the wire", []string{"last-ack-lost"}, finalAckLost(1)},
		{"final-ack-lost-often", 2, "closes; its last ACK is lost five times on the wire", []string{"last-ack-lost"}, finalAckLost(5)},
		{"syn-lost", 2, "connects; its first SYN is lost on the wire", []string{"syn-retransmitted"}, synLost},
		{"steady", 2, "keeps the connection in use beyond the end of the capture", nil, steady},
		{"reused-tuple", 1, "connects from the port of a connection that the service closed 5 s ago", []string{"tuple-reused"}, reuseTuple},
	}
}

// serve is the service: it answers each line, closes after a line "bye" and
// closes what was idle too long.
func (p *pool) serve(l *Listener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return // the demonstration is over
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				if err := c.SetReadDeadline(time.Now().Add(poolIdle)); err != nil {
					return
				}
				line, err := r.ReadString('\n')
				if err != nil {
					return // the client's end, its reset, or idle too long
				}
				if line == "note\n" {
					continue
				}
				p.pause(time.Millisecond, 15*time.Millisecond)
				if _, err := fmt.Fprintf(c, "ok %s %s\n", strings.TrimSpace(line), strings.Repeat("x", 40)); err != nil {
					return
				}
				if line == "bye\n" {
					return
				}
			}
		}()
	}
}

// ask sends one request and reads the answer.
func ask(c net.Conn, request string) error {
	if _, err := fmt.Fprintln(c, request); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

// use asks a few times, as the user of a connection would.
func (s *visit) use(c net.Conn) error {
	for i := range 1 + int(s.port)/2%3 {
		if err := ask(c, fmt.Sprintf("order %d", i)); err != nil {
			return err
		}
		s.pause(5*time.Millisecond, 60*time.Millisecond)
	}
	return nil
}

// open connects and uses the connection.
func (s *visit) open() (*net.TCPConn, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	return c, s.use(c)
}

// readEnd waits until the service has closed its side.
func readEnd(c net.Conn) error {
	n, err := io.Copy(io.Discard, c)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d octets that nobody asked for", n)
	}
	return err
}

func clientCloses(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	return c.Close()
}

func serverCloses(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	if err := errors.Join(ask(c, "bye"), readEnd(c)); err != nil {
		return err
	}
	s.pause(time.Millisecond, 20*time.Millisecond)
	return c.Close()
}

func idleClosed(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	if err := readEnd(c); err != nil {
		return err
	}
	s.pause(5*time.Millisecond, 30*time.Millisecond)
	return c.Close()
}

func leak(s *visit) error {
	c, err := s.open()
	if err == nil {
		s.keep(c)
	}
	return err
}

func staleWrite(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	time.Sleep(poolIdle + 700*time.Millisecond)
	if _, err := fmt.Fprintln(c, "order late"); err != nil {
		return err // the first write succeeds: the reset comes after it
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !wasReset(err) {
		return fmt.Errorf("read after the reset: %v", err)
	}
	return c.Close()
}

func abort(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, "note"); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	return Abort(c)
}

func unread(s *visit) error {
	c, err := s.open()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, "report"); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	return c.Close()
}

func refused(s *visit) error {
	to := s.server(poolClosed)
	_, err := s.net.Client.Dial(s.end, s.port, to)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("not refused: %v", err)
	}
	s.label(to)
	return nil
}

func finalAckLost(times int) func(*visit) error {
	return func(s *visit) error {
		c, err := s.open()
		if err != nil {
			return err
		}
		s.net.Wire.Add(DropFirst(times, func(f *Frame) bool {
			return f.Src.Port() == s.port && f.PureACK() && f.AcksFIN
		}))
		return c.Close()
	}
}

func synLost(s *visit) error {
	s.net.Wire.Add(DropFirst(1, func(f *Frame) bool {
		return f.Src.Port() == s.port && f.Flags.Has(tcp.SYN)
	}))
	c, err := s.dial()
	if err != nil {
		return err
	}
	return errors.Join(s.use(c), c.Close())
}

func steady(s *visit) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	s.keep(c)
	for s.end.Err() == nil {
		if err := ask(c, "ping"); err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	return nil
}

// reuseTuple labels only its second connection as what it is: its first is
// one that the service closes.
func reuseTuple(s *visit) error {
	first := *s
	first.name, first.does, first.expect = "server-closes", closesByRequest, nil
	if err := first.closedByService(); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	return s.closedByService()
}

func (s *visit) closedByService() error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	return errors.Join(ask(c, "bye"), readEnd(c), c.Close())
}
