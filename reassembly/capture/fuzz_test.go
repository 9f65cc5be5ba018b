package capture

import (
	"bytes"
	"io"
	"testing"

	"github.com/ulikunitz/xz"
)

// FuzzReader reads anything as a capture: no panic, numbers that rise, times
// within bounds, and frames that are no longer than the input could hold.
func FuzzReader(f *testing.F) {
	for _, file := range small() {
		f.Add(file)
	}
	f.Add(cat(pcapHead(le, pcapModified, 2, 4, 96, 1), pcapRec(le, 1, 2, 3, 3, make([]byte, 8), []byte("abc"))))
	f.Add(gzipped(f, small()["pcap"]))
	f.Add(zstded(f, small()["pcap"]))
	f.Add(xzed(xz.CRC64, 1<<40)(f, small()["pcap"]))
	f.Add([]byte("0000  00 01 02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Open("-", Options{Stdin: bytes.NewReader(data), SHA256: true})
		if err != nil {
			return
		}
		defer s.Close()
		var fr Frame
		var n, last uint64
		for {
			err := s.Next(&fr)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if n++; fr.Number <= last || fr.At < -maxTime || fr.At > maxTime || fr.File != 0 || fr.Iface < 0 {
				t.Fatalf("%+v after frame %d", fr, last)
			}
			if n == 1<<20 {
				return // a compressed desert
			}
			last = fr.Number
		}
		i := s.Info()
		if i.Packets != n || i.Packets+i.Others < last || i.First > i.Last || i.SHA256 == "" || i.Bytes > int64(len(data)) {
			t.Fatalf("%+v after %d frames, the last %d", i, n, last)
		}
		if d := i.Damage; d != nil && (d.Text == "" || d.Frame < last) {
			t.Fatalf("%+v after frame %d", d, last)
		}
	})
}
