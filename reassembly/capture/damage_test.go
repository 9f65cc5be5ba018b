package capture

import (
	"bytes"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is one file of each format, with three or more frames.
func small() map[string][]byte {
	abc := []byte("abcdefgh")
	return map[string][]byte{
		"pcap": cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), pcapRec(le, 1, 2, 8, 8, nil, abc),
			pcapRec(le, 2, 2, 0, 0, nil, nil), pcapRec(le, 3, 2, 8, 99, nil, abc)),
		"pcap big-endian 2.2": cat(pcapHead(be, pcapMicro, 2, 2, 96, 1), pcapRec(be, 1, 2, 8, 8, nil, abc),
			pcapRec(be, 2, 2, 9, 8, nil, abc), pcapRec(be, 3, 2, 99, 8, nil, abc)),
		"pcapng": cat(ngSHB(le), ngIDB(le, 1, 4, ngOpt(le, 9, []byte{9}), u32s(le, 0)), ngEPB(le, 0, 1, 8, abc, ngOpt(le, 1, abc)),
			ngBlock(le, 0xbad, u32s(le, 1), abc), ngBlock(le, 0x1234, abc), ngBlock(le, ngSimple, u32s(le, 8), abc[:4]), ngSHB(be),
			ngIDB(be, 101, 0), ngEPB(be, 0, 3, 8, abc), ngISB(be, 0, 9, ngOpt(be, 5, be.AppendUint64(nil, 3)))),
		"snoop": cat(snoopHead(2, 4), snoopRec(1, 2, 8, 0, abc, 0), snoopRec(2, 2, 8, 0, abc, 6), snoopRec(3, 2, 8, 0, abc, 0)),
	}
}

// A file cut at any byte gives the frames that are whole and either a clean
// end or damage that names the frame.
func TestTruncation(t *testing.T) {
	for name, file := range small() {
		whole, _, err := readFile(t, file)
		if err != nil || len(whole) < 3 {
			t.Fatalf("%s: %d frames, %v", name, len(whole), err)
		}
		before, ends := -1, 0
		for n := range len(file) {
			frames, info, err := readPipe(t, file[:n], 5)
			if err != nil {
				if before >= 0 {
					t.Errorf("%s cut at %d: %v, after a shorter one could be read", name, n, err)
				}
				continue
			}
			if d := cmp.Diff(whole[:len(frames)], append([]got{}, frames...)); d != "" {
				t.Errorf("%s cut at %d:\n%s", name, n, d)
			}
			if len(frames) < before {
				t.Errorf("%s cut at %d: %d frames, and %d when shorter", name, n, len(frames), before)
			}
			before = len(frames)
			switch d := info.Damage; {
			case d == nil:
				ends++
			case !strings.HasPrefix(d.Text, "standard input ends inside "):
				t.Errorf("%s cut at %d: %s", name, n, d.Text)
			case d.Frame != info.Packets+info.Others && d.Frame != info.Packets+info.Others+1:
				t.Errorf("%s cut at %d: frame %d after %d", name, n, d.Frame, len(frames))
			}
		}
		// Clean ends are those between records: as many as there are of these.
		if want := map[string]int{"pcapng": 9}[name]; ends != want && (want > 0 || ends != len(whole)) {
			t.Errorf("%s: %d of %d cuts are clean ends", name, ends, len(file))
		}
	}
}

func TestTruncationText(t *testing.T) {
	rec := pcapRec(le, 1, 2, 3, 3, nil, []byte("abc"))
	file := cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), bytes.Repeat(rec, 88_119), rec[:17])
	frames, info, err := readFile(t, file)
	if err != nil || len(frames) != 88_119 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	if d := info.Damage; d == nil || d.Text != "file ends inside frame 88,120" || d.Frame != 88_120 ||
		d.Error() != info.Name+": file ends inside frame 88,120" {
		t.Errorf("damage %v", d)
	}
}

// Lengths that are not borne out by bytes cost no memory: reading takes the
// blocks that circulate and little else.
func TestAbsurdLengths(t *testing.T) {
	pcap := pcapHead(le, pcapMicro, 2, 4, math.MaxUint32, 249) // a link type with frames of up to 128 MiB
	for name, file := range map[string][]byte{
		"pcap":              cat(pcap, pcapRec(le, 1, 0, math.MaxUint32, 1, nil, nil)),
		"pcap, believable":  cat(pcap, pcapRec(le, 1, 0, 128<<20, 128<<20, nil, nil)),
		"pcap 2.2":          cat(pcapHead(le, pcapMicro, 2, 2, 128<<20, 1), pcapRec(le, 1, 0, 1, 128<<20, nil, nil)),
		"pcapng packet":     cat(ngSHB(le), ngIDB(le, 249, 0), u32s(le, ngEnhanced, 128<<20+32, 0, 0, 0, 128<<20, 0)),
		"pcapng block":      cat(ngSHB(le), u32s(le, 0x77, 128<<20, 0)),
		"pcapng interface":  cat(ngSHB(le), u32s(le, ngInterface, 16<<20, 1)),
		"pcapng section":    u32s(le, ngSection, 16<<20, ngByteOrder, 1),
		"pcapng everything": cat(ngSHB(le), u32s(le, ngEnhanced, math.MaxUint32, 0)),
		"snoop":             cat(snoopHead(2, 4), u32s(be, math.MaxUint32, math.MaxUint32, math.MaxUint32, 0, 0, 0)),
		"zstd window":       zstdClaiming(maxWindow),
		"xz dictionary":     xzClaiming(36),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		frames, info, err := readPipe(t, file, 100)
		runtime.ReadMemStats(&after)
		if len(frames) != 0 || err == nil && info.Damage == nil {
			t.Errorf("%s: %d frames, damage %v", name, len(frames), info.Damage)
		}
		limit := uint64(aheadBlocks*blockSize + 1<<20)
		if strings.HasPrefix(name, "zstd") || strings.HasPrefix(name, "xz") {
			limit += 2 * maxWindow
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > limit {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
}

// Compressions may ask for memory up to a bound, beyond which they are
// refused.
func TestAbsurdWindows(t *testing.T) {
	for text, file := range map[string][]byte{
		"the zstd data needs a window above 128 MiB: decompress it first":                 zstdClaiming(2 * maxWindow),
		"the xz data is damaged: its dictionary is above 128 MiB: decompress it first":    xzClaiming(40),
		"the xz data is damaged: a filter is used that is not known: decompress it first": xzClaiming(41),
	} {
		if _, _, err := readFile(t, file); err == nil || !strings.HasSuffix(err.Error(), ": "+text) {
			t.Errorf("error %v, want %s", err, text)
		}
	}
}
