package reassembly

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// The short ways lead to where the whole one does, on real captures, as they are
// and with segments left out, repeated, exchanged and changed.
func TestShortWaysOnCorpus(t *testing.T) {
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Skip("LASTACK_CORPUS is not set: no real captures to read")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.pcap*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	files, short, all := 0, 0, 0
	for _, name := range names {
		segments := someSegments(t, name, 700)
		if len(segments) == 0 {
			continue
		}
		files++
		for seed := range uint64(3) {
			n, m := bothWays(t, name, worsen(segments, seed))
			short, all = short+n, all+m
		}
	}
	t.Logf("%d files, %d of %d segments the short way", files, short, all)
}

// someSegments are the first of a capture.
func someSegments(t *testing.T, name string, most int) (out []tcp.Segment) {
	src, err := capture.Open(name, capture.Options{})
	if err != nil {
		return nil
	}
	defer src.Close()
	dec := decode.New(decode.Options{})
	var frame capture.Frame
	for len(out) < most && src.Next(&frame) == nil {
		var s tcp.Segment
		switch dec.Decode(frame.LinkType, frame.Data, frame.WireLen, frame.At, tcp.Ref(0, frame.Number), &s) {
		case decode.Segment, decode.Quote:
			out = append(out, s)
		}
	}
	return out
}

// worsen is a copy of segments with some of them changed; with seed 0 as they are.
func worsen(segments []tcp.Segment, seed uint64) (out []tcp.Segment) {
	r := rand.New(rand.NewPCG(seed, 1))
	for _, s := range segments {
		if seed > 0 && r.IntN(15) == 0 {
			switch r.IntN(7) {
			case 0:
				continue
			case 1:
				out = append(out, s)
			case 2:
				if n := len(out); n > 0 {
					s, out[n-1] = out[n-1], s
				}
			case 3:
				s.Seq = s.Seq.Add(uint32(r.IntN(3)) - 1)
			case 4:
				s.Ack = s.Ack.Add(uint32(r.IntN(3)) - 1)
			case 5:
				s.TSVal -= r.Uint32N(20)
			case 6:
				s.Flags ^= tcp.Flags(1 << r.IntN(5))
			}
		}
		out = append(out, s)
	}
	for i := range out {
		out[i].Ref = tcp.Ref(0, uint64(i+1))
	}
	return out
}

// bothWays holds both ways to each other, and tells how many segments went the
// short one.
func bothWays(t *testing.T, name string, segments []tcp.Segment) (short, all int) {
	var want, got []*Flow
	whole := NewTable(Options{MaxFlows: 1 << 20, Compat: true}, func(f *Flow) { want = append(want, f.Clone()) })
	whole.whole = true
	other := NewTable(Options{MaxFlows: 1 << 20, Compat: true}, func(f *Flow) { got = append(got, f.Clone()) })
	end := int64(0)
	for i := range segments {
		whole.Step(&segments[i])
		other.Step(&segments[i])
		sameEntry(t, whole, other, &segments[i])
		if end = max(end, segments[i].At); i%64 == 0 {
			Together(whole).Sweep(end)
			Together(other).Sweep(end)
		}
		if i%500 == 0 {
			if err := other.check(); err != nil {
				t.Fatalf("%s, segment %d: %v", name, i, err)
			}
		}
	}
	Together(whole).Finish(end)
	Together(other).Finish(end)
	if d := cmp.Diff(want, got, flowDiff); d != "" {
		t.Errorf("%s: %s", name, d)
	}
	return other.shortcuts, len(segments)
}
