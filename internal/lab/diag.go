//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/fsm"
)

// sample is what sock_diag(7) listed of one host at one time: every socket
// that is not listening, the small ones of TIME_WAIT, FIN_WAIT_2 and
// connection requests included.
type sample struct {
	before, after int64 // CLOCK_REALTIME around the listing, ns
	sockets       map[connection]socketState
}

// connection is a four-tuple as one host sees it.
type connection struct{ local, remote netip.AddrPort }

type socketState struct {
	state fsm.State
	// expires is when a TIME_WAIT or FIN_WAIT_2 without a full socket ends,
	// CLOCK_REALTIME in ns; 0 for other sockets.
	expires int64
}

// Of linux/inet_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	diagRequestLen   = 56 // struct inet_diag_req_v2
	diagMessageLen   = 72 // struct inet_diag_msg
	diagTimerTW      = 3  // idiag_timer of a socket without a full one
)

// diagStates are the kernel's state numbers (net/tcp_states.h).
var diagStates = [...]fsm.State{1: fsm.Established, 2: fsm.SynSent, 3: fsm.SynRcvd,
	4: fsm.FinWait1, 5: fsm.FinWait2, 6: fsm.TimeWait, 7: fsm.Closed, 8: fsm.CloseWait,
	9: fsm.LastAck, 10: fsm.Listen, 11: fsm.Closing, 12: fsm.SynRcvd}

// diagSocket asks the kernel of one namespace for its sockets.
type diagSocket struct {
	fd     int
	family Family
	buf    []byte
}

func newDiagSocket(h *Host, f Family) (*diagSocket, error) {
	d := &diagSocket{family: f, buf: make([]byte, 1<<17)}
	err := h.ns.Do(func() (err error) {
		d.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: opening a sock_diag socket: %w", h.Name, err)
	}
	return d, nil
}

func (d *diagSocket) close() error { return unix.Close(d.fd) }

// list takes a sample.
func (d *diagSocket) list() (sample, error) {
	s := sample{before: time.Now().UnixNano(), sockets: map[connection]socketState{}}
	if err := unix.Sendto(d.fd, d.request(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return s, fmt.Errorf("asking sock_diag: %w", err)
	}
	for done := false; !done; {
		n, _, err := unix.Recvfrom(d.fd, d.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			done, err = s.read(d.buf[:n])
		}
		if err != nil {
			return s, fmt.Errorf("reading sock_diag: %w", err)
		}
	}
	s.after = time.Now().UnixNano()
	return s, nil
}

// request asks for the sockets of the family in every state but LISTEN.
func (d *diagSocket) request() []byte {
	family := byte(unix.AF_INET)
	if d.family == IPv6 {
		family = unix.AF_INET6
	}
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, unix.NLMSG_HDRLEN+diagRequestLen)
	b = ne.AppendUint16(b, sockDiagByFamily)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = ne.AppendUint64(b, 0) // sequence, port
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = ne.AppendUint32(b, (1<<len(diagStates)-1)&^(1<<10))
	return append(b, make([]byte, unix.NLMSG_HDRLEN+diagRequestLen-len(b))...)
}

// read takes the messages of one answer and reports whether it was the last.
func (s *sample) read(b []byte) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		size, kind := int(ne.Uint32(b)), ne.Uint16(b[4:])
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return false, fmt.Errorf("a message of %d octets in %d", size, len(b))
		}
		body := b[unix.NLMSG_HDRLEN:size]
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return false, errors.New("a short error")
			}
			return false, unix.Errno(-int32(ne.Uint32(body)))
		case sockDiagByFamily:
			if err := s.add(body); err != nil {
				return false, err
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

// add takes one struct inet_diag_msg.
func (s *sample) add(m []byte) error {
	if len(m) < diagMessageLen {
		return fmt.Errorf("a socket of %d octets", len(m))
	}
	if int(m[1]) >= len(diagStates) || diagStates[m[1]] == 0 {
		return fmt.Errorf("socket state %d", m[1])
	}
	size := 4
	if m[0] == unix.AF_INET6 {
		size = 16
	}
	src, _ := netip.AddrFromSlice(m[8 : 8+size])
	dst, _ := netip.AddrFromSlice(m[24 : 24+size])
	c := connection{
		local:  netip.AddrPortFrom(src, binary.BigEndian.Uint16(m[4:])),
		remote: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(m[6:])),
	}
	st := socketState{state: diagStates[m[1]]}
	if m[2] == diagTimerTW {
		left := time.Duration(binary.NativeEndian.Uint32(m[52:])) * time.Millisecond
		st.expires = s.before + int64(left)
	}
	s.sockets[c] = st
	return nil
}
