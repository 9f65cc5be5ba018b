package capture

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// The builders write the formats from their descriptions, with the fields in
// the order given.

type endian interface {
	binary.AppendByteOrder
	binary.ByteOrder
}

var le, be endian = binary.LittleEndian, binary.BigEndian

// pcapHead is a file header of pcap.
func pcapHead(o endian, magic uint32, major, minor uint16, snaplen, network uint32) []byte {
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, major)
	b = o.AppendUint16(b, minor)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, snaplen)
	return o.AppendUint32(b, network)
}

// pcapRec is a record: two times, two lengths, extra header fields, data.
func pcapRec(o endian, sec, frac, len1, len2 uint32, extra, data []byte) []byte {
	b := u32s(o, sec, frac, len1, len2)
	b = append(b, extra...)
	return append(b, data...)
}

func u32s(o endian, v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = o.AppendUint32(b, x)
	}
	return b
}

// ngBlock is a pcapng block with its two lengths and padding.
func ngBlock(o endian, typ uint32, body ...[]byte) []byte {
	b := pad4(bytes.Join(body, nil))
	n := uint32(len(b) + 12)
	return o.AppendUint32(append(u32s(o, typ, n), b...), n)
}

func pad4(b []byte) []byte { return append(bytes.Clone(b), make([]byte, -len(b)&3)...) }

func ngSHB(o endian) []byte {
	return ngBlock(o, ngSection, u32s(o, ngByteOrder), o.AppendUint16(o.AppendUint16(nil, 1), 0),
		bytes.Repeat([]byte{0xff}, 8))
}

func ngIDB(o endian, link uint16, snap uint32, options ...[]byte) []byte {
	return ngBlock(o, ngInterface, o.AppendUint16(o.AppendUint16(nil, link), 0), u32s(o, snap), bytes.Join(options, nil))
}

func ngOpt(o endian, code uint16, v []byte) []byte {
	b := o.AppendUint16(nil, code)
	b = o.AppendUint16(b, uint16(len(v)))
	return append(b, pad4(v)...)
}

func ngEPB(o endian, iface uint32, ts uint64, wire uint32, data []byte, options ...[]byte) []byte {
	return ngBlock(o, ngEnhanced, u32s(o, iface, uint32(ts>>32), uint32(ts), uint32(len(data)), wire),
		pad4(data), bytes.Join(options, nil))
}

func ngISB(o endian, iface uint32, ts uint64, options ...[]byte) []byte {
	return ngBlock(o, ngStatistics, u32s(o, iface, uint32(ts>>32), uint32(ts)), bytes.Join(options, nil))
}

func snoopHead(version, link uint32) []byte {
	return append([]byte(snoopMagic), u32s(be, version, link)...)
}

func snoopRec(sec, usec, wire, drops uint32, data []byte, padding int) []byte {
	b := u32s(be, wire, uint32(len(data)), uint32(24+len(data)+padding), drops, sec, usec)
	b = append(b, data...)
	return append(b, make([]byte, padding)...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// got is a frame with a copy of its data.
type got struct {
	Number uint64
	At     int64
	Iface  int
	Link   uint16
	Wire   uint32
	Data   string
}

func frameOf(f *Frame) got {
	return got{f.Number, f.At, f.Iface, f.LinkType, f.WireLen, string(f.Data)}
}

// drain reads a reader to its end.
func drain(t testing.TB, r Reader) []got {
	t.Helper()
	var all []got
	var f Frame
	for {
		err := r.Next(&f)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		all = append(all, frameOf(&f))
	}
}

// readFile writes data to a file and reads it; err is that of Open.
func readFile(t testing.TB, data []byte) ([]got, Info, error) {
	t.Helper()
	return readNamed(t, writeFile(t, "x.cap", data))
}

func readNamed(t testing.TB, name string) ([]got, Info, error) {
	t.Helper()
	s, err := Open(name, Options{})
	if err != nil {
		return nil, Info{}, err
	}
	defer s.Close()
	frames := drain(t, s)
	return frames, s.Info(), nil
}

// readPipe reads data as standard input, a few bytes at a time.
func readPipe(t testing.TB, data []byte, step int) ([]got, Info, error) {
	t.Helper()
	s, err := Open("-", Options{Stdin: &trickle{data, step}})
	if err != nil {
		return nil, Info{}, err
	}
	defer s.Close()
	frames := drain(t, s)
	return frames, s.Info(), nil
}

// trickle gives step bytes at each Read.
type trickle struct {
	data []byte
	step int
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.data[:min(r.step, len(r.data))])
	r.data = r.data[n:]
	return n, nil
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
