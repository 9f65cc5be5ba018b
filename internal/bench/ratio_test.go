package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/internal/bench/traffic"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Spread
		text string
	}{
		{[]float64{3}, Spread{3, 3, 3, 1}, "3.00"},
		{[]float64{30, 10}, Spread{20, 10, 30, 2}, "20.0 (10.0 to 30.0)"},
		{[]float64{5, 200, 1}, Spread{5, 1, 200, 3}, "5.00 (1.00 to 200)"},
	} {
		if s := spread(c.in); s != c.want || s.String() != c.text {
			t.Errorf("%v is %+v, %q; want %+v, %q", c.in, s, s, c.want, c.text)
		}
	}
}

// results is a capture with two rounds of lastack and of others.
func results(capture string, connections uint64, runs map[string][]Usage) *Results {
	return &Results{
		Captures: []Capture{{Name: capture, Totals: traffic.Totals{Connections: connections}}},
		runs:     map[string]map[string][]Usage{capture: runs}, GCShare: -1,
	}
}

func usage(wall, cpu time.Duration, megabytes int64) Usage {
	return Usage{Wall: wall * time.Second, CPU: cpu * time.Second, Peak: megabytes * megabyte}
}

// Rounds are compared one by one: the median of ratios is not the ratio of the
// medians.
func TestRatioIsTakenWithinRounds(t *testing.T) {
	r := results("mix", 1, map[string][]Usage{
		full:       {usage(1, 1, 1), usage(10, 1, 1), usage(2, 1, 1)},
		"tcptrace": {usage(8, 2, 1), usage(20, 2, 1), usage(30, 2, 1)},
	})
	if s, ok := r.ratio("mix", "tcptrace", full, wall); !ok || s != (Spread{8, 2, 15, 3}) {
		t.Errorf("wall: %+v, want 8, 2 and 15", s)
	}
	if s, ok := r.ratio("mix", "tcptrace", full, cpu); !ok || s != (Spread{2, 2, 2, 3}) {
		t.Errorf("CPU: %+v, want 2", s)
	}
	if _, ok := r.ratio("mix", "tshark", full, wall); ok {
		t.Error("a ratio to what was not measured")
	}
}

// state is the verdict on the target whose description holds all words.
func state(t *testing.T, r *Results, n int, words ...string) State {
	t.Helper()
	for _, v := range r.Targets() {
		if v.Number != n {
			continue
		}
		all := true
		for _, w := range words {
			all = all && strings.Contains(v.What, w)
		}
		if all {
			return v.State
		}
	}
	t.Fatalf("no target %d speaks of %q", n, words)
	return 0
}

func TestTargets(t *testing.T) {
	r := results("mix", 1, map[string][]Usage{
		full: {usage(10, 10, 128)}, fullOne: {usage(20, 10, 1)}, textOne: {usage(3, 3, 1)}, plainLoop: {usage(2, 2, 1)},
		"tcptrace": {usage(80, 1, 1)}, "nfpcapd": {usage(49, 1, 1)},
	})
	for _, c := range []struct {
		n    int
		word string
		want State
	}{
		{1, "tcptrace", Met}, {3, "tshark", NotMeasured}, {4, "nfpcapd", Missed}, {5, "mix", Met}, {7, "mix", Met}, {10, "mix", Met},
		{12, "garbage", NotMeasured},
	} {
		if have := state(t, r, c.n, c.word); have != c.want {
			t.Errorf("target %d, %s: %v, want %v", c.n, c.word, have, c.want)
		}
	}
}

func TestMemoryForEachFlow(t *testing.T) {
	// 64 MB are the program's own; 320 octets for each of a million are 320 MB.
	for peak, want := range map[int64]State{384: Met, 385: Missed, 20: Met} {
		r := results("concurrent", 1e6, map[string][]Usage{full: {usage(1, 1, peak)}})
		if have := state(t, r, 8, "concurrent"); have != want {
			t.Errorf("%d MB: %v, want %v", peak, have, want)
		}
	}
	// Of a million flows the bound holds 400,000.
	for peak, want := range map[int64]State{115: Met, 116: Missed} {
		r := results("flood", 1e6, map[string][]Usage{bounded: {usage(1, 1, peak)}})
		if have := state(t, r, 9, bounded); have != want {
			t.Errorf("%d MB: %v, want %v", peak, have, want)
		}
	}
}

func TestMeasureTellsWhatAProgramTook(t *testing.T) {
	u, err := measure(context.Background(), []string{"sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"}, 1<<30, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.Wall <= 0 || u.CPU <= 0 || u.Peak < 100<<10 {
		t.Errorf("a loop took %+v", u)
	}
	var notes strings.Builder
	_, err = measure(context.Background(), []string{"sh", "-c", "echo first >&2; echo $WHY >&2; exit 7"}, 0, &notes, "WHY=second")
	if err == nil || !strings.Contains(err.Error(), "7: first; second") || notes.String() != "first\nsecond\n" {
		t.Errorf("a failure is told as %v, with notes %q", err, notes.String())
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for _, k := range Peers("/nonexistent/loop") {
		if k.Name == plainLoop && (k.installed() || !strings.Contains(k.missing(), "gcc")) {
			t.Errorf("the C loop is said to be installed, or %q", k.missing())
		}
		if k.Package == "" || len(k.Captures) == 0 {
			t.Errorf("%s has no package or no captures", k.Name)
		}
		for _, c := range k.Captures {
			if _, err := traffic.Named(c, 1); err != nil {
				t.Errorf("%s: %v", k.Name, err)
			}
		}
	}
}
