package report_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// Nothing that comes out depends on anybody having looked in between, also where
// closed flows would have been evicted a moment later, where several segments
// have the same time, and where the clock steps back.
func TestLooksChangeNothing(t *testing.T) {
	for _, name := range []string{"evicting", "same time", "clock back"} {
		t.Run(name, func(t *testing.T) {
			o := report.Options{Threads: 1}
			segments := traffic(3000, 4*time.Minute)
			if name == "evicting" {
				o.MaxFlows = 1500
			}
			last := segments[0].At
			for i := range segments {
				if name == "same time" {
					segments[i].At = segments[i].At / 1e8 * 1e8
				}
				if name == "clock back" && i%5 == 0 {
					segments[i].At -= 3e9
				}
				last = max(last, segments[i].At)
			}
			segments[len(segments)-1].At = last
			want, lines := run(t, segments, o)
			var looks []int
			for i := 0; i < len(segments); i += 211 {
				looks = append(looks, i)
			}
			got, more := run(t, segments, o, looks...)
			if more != lines {
				t.Error(firstDifference(lines, more))
			}
			if want.Health.EvictedFlows != got.Health.EvictedFlows {
				t.Errorf("%d flows evicted, %d where somebody looked", want.Health.EvictedFlows, got.Health.EvictedFlows)
			}
			if d := cmp.Diff(want.Tally, got.Tally, same); d != "" {
				t.Error(d)
			}
			inOrder(t, "nobody looked", lines)
			inOrder(t, "somebody looked", more)
		})
	}
}

// inOrder holds lines of flows to the order of (Final, ID).
func inOrder(t *testing.T, when, lines string) {
	t.Helper()
	var lastFinal, lastID int64
	for line := range strings.Lines(lines) {
		var final, id int64
		fmt.Sscan(line, &final, &id)
		if final < lastFinal || final == lastFinal && id <= lastID {
			t.Errorf("%s: (%d, %d) comes after (%d, %d)", when, final, id, lastFinal, lastID)
			return
		}
		lastFinal, lastID = final, id
	}
}

// forgetful takes lines and keeps none.
type forgetful struct{ recorder }

func (*forgetful) Write(p []byte) (int, error) { return len(p), nil }
func (*forgetful) Flush() error                { return nil }

// What ends while event time stands still, because a clock stepped back or gives
// no time at all, is not piled up.
func TestStandingClock(t *testing.T) {
	a := report.New(report.Options{Threads: 1, MaxFlows: 64, Rules: canonical.Rules(), Flows: &forgetful{}})
	var before, after runtime.MemStats
	var src, dst [16]byte
	src[15], dst[15] = 1, 2
	measure := func(m *runtime.MemStats) { runtime.GC(); runtime.ReadMemStats(m) }
	const flows = 60_000
	for i := range 5 * flows {
		if i == 4*flows { // what is bounded has reached its bound
			measure(&before)
		}
		tuple, client := tcp.MakeTuple(&src, &dst, uint16(i), uint16(1+i>>16))
		a.Add(&tcp.Segment{At: canonical.Start, Ref: tcp.Ref(0, uint64(i+1)), Tuple: tuple, From: client, Seq: tcp.Seq(i),
			Flags: tcp.SYN, Window: 1000, TTL: 64, IPID: uint16(i) | 1, Kind: tcp.KindTCP})
	}
	measure(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d more flows of which 64 are held took %d KB more", flows, grown>>10)
	}
	a.Close()
}

// The least bounds on flows, and numbers of threads that do not divide the work
// evenly, change nothing either.
func TestFewFlowsManyThreads(t *testing.T) {
	segments := traffic(400, 2*time.Minute)
	for _, flows := range []int{1, 8, 63, 64, 65} {
		want, lines := run(t, segments, report.Options{Threads: 1, MaxFlows: flows})
		for _, threads := range []int{2, 3, 5, 7, 8, 9, 64} {
			got, more := run(t, segments, report.Options{Threads: threads, MaxFlows: flows})
			if more != lines {
				t.Errorf("%d threads, at most %d flows: %s", threads, flows, firstDifference(lines, more))
			}
			if d := cmp.Diff(want, got, same); d != "" {
				t.Errorf("%d threads, at most %d flows: %s", threads, flows, d)
			}
		}
	}
}
