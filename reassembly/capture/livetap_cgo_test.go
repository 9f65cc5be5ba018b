//go:build cgo

package capture

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcap"
)

// lateHandle is an interface whose buffer is found empty; then the program has no
// turn for long, and a packet comes meanwhile, before the capture is stopped.
type lateHandle struct {
	live  *Live
	came  time.Time
	reads int
}

func (h *lateHandle) ZeroCopyReadPacketData() (data []byte, ci gopacket.CaptureInfo, err error) {
	switch h.reads++; h.reads {
	case 1:
		h.came = time.Now()
		h.live.Stop()
		time.Sleep(settled + readTimeout)
	case 2:
		return []byte("x"), gopacket.CaptureInfo{Timestamp: h.came, CaptureLength: 1, Length: 1}, nil
	}
	return nil, ci, pcap.NextErrorTimeoutExpired
}

func (h *lateHandle) Stats() (*pcap.Stats, error) { return &pcap.Stats{}, nil }
func (h *lateHandle) Error() error                { return nil }
func (h *lateHandle) Close()                      {}

// That nothing was there when it was asked for tells nothing of what has come
// since, however late that is looked at.
func TestLiveLate(t *testing.T) {
	l := quietLive(1)
	l.taps[0].handle = &lateHandle{live: l}
	l.wait.Go(l.taps[0].run)
	defer l.Close()
	var f Frame
	err := l.Next(&f)
	for quiet := int64(0); ; err = l.Next(&f) {
		if err == nil {
			if f.At < quiet {
				t.Errorf("a frame at %d, after it was said that none would come before %d", f.At, quiet)
			}
			break
		}
		if err != ErrIdle {
			t.Fatalf("what came before the capture was stopped is missing: %v", err)
		}
		quiet = f.At
	}
	for err = l.Next(&f); err == ErrIdle; err = l.Next(&f) {
	}
	if err != io.EOF {
		t.Errorf("%+v, %v", f, err)
	}
}

// Who stops reading in the middle hears of what was dropped until then.
func TestLiveDrops(t *testing.T) {
	needRoot(t)
	to, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	l, err := OpenLive([]string{"lo"}, LiveOptions{BufferKiB: 64, Filter: fmt.Sprintf("udp and dst port %d", to.LocalAddr().(*net.UDPAddr).Port)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("udp4", to.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const room = tapBatches * batchFrames
	const sent = 2 * room // and nobody reads
	for range sent {
		c.Write([]byte("x"))
	}
	var f Frame
	for err = l.Next(&f); err != nil; err = l.Next(&f) {
		if err != ErrIdle {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if drops := l.Infos()[0].Drops; drops < room/2 || drops >= sent { // the kernel's buffer holds some, too
		t.Errorf("%d of %d packets are said to have been dropped, and there is room for %d", drops, sent, room)
	}
}
