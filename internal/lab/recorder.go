//go:build linux

package lab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// Recorder writes every frame of a host's interface to a capture file, with
// the kernel's own timestamps in nanoseconds.
type Recorder struct {
	fd      int
	file    *os.File
	buf     *bufio.Writer
	pcap    *pcapgo.Writer
	snaplen int
	stop    atomic.Bool
	done    chan error
}

const (
	captureBuffer = 16 << 20               // octets that the kernel may hold for us
	pollInterval  = 100 * time.Millisecond // how soon a Close is noticed
)

// newRecorder begins to record the host's interface into a new file. Frames
// that are sent after it returned are in the file.
func newRecorder(h *Host, path string, snaplen int) (*Recorder, error) {
	r := &Recorder{fd: -1, snaplen: snaplen, done: make(chan error, 1)}
	if err := h.ns.Do(r.open); err != nil {
		return nil, fmt.Errorf("recording %s: %w", h.Name, err)
	}
	f, err := os.Create(path)
	if err != nil {
		unix.Close(r.fd)
		return nil, err
	}
	r.file, r.buf = f, bufio.NewWriter(f)
	r.pcap = pcapgo.NewWriterNanos(r.buf)
	if err := r.pcap.WriteFileHeader(uint32(snaplen), layers.LinkTypeEthernet); err != nil {
		r.release()
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	go func() { r.done <- r.loop() }()
	return r, nil
}

// open makes the packet socket; it runs inside the host's namespace.
func (r *Recorder) open() error {
	iface, err := net.InterfaceByName(ifname)
	if err != nil {
		return err
	}
	r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a packet socket: %w", err)
	}
	tv := unix.NsecToTimeval(int64(pollInterval))
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
		unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index}),
	)
	if err != nil {
		unix.Close(r.fd)
		return fmt.Errorf("binding a packet socket: %w", err)
	}
	return nil
}

func (r *Recorder) loop() error {
	frame := make([]byte, maxSegment)
	oob := make([]byte, 256)
	for {
		stopping := r.stop.Load()
		n, oobn, _, _, err := unix.Recvmsg(r.fd, frame, oob, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			if stopping {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("reading the packet socket: %w", err)
		}
		at, err := timestamp(oob[:oobn])
		if err != nil {
			return err
		}
		info := gopacket.CaptureInfo{Timestamp: at, Length: n, CaptureLength: min(n, r.snaplen)}
		if err := r.pcap.WritePacket(info, frame[:info.CaptureLength]); err != nil {
			return fmt.Errorf("writing %s: %w", r.file.Name(), err)
		}
	}
}

// timestamp finds the time that the kernel gave a frame, in UTC.
func timestamp(oob []byte) (time.Time, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a frame's timestamp: %w", err)
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			sec := binary.NativeEndian.Uint64(m.Data)
			nsec := binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(sec), int64(nsec)).UTC(), nil
		}
	}
	return time.Time{}, errors.New("the kernel gave a frame no timestamp")
}

// Close writes what is still in the socket and ends the file. It is an error
// when the kernel had to drop frames: such a recording proves nothing.
func (r *Recorder) Close() error {
	r.stop.Store(true)
	err := <-r.done
	stats, serr := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if serr == nil && stats.Drops > 0 {
		serr = fmt.Errorf("%s: the kernel dropped %d frames", r.file.Name(), stats.Drops)
	}
	return errors.Join(err, serr, r.buf.Flush(), r.release())
}

func (r *Recorder) release() error {
	return errors.Join(unix.Close(r.fd), r.file.Close())
}
