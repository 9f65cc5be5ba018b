//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/reassembly/tcp"
)

// port is the wire's end of a TAP interface: one Ethernet frame per write, and
// per read one frame or one segment that its host left to the interface to cut.
type port struct {
	file *os.File
	// offload: each frame has a struct virtio_net_hdr (linux/virtio_net.h) in
	// front, which says what the host left undone.
	offload bool
	buf     []byte
}

// Of linux/virtio_net.h and linux/if_tun.h, which the unix package lacks.
const (
	virtioLen  = 10
	needsCsum  = 1
	gsoTCPv4   = 1
	gsoTCPv6   = 4
	gsoECN     = 0x80
	tunCsum    = 0x01 // TUN_F_CSUM
	tunTSO4    = 0x02 // TUN_F_TSO4
	tunTSO6    = 0x04 // TUN_F_TSO6
	tunOffload = tunCsum | tunTSO4 | tunTSO6
)

// maxSegment holds the longest frame that a host may leave uncut.
const maxSegment = 1<<16 + 1<<10

// openPort makes a TAP interface in the thread's namespace. Without offload it
// carries frames as they are on a wire, so that captures hold whole segments
// with their true checksums.
func openPort(name string, offload bool) (*port, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if offload {
			flags |= unix.IFF_VNET_HDR
		}
		req.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil && offload {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunOffload)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making a TAP interface: %w", err)
	}
	return &port{os.NewFile(uintptr(fd), "tap"), offload, make([]byte, maxSegment)}, nil
}

// read waits for what the host sends, and returns it as the frames that go on
// the wire. They belong to the caller. It is for one goroutine.
func (p *port) read() ([][]byte, error) {
	n, err := p.file.Read(p.buf)
	if err != nil {
		return nil, err
	}
	if !p.offload {
		return [][]byte{append([]byte(nil), p.buf[:n]...)}, nil
	}
	return finish(p.buf[:n])
}

// write gives the host a frame.
func (p *port) write(raw []byte) error {
	if p.offload {
		raw = append(make([]byte, virtioLen, virtioLen+len(raw)), raw...)
	}
	_, err := p.file.Write(raw)
	return err
}

// writeMerged gives the host a segment that was put together from several of at
// most size octets of payload; its TCP header begins at head. As virtio does,
// it leaves the checksum to whoever asks for it.
func (p *port) writeMerged(raw []byte, head, size int) error {
	b := append(make([]byte, virtioLen, virtioLen+len(raw)), raw...)
	b[0], b[1] = needsCsum, gsoTCPv4
	if raw[etherLen]>>4 == 6 {
		b[1] = gsoTCPv6
	}
	const checksumField = 16
	ne := binary.NativeEndian
	ne.PutUint16(b[2:], uint16(head+int(raw[head+flagsField]>>4)*4))
	ne.PutUint16(b[4:], uint16(size))
	ne.PutUint16(b[6:], uint16(head))
	ne.PutUint16(b[8:], checksumField)
	_, err := p.file.Write(b)
	return err
}

func (p *port) close() { p.file.Close() }

// finish does what a host left to its interface: cutting and checksums. The
// frame comes with its virtio header.
func finish(b []byte) ([][]byte, error) {
	if len(b) < virtioLen {
		return nil, errors.New("a frame without its virtio header")
	}
	// The header is in the host's order of octets.
	kind, size := b[1]&^gsoECN, int(binary.NativeEndian.Uint16(b[4:]))
	start, offset := int(binary.NativeEndian.Uint16(b[6:])), int(binary.NativeEndian.Uint16(b[8:]))
	flags, raw := b[0], append([]byte(nil), b[virtioLen:]...)
	switch {
	case kind == gsoTCPv4 || kind == gsoTCPv6:
		return cut(raw, size)
	case kind != 0:
		return nil, fmt.Errorf("a frame whose host left %#x to be cut", b[1])
	case flags&needsCsum != 0:
		if start+offset+2 > len(raw) {
			return nil, errors.New("a checksum beyond the frame")
		}
		// The field holds the sum of the pseudo header already.
		binary.BigEndian.PutUint16(raw[start+offset:], fold(sum(0, raw[start:])))
	}
	return [][]byte{raw}, nil
}

// cut makes segments of at most size octets of payload, as a network card does.
func cut(raw []byte, size int) ([][]byte, error) {
	f := parseFrame(ToServer, raw) // the direction does not matter
	if !f.IsTCP() || size == 0 {
		return nil, errors.New("only TCP can be cut")
	}
	head := f.tcp + int(raw[f.tcp+flagsField]>>4)*4
	var out [][]byte
	for at := 0; at < int(f.Len); at += size {
		n := min(size, int(f.Len)-at)
		s := append(append(make([]byte, 0, head+n), raw[:head]...), raw[head+at:head+at+n]...)
		h := s[f.tcp:]
		binary.BigEndian.PutUint32(h[4:], uint32(f.Seq.Add(uint32(at))))
		if at+n < int(f.Len) {
			h[flagsField+1] &^= byte(tcp.FIN | tcp.PSH)
		}
		if at > 0 {
			h[flagsField+1] &^= byte(tcp.CWR)
		}
		if f.Src.Addr().Is4() {
			id := binary.BigEndian.Uint16(s[f.ip+4:]) + uint16(at/size)
			binary.BigEndian.PutUint16(s[f.ip+4:], id)
		}
		setLength(s, &f)
		checksum(s, &f)
		out = append(out, s)
	}
	return out, nil
}

// checksum computes a segment's checksum anew; f has its offsets and addresses.
func checksum(raw []byte, f *Frame) {
	h := raw[f.tcp:]
	clear(h[16:18])
	binary.BigEndian.PutUint16(h[16:], fold(sum(pseudo(f, len(h)), h)))
}

// pseudo sums up the pseudo header of a segment of so many octets.
func pseudo(f *Frame, length int) uint32 {
	s := uint32(6 + length) // protocol and length
	return sum(sum(s, f.Src.Addr().AsSlice()), f.Dst.Addr().AsSlice())
}

// sum adds up 16-bit words (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
