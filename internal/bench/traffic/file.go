package traffic

import (
	"encoding/binary"
	"io"
)

const (
	linkEthernet = 1
	bufferSize   = 256 << 10
	// maxRecord is more than any frame with its record header.
	maxRecord = 2 << 10
)

// file writes the records of a capture.
type file struct {
	w       io.Writer
	format  Format
	snaplen int
	buf     []byte
	packets uint64
	bytes   uint64
	err     error // the first of writing; later frames are dropped
}

func newFile(w io.Writer, format Format, snaplen int) *file {
	if snaplen == 0 {
		snaplen = 262144
	}
	f := &file{w: w, format: format, snaplen: snaplen, buf: make([]byte, 0, bufferSize)}
	le := binary.LittleEndian
	b := f.buf
	switch format {
	case Pcap:
		b = le.AppendUint32(b, 0xa1b2c3d4)
		b = le.AppendUint16(le.AppendUint16(b, 2), 4)
		b = append(b, make([]byte, 8)...)
		b = le.AppendUint32(le.AppendUint32(b, uint32(snaplen)), linkEthernet)
	case Pcapng:
		b = le.AppendUint32(b, 0x0a0d0d0a) // Section Header Block
		b = le.AppendUint32(b, 28)
		b = le.AppendUint32(b, 0x1a2b3c4d)
		b = le.AppendUint16(le.AppendUint16(b, 1), 0)
		b = le.AppendUint64(b, ^uint64(0)) // a section of unknown length
		b = le.AppendUint32(b, 28)
		b = le.AppendUint32(b, 1) // Interface Description Block
		b = le.AppendUint32(b, 32)
		b = le.AppendUint32(b, linkEthernet)
		b = le.AppendUint32(b, uint32(snaplen))
		b = append(b, 9, 0, 1, 0, 9, 0, 0, 0) // if_tsresol: nanoseconds
		b = append(b, 0, 0, 0, 0)             // end of options
		b = le.AppendUint32(b, 32)
	}
	f.buf = b
	return f
}

// record begins a record of a frame of wire octets at a time in ns, and
// returns where to put what is kept of the frame.
func (f *file) record(at int64, wire int) []byte {
	if len(f.buf)+maxRecord > cap(f.buf) {
		f.flush()
	}
	kept := min(wire, f.snaplen)
	le := binary.LittleEndian
	n := len(f.buf)
	f.packets++
	if f.format == Pcap {
		f.buf = f.buf[:n+16+kept]
		h := f.buf[n : n+16]
		le.PutUint32(h[0:], uint32(at/1e9))
		le.PutUint32(h[4:], uint32(at%1e9/1000))
		le.PutUint32(h[8:], uint32(kept))
		le.PutUint32(h[12:], uint32(wire))
		return f.buf[n+16:]
	}
	padded := (kept + 3) &^ 3
	f.buf = f.buf[:n+32+padded]
	b := f.buf[n:]
	le.PutUint32(b[0:], 6) // Enhanced Packet Block
	le.PutUint32(b[4:], uint32(len(b)))
	le.PutUint32(b[8:], 0)
	le.PutUint32(b[12:], uint32(at>>32))
	le.PutUint32(b[16:], uint32(at))
	le.PutUint32(b[20:], uint32(kept))
	le.PutUint32(b[24:], uint32(wire))
	clear(b[28+kept : 28+padded])
	le.PutUint32(b[28+padded:], uint32(len(b)))
	return b[28 : 28+kept]
}

func (f *file) flush() {
	if f.err == nil && len(f.buf) > 0 {
		var n int
		n, f.err = f.w.Write(f.buf)
		f.bytes += uint64(n)
	}
	f.buf = f.buf[:0]
}
