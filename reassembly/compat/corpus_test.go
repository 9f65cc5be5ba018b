package compat_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// stream is one of tshark's, with what the oracle says of it.
type stream struct {
	File         string
	Stream       int
	Pkts         [2]int
	First        uint64 `json:"first_frame"`
	Last         uint64 `json:"last_frame"`
	Completeness uint8
}

// conversation is a stream as the test splits it.
type conversation struct {
	state       compat.State
	based       [2]bool // base is known, by tcp.Side.Index
	base        [2]tcp.Seq
	first, last uint64
	packets     int
}

// splitter splits a capture into streams as tshark does: anew for a SYN whose
// sender had another base sequence number in the tuple's latest stream.
type splitter struct {
	streams []*conversation
	latest  map[tcp.Tuple]*conversation
}

func (sp *splitter) observe(seg *tcp.Segment) {
	c := sp.latest[seg.Tuple]
	i := seg.From.Index()
	if c == nil || seg.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN && c.based[i] && c.base[i] != seg.Seq {
		reused := c != nil
		c = &conversation{first: seg.Ref.Frame()}
		if reused {
			c.state.Reused()
		}
		sp.latest[seg.Tuple] = c
		sp.streams = append(sp.streams, c)
	}
	if seg.Flags.Has(tcp.SYN | tcp.ACK) {
		c.based[i], c.base[i] = true, seg.Seq
	}
	if !c.based[i] {
		c.based[i], c.base[i] = true, seg.Seq
		if seg.Flags&tcp.SYN == 0 {
			c.base[i]--
		}
	}
	if !c.based[1-i] && seg.Flags&tcp.ACK != 0 {
		c.based[1-i], c.base[1-i] = true, seg.Ack-1
	}
	c.last = seg.Ref.Frame()
	c.packets++
	c.state.Observe(seg)
}

// split reads one capture.
func split(t *testing.T, name string) []*conversation {
	t.Helper()
	src, err := capture.Open(name, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sp := splitter{latest: map[tcp.Tuple]*conversation{}}
	dec := decode.New(decode.Options{})
	var f capture.Frame
	var seg tcp.Segment
	for {
		err := src.Next(&f)
		if errors.Is(err, io.EOF) {
			return sp.streams
		}
		if err != nil {
			t.Fatal(err)
		}
		if dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(f.File, f.Number), &seg) == decode.Segment {
			sp.observe(&seg)
		}
	}
}

// oracle reads what tshark says of the streams of each file.
func oracle(t *testing.T, dir string) map[string][]stream {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "oracle_tshark.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]stream{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s stream
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out[s.File] = append(out[s.File], s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Every stream of the real captures has tshark's completeness.
func TestCompletenessOfCorpus(t *testing.T) {
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Skip("LASTACK_CORPUS does not name the folder of captures")
	}
	type span struct {
		first, last uint64
		packets     int
	}
	total, compared, equal := 0, 0, 0
	for file, streams := range oracle(t, dir) {
		ours := map[span]*conversation{}
		for _, c := range split(t, filepath.Join(dir, file)) {
			ours[span{c.first, c.last, c.packets}] = c
		}
		for _, want := range streams {
			total++
			c := ours[span{want.First, want.Last, want.Pkts[0] + want.Pkts[1]}]
			if c == nil {
				t.Errorf("%s: stream %d, frames %d to %d, %d packets, is split in another way", file, want.Stream, want.First, want.Last, want.Pkts[0]+want.Pkts[1])
				continue
			}
			compared++
			if got := c.state.Completeness(); got != want.Completeness {
				t.Errorf("%s: stream %d, frames %d to %d: completeness %d, tshark has %d", file, want.Stream, want.First, want.Last, got, want.Completeness)
				continue
			}
			equal++
		}
	}
	t.Logf("%d streams, %d split alike, %d of these with tshark's completeness", total, compared, equal)
	if total == 0 {
		t.Error("the oracle names no stream")
	}
}
