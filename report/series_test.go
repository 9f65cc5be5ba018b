package report_test

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// story is the segments of a scenario.
type story struct {
	name       string
	segments   []tcp.Segment
	start, end int64
}

func stories(t *testing.T) (out []story) {
	t.Helper()
	all, err := scenario.ParseAll(os.DirFS("../testdata/scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		out = append(out, storyOf(s))
	}
	return out
}

func storyOf(s *scenario.Scenario) story {
	in := story{name: s.Name, start: s.Frames[0].At}
	dec := decode.New(decode.Options{})
	for i, f := range s.Frames {
		var seg tcp.Segment
		kind := dec.Decode(1, f.Data, uint32(f.Len), f.At, tcp.Ref(0, uint64(i+1)), &seg)
		if kind == decode.Segment || kind == decode.Quote {
			in.segments = append(in.segments, seg)
		}
		in.start, in.end = min(in.start, f.At), max(in.end, f.At)
	}
	return in
}

// analyse reports on an input with its states at a time, 0 for its end.
func (in *story) analyse(t *testing.T, threads int, at int64) *report.Report {
	t.Helper()
	a := report.New(report.Options{Threads: threads, States: at == 0, Series: at == 0})
	if at != 0 {
		a.StatesAt(at, 0)
	}
	for i := range in.segments {
		a.Add(&in.segments[i])
	}
	r, err := a.Finish(in.end, report.Input{Start: in.start, Packets: uint64(len(in.segments))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type table map[string][fsm.States]uint64

// tables are those of the series at a time.
func tables(r *report.Report) map[int64]table {
	out := map[int64]table{}
	for i := range r.Series.Hosts {
		h := &r.Series.Hosts[i]
		r.Series.Each(h, func(m *report.Moment) bool {
			if out[m.Time] == nil {
				out[m.Time] = table{}
			}
			if m.Counts != ([fsm.States]uint64{}) {
				out[m.Time][h.Name()] = m.Counts
			}
			return true
		})
	}
	return out
}

func statesOf(r *report.Report) table {
	out := table{}
	for i := range r.States {
		if s := &r.States[i]; s.Sockets() > 0 {
			out[s.Name()] = s.Counts
		}
	}
	return out
}

// At every instant the series says what the table of that instant says, and the
// hosts add up to the sum.
func TestSeriesIsTheTableOfEachInstant(t *testing.T) {
	compared := 0
	for _, in := range stories(t) {
		whole := in.analyse(t, 1, 0)
		series := tables(whole)
		if d := cmp.Diff(statesOf(whole), series[whole.End]); d != "" {
			t.Errorf("%s: at the end: -table +series\n%s", in.name, d)
		}
		for i, at := range slices.Sorted(maps.Keys(series)) {
			if i%(1+len(series)/3) > 0 {
				continue
			}
			have := series[at]
			compared++
			r := in.analyse(t, 1, at)
			if r.States[0].Time != at {
				t.Errorf("%s: the table of %d is of %d", in.name, at, r.States[0].Time)
			}
			if d := cmp.Diff(statesOf(r), have); d != "" {
				t.Errorf("%s: at %+.3f s: -table +series\n%s", in.name, float64(at-in.start)/1e9, d)
			}
			sum := [fsm.States]uint64{}
			for host, counts := range have {
				for st, n := range counts {
					if host != "*" {
						sum[st] += n
					}
				}
			}
			if sum != have["*"] {
				t.Errorf("%s: at %d: hosts %v, all %v", in.name, at, sum, have["*"])
			}
			for i := range r.States {
				s := &r.States[i]
				for st := range s.Counts {
					if s.Presumed[st]+s.Assumed[st] > s.Counts[st] {
						t.Errorf("%s: at %d: more uncertain than there are", in.name, at)
					}
				}
			}
		}
	}
	if compared < 250 {
		t.Errorf("only %d tables were compared", compared)
	}
}

// The tables do not depend on threads.
func TestSeriesThreads(t *testing.T) {
	const threads = 8
	for _, in := range stories(t) {
		want, have := in.analyse(t, 1, 0), in.analyse(t, threads, 0)
		if d := cmp.Diff(tables(want), tables(have)); d != "" {
			t.Errorf("%s with %d threads:\n%s", in.name, threads, d)
		}
		at := in.start + (in.end-in.start)/2
		if d := cmp.Diff(in.analyse(t, 1, at).States, in.analyse(t, threads, at).States, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("%s with %d threads:\n%s", in.name, threads, d)
		}
	}
}

// So it is where flows are judged early, and in a busy capture.
func TestSeriesOfManyFlows(t *testing.T) {
	segments := traffic(3000, 5*time.Minute)
	run := func(threads, maxFlows int, at int64) *report.Report {
		a := report.New(report.Options{Threads: threads, MaxFlows: maxFlows, Series: at == 0})
		if at != 0 {
			a.StatesAt(at, 0)
		}
		for i := range segments {
			a.Add(&segments[i])
		}
		r, err := a.Finish(segments[len(segments)-1].At, report.Input{Start: segments[0].At, Packets: 1})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, maxFlows := range []int{0, 256} {
		whole := run(2, maxFlows, 0)
		if (maxFlows > 0) != (whole.Health.EvictedFlows > 0) {
			t.Fatalf("%d flows were judged early", whole.Health.EvictedFlows)
		}
		series := tables(whole)
		for i, at := range slices.Sorted(maps.Keys(series)) {
			if i%40 > 0 && at != whole.End {
				continue
			}
			if d := cmp.Diff(statesOf(run(1+i%3, maxFlows, at)), series[at]); d != "" {
				t.Errorf("at most %d flows: at %d: -table +series\n%s", maxFlows, at, d)
			}
		}
	}
}

// A time outside of the input is answered by its edge, and that is said.
func TestStatesOutsideOfTheInput(t *testing.T) {
	in := stories(t)[0]
	late := in.analyse(t, 1, in.end+1)
	if d := cmp.Diff(statesOf(in.analyse(t, 1, 0)), statesOf(late)); d != "" || late.States[0].Time != in.end {
		t.Errorf("after the end: %d, %s", late.States[0].Time, d)
	}
	early := in.analyse(t, 1, in.start-1)
	if len(statesOf(early)) != 0 || early.States[0].Time != in.start-1 {
		t.Errorf("before the start: %v", early.States)
	}
	for _, r := range []*report.Report{late, early} {
		if !slices.ContainsFunc(r.Health.Notes, func(n report.Note) bool { return strings.Contains(n.Text, "asked for") }) {
			t.Errorf("nothing is said: %v", r.Health.Notes)
		}
	}
}
