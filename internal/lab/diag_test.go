//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/fsm"
)

// message is a netlink message, padded to four octets.
func message(kind uint16, body []byte) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = ne.AppendUint16(b, kind)
	b = append(b, make([]byte, unix.NLMSG_HDRLEN-len(b))...)
	b = append(b, body...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// diagMessage is a struct inet_diag_msg.
func diagMessage(family, state, timer byte, src, dst netip.AddrPort, expires uint32) []byte {
	m := make([]byte, diagMessageLen)
	m[0], m[1], m[2] = family, state, timer
	binary.BigEndian.PutUint16(m[4:], src.Port())
	binary.BigEndian.PutUint16(m[6:], dst.Port())
	copy(m[8:], src.Addr().AsSlice())
	copy(m[24:], dst.Addr().AsSlice())
	binary.NativeEndian.PutUint32(m[52:], expires)
	return m
}

func TestReadSample(t *testing.T) {
	ap := netip.MustParseAddrPort
	four := connection{ap("10.1.0.5:8000"), ap("10.1.0.11:40001")}
	six := connection{ap("[2001:db8::5]:8000"), ap("[2001:db8::b]:40001")}
	answer := append(
		message(sockDiagByFamily, append(diagMessage(unix.AF_INET, 6, diagTimerTW, four.local, four.remote, 59_000), 1, 2, 3)),
		message(sockDiagByFamily, diagMessage(unix.AF_INET6, 8, 0, six.local, six.remote, 0))...)
	s := sample{before: 1_000, sockets: map[connection]socketState{}}
	if done, err := s.read(answer); done || err != nil {
		t.Fatal(done, err)
	}
	want := map[connection]socketState{four: {fsm.TimeWait, 1_000 + 59_000*ms}, six: {fsm.CloseWait, 0}}
	if len(s.sockets) != 2 || s.sockets[four] != want[four] || s.sockets[six] != want[six] {
		t.Errorf("got %v, want %v", s.sockets, want)
	}
	if done, err := s.read(message(unix.NLMSG_DONE, make([]byte, 4))); !done || err != nil {
		t.Errorf("the end: %v, %v", done, err)
	}
	for n := range answer { // whatever is cut off
		if done, _ := s.read(answer[:n]); done {
			t.Errorf("%d octets are an end", n)
		}
	}
}

func TestReadSampleRefuses(t *testing.T) {
	zero := netip.MustParseAddrPort("10.0.0.1:1")
	tooLong := message(sockDiagByFamily, nil)
	binary.NativeEndian.PutUint32(tooLong, 1<<20)
	for name, b := range map[string][]byte{
		"permission denied":       message(unix.NLMSG_ERROR, binary.NativeEndian.AppendUint32(nil, ^uint32(unix.EPERM)+1)),
		"an error without number": message(unix.NLMSG_ERROR, nil),
		"half a socket":           message(sockDiagByFamily, make([]byte, diagMessageLen/2)),
		"an unknown state":        message(sockDiagByFamily, diagMessage(unix.AF_INET, 99, 0, zero, zero, 0)),
		"a length beyond the end": tooLong,
	} {
		s := sample{sockets: map[connection]socketState{}}
		if _, err := s.read(b); err == nil {
			t.Errorf("%s gives no error", name)
		}
	}
}

// A listing that took long read the timers at a time that is not known: neither
// it nor the next one shows restarts that were none.
func TestSlowListingIsNoRestart(t *testing.T) {
	c := connection{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")}
	const second = int64(time.Second)
	at := func(before, took, expires int64) sample {
		return sample{before: before, after: before + took, sockets: map[connection]socketState{c: {fsm.TimeWait, expires}}}
	}
	for _, tt := range []struct {
		name    string
		samples []sample
		want    int // observations that tell of a later timer
	}{
		{"slow, as seen late", []sample{at(1*second, 10, 60*second), at(2*second, second, 59*second+1), at(4*second, 10, 60*second)}, 0},
		{"slow, as seen at once", []sample{at(1*second, 10, 60*second), at(2*second, second, 60*second), at(4*second, 10, 60*second)}, 0},
		{"slow at first", []sample{at(2*second, second, 59*second+1), at(4*second, 10, 60*second)}, 0},
		{"a restart before a slow one", []sample{at(1*second, 10, 60*second), at(2*second, second, 61*second+1), at(4*second, 10, 62*second)}, 1},
		{"a restart", []sample{at(1*second, 10, 60*second), at(3*second, 10, 62*second)}, 1},
	} {
		var h history
		for _, s := range tt.samples {
			h.add(s)
		}
		n := 0
		for i, o := range h.seen[c][1:] {
			if o.expires > h.seen[c][i].expires {
				n++
			}
		}
		if n != tt.want {
			t.Errorf("%s: %d restarts, want %d", tt.name, n, tt.want)
		}
	}
}
