package capture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func gzipped(t testing.TB, data []byte) []byte {
	return written(t, data, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

func zstded(t testing.TB, data []byte) []byte {
	return written(t, data, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

func xzed(check byte, blockSize int64) func(t testing.TB, data []byte) []byte {
	return func(t testing.TB, data []byte) []byte {
		return written(t, data, func(w io.Writer) (io.WriteCloser, error) {
			return xz.WriterConfig{CheckSum: check, NoCheckSum: check == 0, BlockSize: blockSize, DictCap: 1 << 20}.NewWriter(w)
		})
	}
}

func written(t testing.TB, data []byte, to func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := to(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zstdClaiming is a zstd frame that wants a window of the given size, a power
// of two, and ends there (RFC 8878 §3.1.1.1).
func zstdClaiming(window uint64) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(bits.Len64(window)-1-10) << 3}
}

// xzClaiming is an xz stream whose first block wants the dictionary of the
// given code, and that then ends.
func xzClaiming(dictionary byte) []byte {
	sum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	head := sum([]byte{0, 1})
	block := sum([]byte{2, 0, 0x21, 1, dictionary, 0, 0, 0})
	return cat(xzMagic, head, block)
}

// large is a capture of more than a block that does not compress to nothing.
func large() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := pcapHead(le, pcapMicro, 2, 4, 65535, 1)
	data := make([]byte, 1500)
	for i := range uint32(1000) {
		for j := range data {
			data[j] = "0123456789abcdef"[r.IntN(16)]
		}
		n := 1 + r.IntN(len(data))
		b = append(b, pcapRec(le, i, 0, uint32(n), uint32(n), nil, data[:n])...)
	}
	return b
}

type compressor struct {
	name, format string
	compress     func(testing.TB, []byte) []byte
}

func compressors() []compressor {
	halves := func(one func(testing.TB, []byte) []byte, between string) func(testing.TB, []byte) []byte {
		return func(t testing.TB, b []byte) []byte {
			return cat(one(t, b[:len(b)/2]), []byte(between), one(t, b[len(b)/2:]))
		}
	}
	after := func(one func(testing.TB, []byte) []byte, tail string) func(testing.TB, []byte) []byte {
		return func(t testing.TB, b []byte) []byte { return append(one(t, b), tail...) }
	}
	xz64 := xzed(xz.CRC64, 1<<40)
	return []compressor{
		{"gzip", "gzip", gzipped},
		{"gzip members", "gzip", halves(gzipped, "")},
		{"gzip padded with zeros", "gzip", after(gzipped, strings.Repeat("\x00", 1000))},
		{"zstd", "zstd", zstded},
		{"zstd frames", "zstd", halves(zstded, "")},
		{"zstd, skippable frame first", "zstd", func(t testing.TB, b []byte) []byte {
			return cat([]byte("\x53\x2a\x4d\x18\x03\x00\x00\x00abc"), zstded(t, b))
		}},
		{"xz", "xz", xz64},
		{"xz CRC-32", "xz", xzed(xz.CRC32, 1<<40)},
		{"xz SHA-256", "xz", xzed(xz.SHA256, 1<<40)},
		{"xz without check", "xz", xzed(0, 1<<40)},
		{"xz blocks", "xz", xzed(xz.CRC64, 100_000)},
		{"xz streams", "xz", halves(xz64, "")},
		{"xz streams and padding", "xz", halves(xz64, "\x00\x00\x00\x00\x00\x00\x00\x00")},
		{"xz padded", "xz", after(xz64, "\x00\x00\x00\x00")},
	}
}

// Every compression around every format reads as the format itself.
func TestCompressed(t *testing.T) {
	files := small()
	files["large"] = large()
	for _, c := range compressors() {
		for name, file := range files {
			if name == "large" && strings.HasPrefix(c.name, "xz ") && c.name != "xz blocks" {
				continue // which takes long and tells nothing new
			}
			want, plain, err := readFile(t, file)
			if err != nil || plain.Damage != nil {
				t.Fatal(err, plain.Damage)
			}
			packed := c.compress(t, file)
			frames, info, err := readFile(t, packed)
			if err != nil || info.Damage != nil {
				t.Errorf("%s, %s: %v, %v", c.name, name, err, info.Damage)
			}
			if d := cmp.Diff(want, frames); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.name, name, d)
			}
			if info.Format != plain.Format+"+"+c.format || info.Bytes != int64(len(packed)) {
				t.Errorf("%s, %s: format %s, %d bytes, want %d", c.name, name, info.Format, info.Bytes, len(packed))
			}
		}
	}
}

// Compressed data that is cut off gives the frames before the cut, and damage.
func TestCompressedTruncated(t *testing.T) {
	file := large()
	want, _, _ := readFile(t, file)
	for _, c := range compressors() {
		if strings.Contains(c.name, "padded") || strings.Contains(c.name, "xz ") && c.name != "xz blocks" {
			continue // a cut in the padding is none; and the checks make no difference
		}
		packed := c.compress(t, file)
		last := -1
		for _, share := range []int{20, 50, 90, 99, 100} {
			n := len(packed) * share / 100
			if share == 100 {
				n = len(packed) - 1
			}
			frames, info, err := readFile(t, packed[:n])
			if err != nil {
				t.Errorf("%s, %d %%: %v", c.name, share, err)
				continue
			}
			if info.Damage == nil || !strings.HasPrefix(info.Damage.Text, "the "+c.format+" data is cut off") {
				t.Errorf("%s, %d %%: damage %v", c.name, share, info.Damage)
			}
			if d := cmp.Diff(want[:len(frames)], append([]got{}, frames...)); d != "" {
				t.Errorf("%s, %d %%:\n%s", c.name, share, d)
			}
			lag := 20 // percent: zstd gives a block when it is whole
			if c.format == "xz" {
				lag = 1
			}
			if len(frames) < last || len(frames) < len(want)*(share-lag)/100 {
				t.Errorf("%s, %d %%: %d of %d frames", c.name, share, len(frames), len(want))
			}
			last = len(frames)
		}
	}
}

func TestCompressedDamaged(t *testing.T) {
	file := large()
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0x55
		return b
	}
	gz, zs, xz64 := gzipped(t, file), zstded(t, file), xzed(xz.CRC64, 1<<40)(t, file)
	for _, c := range []struct {
		name, text string
		file       []byte
		all        bool // the damage comes after all frames
	}{
		{"gzip checksum", "the gzip data is damaged", flip(gz, len(gz)-6), true},
		{"gzip middle", "", flip(gz, len(gz)/2), false}, // what is decompressed may be odd before it is wrong
		{"after gzip", "the gzip data is damaged: bytes follow that are not gzip data after frame 1,000", append(bytes.Clone(gz), "tail"...), true},
		{"after gzip and zeros", "the gzip data is damaged: bytes follow that are not gzip data after frame 1,000", append(bytes.Clone(gz), "\x00\x00\x1f\x8b"...), true},
		{"second gzip member cut", "the gzip data is cut off after frame 1,000", append(bytes.Clone(gz), gz[:5]...), true},
		{"zstd checksum", "the zstd data is damaged", flip(zs, len(zs)-2), false},
		{"after zstd", "the zstd data is damaged", append(bytes.Clone(zs), "tail tail"...), true},
		{"xz middle", "the xz data is damaged", flip(xz64, len(xz64)/2), false},
		{"xz footer", "the xz data is damaged: not as the format", flip(xz64, len(xz64)-1), true},
		{"after xz", "the xz data is damaged: stream header", append(bytes.Clone(xz64), "tail tail tail"...), true},
	} {
		frames, info, err := readFile(t, c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if info.Damage == nil || !strings.HasPrefix(info.Damage.Text, c.text) || info.Damage.Frame < uint64(len(frames)) {
			t.Errorf("%s: damage %v", c.name, info.Damage)
		}
		if (len(frames) == 1000) != c.all {
			t.Errorf("%s: %d frames", c.name, len(frames))
		}
	}
	// The checksum of xz stands between the last block and the index, whose
	// length is in the footer.
	index := 4 * (int(le.Uint32(xz64[len(xz64)-8:])) + 1)
	_, info, err := readFile(t, flip(xz64, len(xz64)-12-index-1))
	if err != nil || info.Damage == nil || !strings.HasPrefix(info.Damage.Text, "the xz data is damaged: not as the format or its checksums demand") {
		t.Errorf("wrong xz checksum: %v, %v", err, info.Damage)
	}
}
