package decode_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// corpus is the folder of real captures; the test is skipped without it.
func corpus(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		tb.Skip("LASTACK_CORPUS is not set: no real captures to read")
	}
	return dir
}

// frames calls use for every frame of a capture file.
func frames(tb testing.TB, name string, use func(f *capture.Frame)) {
	tb.Helper()
	source, err := capture.Open(name, capture.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer source.Close()
	var f capture.Frame
	for {
		switch err := source.Next(&f); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			tb.Fatal(err)
		}
		use(&f)
	}
}

// side is what one end of a tuple sent in a whole file.
type side struct{ Packets, Bytes, SYN, SYNACK, FIN, RST int }

// ends is a tuple as text, so that a failure can be read.
type ends struct{ from, to string }

func (s *side) add(seg *tcp.Segment) {
	s.Packets++
	s.Bytes += int(seg.Len)
	for _, c := range []struct {
		n    *int
		when bool
	}{
		{&s.SYN, seg.Flags.Any(tcp.SYN) && !seg.Flags.Any(tcp.ACK)},
		{&s.SYNACK, seg.Flags.Has(tcp.SYN | tcp.ACK)},
		{&s.FIN, seg.Flags.Any(tcp.FIN)},
		{&s.RST, seg.Flags.Any(tcp.RST)},
	} {
		if c.when {
			*c.n++
		}
	}
}

// TestCorpusCounts decodes every capture and compares, for each file, the
// number of TCP segments with the README's, which is tshark's.
func TestCorpusCounts(t *testing.T) {
	dir := corpus(t)
	want := readmeCounts(t, dir)
	if len(want) != 85 {
		t.Errorf("README names %d captures, expected 85", len(want))
	}
	for name, n := range want {
		d := decode.New(decode.Options{})
		got, total := 0, 0
		var seg tcp.Segment
		frames(t, filepath.Join(dir, name), func(f *capture.Frame) {
			total++
			if d.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(0, f.Number), &seg) == decode.Segment {
				got++
			}
		})
		s := d.Stats()
		if got != n || total == 0 {
			t.Errorf("%s: %d TCP segments, tshark has %d; %+v", name, got, n, s)
		}
		if s.Segments != uint64(got) || s.Segments+s.Quotes+s.NotTCP+s.Fragments+s.Undecodable != uint64(total) {
			t.Errorf("%s: %d frames, but %+v", name, total, s)
		}
	}
}

var readmeRow = regexp.MustCompile(`^\| (\S+) \|.*?\| \d+ \((\d+)\) \| \d+ \|`)

// readmeCounts reads the number of TCP packets of each file from the README.
func readmeCounts(t *testing.T, dir string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, line := range strings.Split(string(text), "\n") {
		if m := readmeRow.FindStringSubmatch(line); m != nil {
			counts[m[1]], _ = strconv.Atoi(m[2])
		}
	}
	return counts
}

// oracleLine is one stream as tshark saw it.
type oracleLine struct {
	File         string
	A, B         string
	AP, BP       int
	Pkts         [2]int
	Bytes        [2]int
	Syn          [2]int
	Synack       [2]int
	Fin          [2]int
	Rst          [2]int
	BadChecksums int `json:"bad_cksum"`
}

// cutWithoutNote lists captures whose records say that the frames were as short
// on the wire as what was captured of them. The IP headers are intact and tell
// otherwise, as do the sequence numbers; tshark takes the frames' length.
var cutWithoutNote = map[string]bool{
	"tcptrace_fast_reuse.dmp.gz": true,
}

// TestCorpusStreams compares what each side of each tuple sent, by tshark and
// by this decoder: packets, flags, and payload by the IP header.
func TestCorpusStreams(t *testing.T) {
	dir := corpus(t)
	want, bad := oracle(t, dir)
	compared := 0
	for name, tuples := range want {
		got := map[ends]side{}
		d := decode.New(decode.Options{})
		var seg tcp.Segment
		frames(t, filepath.Join(dir, name), func(f *capture.Frame) {
			if d.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(0, f.Number), &seg) != decode.Segment {
				return
			}
			key := ends{seg.Tuple.End(seg.From).String(), seg.Tuple.End(seg.From.Other()).String()}
			s := got[key]
			s.add(&seg)
			got[key] = s
			if seg.Quality&tcp.BadChecksum != 0 && !bad[name] {
				t.Errorf("%s: frame %d has a bad checksum, tshark saw none in the file", name, f.Number)
			}
		})
		for key, w := range tuples {
			compared++
			g := got[key]
			if cutWithoutNote[name] {
				w.Bytes = g.Bytes
			}
			if g != w {
				t.Errorf("%s: %s > %s: %+v, tshark has %+v", name, key.from, key.to, g, w)
			}
			delete(got, key)
		}
		for key, g := range got {
			t.Errorf("%s: %s > %s: %+v, tshark has none", name, key.from, key.to, g)
		}
	}
	if compared < 3000 {
		t.Errorf("compared only %d directions", compared)
	}
}

// oracle sums tshark's streams up to tuples, by file; bad tells which files
// have segments with a bad checksum.
func oracle(t *testing.T, dir string) (sums map[string]map[ends]side, bad map[string]bool) {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, "oracle_tshark.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sums, bad = map[string]map[ends]side{}, map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l oracleLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if sums[l.File] == nil {
			sums[l.File] = map[ends]side{}
		}
		bad[l.File] = bad[l.File] || l.BadChecksums > 0
		a, b := endpoint(t, l.A, l.AP), endpoint(t, l.B, l.BP)
		for i, key := range []ends{{a, b}, {b, a}} {
			if l.Pkts[i] == 0 {
				continue
			}
			s := sums[l.File][key]
			s.Packets += l.Pkts[i]
			s.Bytes += l.Bytes[i]
			s.SYN += l.Syn[i]
			s.SYNACK += l.Synack[i]
			s.FIN += l.Fin[i]
			s.RST += l.Rst[i]
			sums[l.File][key] = s
		}
	}
	return sums, bad
}

func endpoint(t *testing.T, addr string, port int) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}
