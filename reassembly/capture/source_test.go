package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"
)

// A frame that has come down a pipe is returned although nothing follows.
func TestSlowPipe(t *testing.T) {
	ng := cat(ngSHB(le), ngIDB(le, 1, 0))
	for name, c := range map[string]struct {
		head, frame []byte
		pack        func(io.Writer) io.Writer
	}{
		"pcap":   {pcapHead(le, pcapMicro, 2, 4, 96, 1), pcapRec(le, 1, 2, 3, 3, nil, []byte("abc")), nil},
		"pcapng": {ng, ngEPB(le, 0, 1, 3, []byte("abc")), nil},
		"snoop":  {snoopHead(2, 4), snoopRec(1, 2, 3, 0, []byte("abc"), 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			step := make(chan struct{})
			ahead := name == "snoop" // whose first record tells its variant, so Open waits for it
			go func() {
				w.Write(c.head)
				for n := range 3 {
					if n > 0 || !ahead {
						<-step
					}
					w.Write(c.frame)
				}
				<-step
				w.CloseWithError(io.EOF)
			}()
			s, err := Open("-", Options{Stdin: r})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var f Frame
			for n := uint64(1); n <= 3; n++ {
				if n > 1 || !ahead {
					step <- struct{}{}
				}
				// Were the frame held back until more comes, this would hang.
				if err := s.Next(&f); err != nil || f.Number != n || string(f.Data) != "abc" {
					t.Fatalf("frame %+v, %v", f, err)
				}
			}
			step <- struct{}{}
			if err := s.Next(&f); err != io.EOF {
				t.Fatal(err)
			}
			if i := s.Info(); i.Damage != nil || i.Bytes != int64(len(c.head)+3*len(c.frame)) {
				t.Errorf("info %+v", i)
			}
		})
	}
}

// Stop ends a wait for a pipe, and what was cut by it is no damage.
func TestStop(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go w.Write(cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), pcapRec(le, 1, 2, 3, 3, nil, []byte("abc")), []byte("half a header")))
	s, err := Open("-", Options{Stdin: r, SHA256: true})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(s)
	var f Frame
	if err := m.Next(&f); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- m.Next(&f) }()
	m.Stop()
	if err := <-stopped; err != io.EOF {
		t.Errorf("Next returns %v", err)
	}
	if i := s.Info(); i.Damage != nil || i.Packets != 1 || i.SHA256 != "" {
		t.Errorf("info %+v", i)
	}
	if err := m.Next(&f); err != io.EOF {
		t.Errorf("Next returns %v after the end", err)
	}
}

// Reading costs no memory per frame, in any format and through Merge.
func TestNoAllocations(t *testing.T) {
	data := make([]byte, 70)
	const n = 20000
	ng := cat(ngSHB(le), ngIDB(le, 1, 0), bytes.Repeat(ngEPB(le, 0, 5, 70, data, ngOpt(le, 4, make([]byte, 8))), n))
	files := map[string][]byte{
		"pcap":        cat(pcapHead(be, pcapMicro, 2, 3, 96, 1), bytes.Repeat(pcapRec(be, 1, 0, 70, 70, nil, data), n)),
		"pcapng":      ng,
		"snoop":       cat(snoopHead(2, 4), bytes.Repeat(snoopRec(1, 2, 70, 0, data, 2), n)),
		"pcapng+gzip": gzipped(t, ng),
		"pcapng+zstd": zstded(t, ng),
	}
	var names []string
	count := func(t *testing.T, r Reader) {
		var f Frame
		for range 100 {
			if err := r.Next(&f); err != nil {
				t.Fatal(err)
			}
		}
		allocs := testing.AllocsPerRun(5, func() {
			for range 2000 {
				if err := r.Next(&f); err != nil {
					t.Fatal(err)
				}
			}
		})
		// Blocks and decompressors' tables come into being while reading.
		if allocs > 20 {
			t.Errorf("%v allocations in 2,000 frames", allocs)
		}
	}
	for name, file := range files {
		file := writeFile(t, "x", file)
		names = append(names, file)
		t.Run(name, func(t *testing.T) {
			s, err := Open(file, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			count(t, s)
		})
	}
	t.Run("merged", func(t *testing.T) {
		sources, err := OpenAll(names, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := Merge(sources...)
		defer m.Close()
		count(t, m)
	})
}

func TestSHA256(t *testing.T) {
	file := cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), pcapRec(le, 1, 2, 3, 3, nil, []byte("abc")))
	damaged := cat(file, u32s(le, 1, 2, 1<<30, 1), bytes.Repeat([]byte("tail"), 1<<20))
	for name, data := range map[string][]byte{
		"whole": file, "damaged": damaged, "compressed": gzipped(t, file),
		"compressed, damaged": append(gzipped(t, file), "tail"...), "cut": file[:len(file)-1],
	} {
		sum := sha256.Sum256(data)
		want := hex.EncodeToString(sum[:])
		named := writeFile(t, "x", data)
		for _, o := range []Options{{SHA256: true}, {SHA256: true, Stdin: bytes.NewReader(data)}, {}} {
			source := named
			if o.Stdin != nil {
				source = "-"
			}
			s, err := Open(source, o)
			if err != nil {
				t.Fatal(err)
			}
			drain(t, s)
			got := s.Info().SHA256
			if !o.SHA256 && got != "" || o.SHA256 && got != want {
				t.Errorf("%s, %s: %q, want %s", name, source, got, want)
			}
		}
	}
}

func TestProgress(t *testing.T) {
	file := cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), bytes.Repeat(pcapRec(le, 1, 0, 80, 80, nil, make([]byte, 80)), 100_000))
	s, err := Open(writeFile(t, "x", file), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if read, size := s.Progress(); read >= size || size != int64(len(file)) {
		t.Errorf("%d of %d at the begin", read, size)
	}
	drain(t, s)
	if read, size := s.Progress(); read != size {
		t.Errorf("%d of %d at the end", read, size)
	}
	if i := s.Info(); i.Bytes != int64(len(file)) {
		t.Errorf("%d bytes", i.Bytes)
	}
}

// Standard input that is a file has a size.
func TestRedirectedFile(t *testing.T) {
	file, err := os.Open(writeFile(t, "x", small()["pcap"]))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := Open("-", Options{Stdin: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, size := s.Progress(); size != int64(len(small()["pcap"])) {
		t.Errorf("size %d", size)
	}
	if n := len(drain(t, s)); n != 3 {
		t.Errorf("%d frames", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Errorf("standard input was closed: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.pcap")
	if _, err := Open(missing, Options{}); !errors.Is(err, fs.ErrNotExist) || err.Error() != missing+": no such file" {
		t.Errorf("missing: %v", err)
	}
	if _, err := Open(dir, Options{}); err == nil || err.Error() != dir+": is a directory, not a capture file" {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open("-", Options{}); err == nil || err.Error() != "standard input: it cannot be read here" {
		t.Errorf("standard input: %v", err)
	}
	if _, err := Open("-", Options{Stdin: iotest.ErrReader(syscall.EIO)}); !errors.Is(err, syscall.EIO) || err.Error() != "standard input: read failed: input/output error" {
		t.Errorf("unreadable: %v", err)
	}
	if os.Geteuid() != 0 {
		secret := writeFile(t, "secret", small()["pcap"])
		os.Chmod(secret, 0)
		if _, err := Open(secret, Options{}); !errors.Is(err, fs.ErrPermission) || err.Error() != secret+": permission denied" {
			t.Errorf("not permitted: %v", err)
		}
	}
	if err := openFailure("x", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}); err.Error() != "x: permission denied" {
		t.Errorf("not permitted: %v", err)
	}
	if err := openFailure("x", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENXIO}); err.Error() != "x: open failed: no such device or address" {
		t.Errorf("other: %v", err)
	}
}

// An error of the operating system in the middle is damage.
func TestReadError(t *testing.T) {
	r := io.MultiReader(bytes.NewReader(small()["pcap"]), iotest.ErrReader(syscall.EIO))
	s, err := Open("-", Options{Stdin: r})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(drain(t, s)); n != 3 {
		t.Errorf("%d frames", n)
	}
	d := s.Info().Damage
	if d == nil || d.Error() != "standard input: read failed: input/output error after frame 3" || !errors.Is(d, syscall.EIO) {
		t.Errorf("damage %v", d)
	}
	// A reader that gives nothing for ever does not hang the program.
	s, err = Open("-", Options{Stdin: io.MultiReader(bytes.NewReader(small()["pcap"]), emptyReader{})})
	if err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	if d := s.Info().Damage; d == nil || !errors.Is(d, io.ErrNoProgress) {
		t.Errorf("damage %v", d)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// However the input is cut into reads, the frames are the same.
func TestReadSizes(t *testing.T) {
	file := large()
	want, _, _ := readFile(t, file)
	for _, step := range []int{1, 3, 1000, 65535, 1 << 20} {
		frames, info, err := readPipe(t, file, step)
		if err != nil || info.Damage != nil {
			t.Fatal(err, info.Damage)
		}
		if d := cmp.Diff(want, frames); d != "" {
			t.Errorf("%d at a time:\n%s", step, d)
		}
	}
}

// What is no capture is named.
func TestNotACapture(t *testing.T) {
	tar := append(make([]byte, 257), "ustar\x0000"...)
	copy(tar, "name")
	for _, c := range []struct{ data, text string }{
		{"", "is empty"},
		{"\x00\x00\x00", "is not a capture but zero bytes only"},
		{"GMBU\x00\x02\x01\x00", "is not a capture but a Microsoft Network Monitor 2 capture"},
		{"RTSS\x00\x02\x01\x00", "is not a capture but a Microsoft Network Monitor 1 capture"},
		{"TRSNIFF data    \x1a...", "is not a capture but a Sniffer (DOS) capture"},
		{"XCP\x00002.002\x00", "is not a capture but a Sniffer (Windows) or NetXRay capture"},
		{"iptrace 2.0\x00\x00", "is not a capture but an AIX iptrace capture"},
		{"\x54\x52\x00\x64\x00\x00", "is not a capture but an HP-UX nettl capture"},
		{"\x00\x00\x02\x00\x12\x05\x00\x10", "is not a capture but a Tektronix K12 capture"},
		{"\x01\x10\x4c\x00\x01\x05Trace", "is not a capture but a LANalyzer capture"},
		{"btsnoop\x00\x00\x00\x00\x01", "is not a capture but a Bluetooth (btsnoop) capture"},
		{"PK\x03\x04\x14\x00\x00\x00", "is not a capture but a ZIP archive: unpack it first"},
		{string(tar), "is not a capture but a tar archive: unpack it first"},
		{string(gzipped(t, tar)), "holds no capture but, compressed with gzip, a tar archive: unpack it first"},
		{string(gzipped(t, nil)), "holds no capture but, compressed with gzip, nothing"},
		{string(gzipped(t, gzipped(t, small()["pcap"]))), "holds no capture but, compressed with gzip, gzip data"},
		{"BZh91AY&SY", "is not a capture but bzip2 data: decompress it first"},
		{"\x04\x22\x4d\x18\x64\x40", "is not a capture but LZ4 data: decompress it first"},
		{"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00", "is not a capture but an ELF program or library"},
		{"<!DOCTYPE html>\n<html>", "is not a capture but an HTML page"},
		{"\n <HTML><body>", "is not a capture but an HTML page"},
		{"<?xml version='1.0'?>", "is not a capture but XML"},
		{`{"error": "not found"}`, "is not a capture but JSON"},
		{"0000  00 1b 21 3c 4d 5e 00 1b  ..!<\n", "is not a capture but a hex dump in text form: text2pcap turns it into a capture"},
		{"00000000: 001b 213c 4d5e 001b  ..!<M^..\n", "is not a capture but a hex dump in text form: text2pcap turns it into a capture"},
		{"0000 times I told you", "is not a capture but a text that begins with \"0000 times I told you\""},
		{"#separator \\x09\n#path\tconn", "is not a capture but a Zeek log"},
		{"hello, world\nsecond line", "is not a capture but a text that begins with \"hello, world\""},
		{"Grüße " + strings.Repeat("x", 60), "is not a capture but a text that begins with \"Grüße " + strings.Repeat("x", 34) + "…\""},
		{"  \n\t\n ", "is not a capture but blank text"},
		{"\xff\xfeh\x00i\x00", "is not a capture but a text in UTF-16"},
		{"\x01\x02\x03\xfe\xfd\xfc\xfb\xfa\xf9", "is not a capture but data of an unknown kind that begins with 01 02 03 fe fd fc fb fa"},
		{"\xd4\xc3\xb2\xa1\x02\x00", "ends inside the pcap file header"},
		{"\xd4\xc3\xb2\xa1\x01\x00\x04\x00" + strings.Repeat("\x00", 16), "is pcap of a version before 2.0, which cannot be read"},
		{"\n\r\n\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00", "is not a capture but pcapng, damaged by a transfer in text mode"},
		{"\r\n\r\r\r\n\x00\x00\x00\x1c\x1a\x2b\x3c\x4d\x00\x01", "is not a capture but pcapng, damaged by a transfer in text mode"},
		{"\x1f\x8b\x08\x00", "the gzip data is cut off"},
		{"\x28\xb5\x2f\xfd", "the zstd data is cut off"},
		{"\xfd7zXZ\x00\x00\x04", "the xz data is cut off"},
	} {
		name := writeFile(t, "x", []byte(c.data))
		if _, err := Open(name, Options{}); err == nil || err.Error() != name+": "+c.text {
			t.Errorf("%.20q: %v, want %s", c.data, err, c.text)
		}
		_, _, err := readPipe(t, []byte(c.data), 1<<10)
		if err == nil || err.Error() != "standard input: "+c.text {
			t.Errorf("%.20q from a pipe: %v, want %s", c.data, err, c.text)
		}
	}
}

// Sources that are given up in the middle leave no goroutine behind.
func TestNoLeak(t *testing.T) {
	file := large()
	before := runtime.NumGoroutine()
	for _, packed := range [][]byte{file, gzipped(t, file), zstded(t, file), xzed(xz.CRC64, 1<<40)(t, file)} {
		name := writeFile(t, "x", packed)
		for range 10 {
			s, err := Open(name, Options{SHA256: true})
			if err != nil {
				t.Fatal(err)
			}
			var f Frame
			if err := s.Next(&f); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Next(&f); err != io.EOF {
				t.Errorf("Next returns %v after Close", err)
			}
		}
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
