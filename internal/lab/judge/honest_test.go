//go:build linux

package judge

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/internal/scenario/check"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Less of a real capture never makes another party look guilty: without any one
// bare ACK, cut short after any packet, begun at any packet, or with every frame
// captured twice.
func TestPoorerRecordingsBlameNobodyElse(t *testing.T) {
	limit := 400 // beyond it, not every frame is tried
	if testing.Short() {
		limit = 20
	}
	truths, err := filepath.Glob(filepath.Join(shipped, "*"+lab.TruthFile))
	if err != nil || len(truths) == 0 {
		t.Fatal("no recordings", err)
	}
	var mu sync.Mutex
	views := 0
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for _, truth := range truths {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			path := strings.TrimSuffix(truth, lab.TruthFile)
			rec, err := lab.ReadRecording(path)
			if err != nil {
				t.Error(err)
				return
			}
			p, err := profile(&rec.About)
			if err != nil {
				t.Error(err)
				return
			}
			for _, at := range []Vantage{AtClient, AtServer} {
				frames, err := framesOf(path + at.ending())
				if err != nil {
					t.Error(err)
					return
				}
				wrong, n, err := check.Poorer(frames, p, limit)
				if err != nil {
					t.Error(err)
				}
				for _, w := range wrong {
					t.Errorf("%s, %s", filepath.Base(path+at.ending()), w)
				}
				mu.Lock()
				views += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d poorer views of %d recordings", views, len(truths))
}

// framesOf reads the frames of a capture.
func framesOf(name string) (out []scenario.Frame, err error) {
	src, err := capture.Open(name, capture.Options{})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dec := decode.New(decode.Options{})
	var f capture.Frame
	var seg tcp.Segment
	for {
		if err := src.Next(&f); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		isTCP := dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(0, f.Number), &seg) == decode.Segment
		out = append(out, scenario.Frame{At: f.At, Data: slices.Clone(f.Data), Len: int(f.WireLen),
			PureACK: isTCP && seg.Flags == tcp.ACK && seg.Len == 0})
	}
}
