package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
)

// demo is a capture of real sockets that belongs to the project.
const demo = "../../testdata/captures/pool-leak.pcap"

// corpus lists captures to try: the project's own, and those of the folder that
// LASTACK_CORPUS names.
func corpus(t *testing.T) []string {
	t.Helper()
	files := []string{demo}
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Log("LASTACK_CORPUS is not set: only the project's own capture is tried")
		return files
	}
	for _, pattern := range []string{"*.pcap", "*.pcapng", "*.gz"} {
		more, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	return files
}

// linesOf runs the program and returns its lines after the first, which quotes
// the command line.
func linesOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main(append([]string{"-q", "--findings", "all", "--jsonl", "-"}, args...), nil, &out, &errs); code != exitOK {
		t.Fatalf("%v: exit %d: %s", args, code, errs.String())
	}
	meta, rest, _ := strings.Cut(out.String(), "\n")
	if !strings.HasPrefix(meta, `{"type":"meta"`) {
		t.Fatalf("%v: first line %s", args, meta)
	}
	return rest
}

// The report does not depend on the threads, nor on how often it is made.
func TestThreads(t *testing.T) {
	for _, file := range corpus(t) {
		want := linesOf(t, "--threads", "1", file)
		for _, threads := range []string{"1", "2", "8"} {
			if got := linesOf(t, "--threads", threads, file); got != want {
				t.Errorf("%s, %s threads: %s", file, threads, difference(want, got))
			}
		}
	}
}

// Nor does it depend on the order in which files are named.
func TestFileOrder(t *testing.T) {
	files := corpus(t)
	if len(files) < 2 {
		files = pieces(t, demo, 3)
	}
	want := linesOf(t, files...)
	slices.Reverse(files)
	if got := linesOf(t, files...); got != want {
		t.Error(difference(want, got))
	}
	slices.Sort(files)
	if got := linesOf(t, append(files[2:], files[:2]...)...); got != want {
		t.Error(difference(want, got))
	}
}

// A capture that is cut in pieces gives the same report, once its packets are
// named by their places in the whole.
func TestPieces(t *testing.T) {
	for _, file := range corpus(t) {
		parts := pieces(t, file, 10)
		if parts == nil {
			continue
		}
		want := places(t, linesOf(t, file), nil)
		got := places(t, linesOf(t, parts...), parts)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -whole +pieces:\n%.3000s", file, d)
		}
	}
}

// tableArgs ask for what the state tables are printed in.
var tableArgs = [][]string{{"--csv", "-"}, {"--prom", "-"}, {"--csv", "-", "--msl", "3s"}}

// outputOf runs the program and returns what it prints.
func outputOf(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main(append([]string{"-q"}, args...), nil, &out, &errs); code != exitOK {
		t.Fatalf("%v: exit %d: %s", args, code, errs.String())
	}
	return out.String()
}

// The state tables are the same for any number of threads, any order of files,
// and for a file and its pieces.
func TestTables(t *testing.T) {
	for _, file := range corpus(t) {
		parts := pieces(t, file, 10)
		for _, args := range tableArgs {
			want := outputOf(t, append(args, "--threads", "1", file)...)
			for _, threads := range []string{"2", "8"} {
				if got := outputOf(t, append(args, "--threads", threads, file)...); got != want {
					t.Errorf("%s, %s threads: %s", file, threads, difference(want, got))
				}
			}
			if parts == nil {
				continue
			}
			slices.Reverse(parts)
			if got := outputOf(t, append(args, parts...)...); got != want {
				t.Errorf("%s in pieces: %s", file, difference(want, got))
			}
		}
		for _, at := range []string{"+0", "+0.1", "+1s", "+30s", "+5m"} {
			want := linesOf(t, "--threads", "1", "--at", at, file)
			if got := linesOf(t, "--threads", "8", "--at", at, file); got != want {
				t.Errorf("%s at %s, 8 threads: %s", file, at, difference(want, got))
			}
			if parts == nil {
				continue
			}
			slices.Sort(parts)
			if d := cmp.Diff(places(t, want, nil), places(t, linesOf(t, append([]string{"--at", at}, parts...)...), parts)); d != "" {
				t.Errorf("%s at %s: -whole +pieces:\n%.3000s", file, at, d)
			}
		}
	}
}

func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n%s\n%s", i+2, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// pieces cuts a capture, each piece a file; nil for one that this cannot be
// asked of: not plain Ethernet, its time steps back, or it keeps an account of
// drops, which the pieces' format cannot hold.
func pieces(t *testing.T, file string, n int) []string {
	t.Helper()
	src, err := capture.Open(file, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var frames []scenario.Frame
	last := int64(0)
	for {
		var f capture.Frame
		err := src.Next(&f)
		if err == io.EOF {
			break
		}
		if err != nil || f.LinkType != 1 || f.At < last {
			return nil
		}
		last = f.At
		frames = append(frames, scenario.Frame{At: f.At, Data: bytes.Clone(f.Data), Len: int(f.WireLen)})
	}
	info := src.Info()
	if len(frames) < n || info.End != 0 || info.Others > 0 || info.Damage != nil || info.Counted {
		return nil
	}
	var out []string
	for i := range n {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%02d.pcap", i))
		part := frames[i*len(frames)/n : (i+1)*len(frames)/n]
		if err := os.WriteFile(name, scenario.Pcap(part, int(info.SnapLen)), 0o666); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// places reads lines and names every packet by its place in the whole. What
// tells of the files themselves is left out.
func places(t *testing.T, lines string, files []string) []any {
	t.Helper()
	m := mapping{before: []uint64{0}}
	for _, f := range files {
		src, err := capture.Open(f, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for src.Next(new(capture.Frame)) == nil {
			n++
		}
		src.Close()
		m.before = append(m.before, m.before[len(m.before)-1]+n)
	}
	var out []any
	for line := range strings.Lines(lines) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v["type"] == "source" {
			continue
		}
		delete(v, "wireshark") // without frame numbers where there are several files
		out = append(out, m.walk(v))
	}
	return out
}

// mapping is how many frames stand before each file.
type mapping struct{ before []uint64 }

func (m mapping) walk(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if file, ok := v["file"].(float64); ok {
			frame, _ := v["frame"].(float64)
			v["file"], v["frame"] = 0.0, frame+float64(m.before[int(file)])
		}
		for k, x := range v {
			v[k] = m.walk(x)
		}
	case []any:
		for i, x := range v {
			v[i] = m.walk(x)
		}
	case string:
		if file, frame, ok := strings.Cut(v, ":"); ok {
			f, errF := strconv.Atoi(file)
			n, errN := strconv.ParseUint(frame, 10, 64)
			if errF == nil && errN == nil && f < len(m.before) {
				return fmt.Sprint(n + m.before[f])
			}
		}
		return inWords.ReplaceAllStringFunc(v, m.words)
	}
	return v
}

// inWords is how sentences name a packet, with its file unless that is the
// first.
var inWords = regexp.MustCompile(`frame (?:[0-9]+:)?[0-9]+`)

func (m mapping) words(s string) string {
	name := strings.TrimPrefix(s, "frame ")
	file, frame, ok := strings.Cut(name, ":")
	if !ok {
		file, frame = "0", name
	}
	f, _ := strconv.Atoi(file)
	n, _ := strconv.ParseUint(frame, 10, 64)
	return fmt.Sprint("frame ", n+m.before[f])
}
