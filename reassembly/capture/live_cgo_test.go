//go:build cgo

package capture

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcap"
)

// needRoot skips a test that has to capture.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("live capture needs root; run the test as root to see it")
	}
}

// talk exchanges messages over a TCP connection on the loopback interface and
// returns the server's port.
func talk(t *testing.T, messages int) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			c.Close()
		}
		done <- err
	}()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	for i := range messages {
		fmt.Fprintf(c, "%04d", i)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return l.Addr().(*net.TCPAddr).Port
}

// segments sums up the frames of one TCP port: SYNs, FINs and how often each
// payload was seen.
type segments struct {
	syn, fin int
	data     map[string]int
}

// add looks at a frame on Ethernet or Linux cooked.
func (s *segments) add(f *Frame, port int) {
	ip := f.Data[map[uint16]int{1: 14, 113: 16}[f.LinkType]:]
	if ip[0]>>4 != 4 || ip[9] != 6 {
		return
	}
	tcp := ip[int(ip[0]&15)*4 : be.Uint16(ip[2:])]
	if int(be.Uint16(tcp)) != port && int(be.Uint16(tcp[2:])) != port {
		return
	}
	s.syn += int(tcp[13] >> 1 & 1)
	s.fin += int(tcp[13] & 1)
	if data := string(tcp[tcp[12]>>4*4:]); data != "" {
		s.data[data]++
	}
}

// What is sent over the loopback interface is captured whole, in order, with
// numbers from 1; also on "any", and on both at once.
func TestLive(t *testing.T) {
	needRoot(t)
	const messages = 200
	for _, ifaces := range [][]string{{"lo"}, {"any"}, {"lo", "any"}} {
		t.Run(strings.Join(ifaces, " "), func(t *testing.T) {
			start := time.Now().UnixNano()
			l, err := OpenLive(ifaces, LiveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			port := talk(t, messages)
			l.Stop()
			seen := make([]segments, len(ifaces))
			numbers := make([]uint64, len(ifaces))
			for i := range seen {
				seen[i].data = map[string]int{}
			}
			last := start
			var f Frame
			for {
				err := l.Next(&f)
				if err == io.EOF {
					break
				}
				if err == ErrIdle {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if numbers[f.File]++; f.Number != numbers[f.File] {
					t.Fatalf("frame %d, want %d", f.Number, numbers[f.File])
				}
				if f.At < last || f.At > time.Now().UnixNano() {
					t.Errorf("frame %d at %d after one at %d", f.Number, f.At, last)
				}
				last = f.At
				seen[f.File].add(&f, port)
			}
			for i, s := range seen {
				if s.syn != 2 || s.fin != 2 || len(s.data) != messages {
					t.Errorf("%s: %d SYNs, %d FINs, %d of %d messages", ifaces[i], s.syn, s.fin, len(s.data), messages)
				}
				for m, n := range s.data {
					if n != 2 { // there and back
						t.Errorf("%s: %q was seen %d times", ifaces[i], m, n)
					}
				}
				info := l.Infos()[i]
				if info.Packets != numbers[i] || info.Drops != 0 || info.Name != ifaces[i] || info.Format != "live" ||
					info.SnapLen != defaultSnaplen || info.First < start || info.Last < info.First || info.Damage != nil {
					t.Errorf("info %+v", info)
				}
				if want := map[string]uint16{"lo": 1, "any": 113}[ifaces[i]]; !slices.Equal(info.LinkTypes, []uint16{want}) {
					t.Errorf("link types %v, want %d", info.LinkTypes, want)
				}
			}
		})
	}
}

// Without traffic Next returns now and then, with a time that goes on.
func TestLiveIdle(t *testing.T) {
	needRoot(t)
	l, err := OpenLive([]string{"lo"}, LiveOptions{Filter: "src host 203.0.113.77"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var f Frame
	var last int64
	for steps := 0; steps < 3; {
		if err := l.Next(&f); err != ErrIdle {
			t.Fatal(err)
		}
		age := time.Since(time.Unix(0, f.At))
		if f.At < last || age < 0 || age > time.Minute {
			t.Fatalf("the time is %d, before it was %d, and it is %v ago", f.At, last, age)
		}
		if f.At > last { // else the interface's goroutine had no turn meanwhile
			steps++
		}
		last = f.At
	}
	l.Stop()
	l.Stop()
	for {
		err := l.Next(&f)
		if err == io.EOF {
			break
		}
		if err != ErrIdle {
			t.Fatal(err)
		}
	}
}

func TestLiveSnaplen(t *testing.T) {
	needRoot(t)
	l, err := OpenLive([]string{"lo"}, LiveOptions{Snaplen: 60, BufferKiB: 1024, NoPromiscuous: true, Filter: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	talk(t, 1)
	l.Stop()
	var f Frame
	n := 0
	for {
		err := l.Next(&f)
		if err == io.EOF {
			break
		}
		if err == ErrIdle {
			continue
		}
		n++
		if len(f.Data) != 60 || f.WireLen < 66 {
			t.Errorf("%d octets of %d", len(f.Data), f.WireLen)
		}
	}
	if n < 7 {
		t.Errorf("%d frames", n)
	}
}

// Close does not wait for what nobody reads.
func TestLiveClose(t *testing.T) {
	needRoot(t)
	l, err := OpenLive([]string{"lo"}, LiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	talk(t, 5000)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLiveErrors(t *testing.T) {
	needRoot(t)
	_, err := OpenLive([]string{"lo", "nosuch0"}, LiveOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "nosuch0: no such interface; there are ") || !strings.Contains(err.Error(), "lo") {
		t.Errorf("unknown interface: %v", err)
	}
	_, err = OpenLive([]string{"lo"}, LiveOptions{Filter: "tcp and"})
	if err == nil || !strings.HasPrefix(err.Error(), `lo: filter "tcp and": `) {
		t.Errorf("filter: %v", err)
	}
}

// The words of errors that cannot be had here.
func TestLiveFailure(t *testing.T) {
	for in, want := range map[string]string{
		noPermission:                             "eth9: capturing needs privileges: run with sudo, or allow it once with: sudo setcap cap_net_raw,cap_net_admin=eip ",
		noPromiscPerm:                            "eth9: capturing needs privileges: ",
		"Error: socket: Operation not permitted": "eth9: capturing needs privileges: ",
		notUp:                                    "eth9: the interface is down; this brings it up: sudo ip link set eth9 up",
		"Error: whatever":                        "eth9: cannot capture: Error: whatever",
	} {
		if err := liveFailure("eth9", errors.New(in)); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestInterfaces(t *testing.T) {
	all, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(i Interface) bool { return i.Name == "lo" })
	if i < 0 {
		t.Skip("there is no interface lo here")
	}
	if lo := all[i]; !lo.Loopback || !lo.Up || !slices.ContainsFunc(lo.Addresses, netip.Addr.IsLoopback) {
		t.Errorf("%+v", lo)
	}
	if !strings.HasPrefix(LibpcapVersion(), "libpcap version ") {
		t.Errorf("version %q", LibpcapVersion())
	}
}

// quietLive is a capture on interfaces that the test plays itself.
func quietLive(taps int) *Live {
	l := &Live{full: make(chan *batch, 200), quit: make(chan struct{}), timer: time.NewTimer(time.Hour)}
	for i := range taps {
		l.taps = append(l.taps, &tap{live: l, file: i, free: make(chan *batch, 200), bound: 100, info: Info{Name: fmt.Sprint("eth", i)}})
	}
	return l
}

// Frames wait for those of the other interfaces that may be earlier, but not
// when that would stop an interface from being read.
func TestLiveOrder(t *testing.T) {
	l := quietLive(2)
	send := func(tap int, bound int64, last bool, times ...int64) {
		b := l.taps[tap].newBatch()
		for _, at := range times {
			b.add([]byte{byte(at)}, at, 1)
		}
		b.bound, b.last = max(b.bound, bound), last
		l.full <- b
	}
	var f Frame
	expect := func(file int, at int64) {
		t.Helper()
		if err := l.Next(&f); err != nil || f.File != file || f.At != at || f.Data[0] != byte(at) {
			t.Fatalf("frame %+v, %v; want %d of %d", f, err, at, file)
		}
	}
	idle := func(bound int64) {
		t.Helper()
		if err := l.Next(&f); err != ErrIdle || f.At != bound {
			t.Fatalf("%+v, %v; want to be idle until %d", f, err, bound)
		}
	}
	send(0, 0, false, 100, 110, 130)
	expect(0, 100) // as the other one has nothing before 100
	idle(100)
	send(1, 115, false)
	expect(0, 110)
	idle(115)
	send(1, 0, false, 120, 125, 140)
	expect(1, 120)
	expect(1, 125)
	expect(0, 130)
	idle(130)
	for i := range int64(tapBatches - 3) {
		send(1, 0, false, 200+i)
	}
	idle(130)
	send(0, 150, false)
	expect(1, 140)
	idle(150)
	send(1, 0, false, 250)
	send(1, 0, true, 255)
	expect(1, 200) // rather than to let the kernel's buffer overflow
	send(0, 1000, true)
	for range tapBatches - 2 {
		if err := l.Next(&f); err != nil {
			t.Fatal(err)
		}
	}
	if f.At != 255 {
		t.Errorf("the last frame is %+v", f)
	}
	if err := l.Next(&f); err != io.EOF {
		t.Errorf("%+v, %v", f, err)
	}
}

// An interface that fails ends with damage, and the others go on.
func TestLiveInterfaceGone(t *testing.T) {
	l := quietLive(2)
	gone := l.taps[0].newBatch()
	gone.add([]byte("x"), 5, 1)
	gone.last, gone.err = true, pcap.NextErrorReadError
	l.full <- gone
	other := l.taps[1].newBatch()
	other.add([]byte("y"), 6, 1)
	l.full <- other
	var f Frame
	for file := range 2 {
		if err := l.Next(&f); err != nil || f.File != file {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	if err := l.Next(&f); err != ErrIdle {
		t.Fatal(err)
	}
	if n := l.Damaged(); n != 1 {
		t.Errorf("%d interfaces are said to have ended", n)
	}
	infos := l.Infos()
	if d := infos[0].Damage; d == nil || d.Frame != 1 || d.Error() != "eth0: the capture ended after frame 1: Read Error" {
		t.Errorf("%v", d)
	}
	if infos[1].Damage != nil {
		t.Errorf("%v", infos[1].Damage)
	}
}
