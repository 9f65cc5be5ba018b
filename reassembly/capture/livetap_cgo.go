//go:build cgo

package capture

import (
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcap"
)

const (
	// tapBatches is how many batches circulate for one interface.
	tapBatches = 48
	// batchFrames and batchBytes are when a batch is full.
	batchFrames = 512
	batchBytes  = 128 << 10
)

// batch is frames of one interface on their way from the goroutine that reads
// libpcap to the one that calls Next.
type batch struct {
	tap    *tap
	data   []byte
	frames []record
	// bound is a time before which no frame will come any more.
	bound int64
	last  bool // the interface has ended
	err   error
}

// record is one frame of a batch; its bytes are data[from:to].
type record struct {
	at       int64
	from, to int
	wire     uint32
}

// handle is what a tap asks of libpcap.
type handle interface {
	ZeroCopyReadPacketData() (data []byte, ci gopacket.CaptureInfo, err error)
	Stats() (*pcap.Stats, error)
	Error() error
	Close()
}

// tap is one interface.
type tap struct {
	live   *Live
	file   int
	handle handle
	link   uint16
	free   chan *batch
	drops  atomic.Uint64

	// The rest is for Next.
	queue       []*batch
	next        int // of queue[0].frames
	number      uint64
	bound       int64
	done        bool
	info        Info
	first, last int64
}

// run reads the interface until it ends or the capture is stopped.
func (t *tap) run() {
	b, made := t.newBatch(), 1
	var counted time.Time // when the kernel's drops were last asked for
	asked := time.Now()   // not after the read that is under way began
	for {
		data, ci, err := t.handle.ZeroCopyReadPacketData()
		at := ci.Timestamp.UnixNano()
		timeout := err == pcap.NextErrorTimeoutExpired
		if timeout {
			// Not by the time of now: packets may have come since the buffer was
			// found empty, for as long as others had the processor.
			b.bound = max(b.bound, asked.Add(-settled).UnixNano())
			asked = time.Now()
		} else if err == pcap.NextErrorReadError {
			b.err = t.handle.Error() // which says more
		} else if err != nil {
			b.err = err
		}
		stop := t.live.stopAt.Load()
		b.last = err != nil && !timeout || stop > 0 && (err == nil && at > stop || b.bound > stop)
		if err == nil && !b.last {
			b.add(data, at, uint32(ci.Length))
		}
		if !b.last && !timeout && !b.full() {
			continue
		}
		if now := time.Now(); b.last || now.Sub(counted) >= time.Second {
			t.countDrops()
			counted = now
		}
		last := b.last
		select {
		case t.live.full <- b:
		case <-t.live.quit:
			return
		}
		if last {
			return
		}
		select {
		case b = <-t.free:
		default:
			if made < tapBatches {
				b = t.newBatch()
				made++
				break
			}
			select {
			case b = <-t.free:
			case <-t.live.quit:
				return
			}
		}
	}
}

func (t *tap) newBatch() *batch {
	return &batch{tap: t, data: make([]byte, 0, batchBytes), frames: make([]record, 0, batchFrames)}
}

// add copies a frame into the batch.
func (b *batch) add(data []byte, at int64, wire uint32) {
	from := len(b.data)
	b.data = append(b.data, data...)
	b.frames = append(b.frames, record{at, from, len(b.data), wire})
	b.bound = max(b.bound, at)
}

// full reports whether the batch should be handed over: it is full, or its
// first frame has waited long enough.
func (b *batch) full() bool {
	n := len(b.frames)
	return n >= batchFrames || len(b.data) >= batchBytes ||
		n > 0 && b.frames[n-1].at-b.frames[0].at >= int64(readTimeout)
}

func (t *tap) countDrops() {
	if st, err := t.handle.Stats(); err == nil {
		t.drops.Store(uint64(st.PacketsDropped) + uint64(st.PacketsIfDropped))
	}
}

// add takes a batch over for Next.
func (t *tap) add(b *batch) {
	t.queue = append(t.queue, b)
	t.settle()
}

// settle lets go of batches that have been returned.
func (t *tap) settle() {
	for len(t.queue) > 0 && t.next == len(t.queue[0].frames) {
		b := t.queue[0]
		t.queue = append(t.queue[:0], t.queue[1:]...)
		t.next = 0
		t.bound = max(t.bound, b.bound)
		if b.last {
			t.done = true
		}
		if b.err != nil && b.err != io.EOF {
			text := fmt.Sprintf("the capture ended after frame %s: %v", grouped(t.number), b.err)
			t.info.Damage = &Damage{Name: t.info.Name, Frame: t.number, Text: text, Err: b.err}
			t.live.gone++
		}
		b.data, b.frames, b.bound, b.err = b.data[:0], b.frames[:0], 0, nil
		t.free <- b
	}
}

func (t *tap) head() bool { return len(t.queue) > 0 }
func (t *tap) at() int64  { return t.queue[0].frames[t.next].at }

// frame fills f with the frame at the head and counts it.
func (t *tap) frame(f *Frame) {
	b := t.queue[0]
	r := b.frames[t.next]
	t.number++
	t.info.Packets++
	t.info.Bytes += int64(r.to - r.from)
	t.first, t.last = min(t.first, r.at), max(t.last, r.at)
	*f = Frame{
		At: r.at, File: t.file, Number: t.number, LinkType: t.link,
		WireLen: r.wire, Data: b.data[r.from:r.to:r.to],
	}
}

// advance goes on to the next frame.
func (t *tap) advance() {
	t.next++
	t.settle()
}

// Interfaces lists the interfaces on which packets can be captured.
func Interfaces() ([]Interface, error) {
	all, err := pcap.FindAllDevs()
	if err != nil {
		return nil, fmt.Errorf("interfaces cannot be listed: %w", err)
	}
	var list []Interface
	for _, d := range all {
		i := Interface{
			Name: d.Name, Description: d.Description,
			// Bits of pcap_findalldevs(3PCAP).
			Loopback: d.Flags&1 != 0, Up: d.Flags&2 != 0, Running: d.Flags&4 != 0,
		}
		for _, a := range d.Addresses {
			if ip, ok := netip.AddrFromSlice(a.IP); ok {
				i.Addresses = append(i.Addresses, ip)
			}
		}
		list = append(list, i)
	}
	return list, nil
}
