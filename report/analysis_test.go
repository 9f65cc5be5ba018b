package report_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// recorder keeps the lines of the flows.
type recorder struct {
	b    strings.Builder
	fail error
}

func (r *recorder) AppendFlow(dst []byte, f *reassembly.Flow) []byte {
	return fmt.Appendf(dst, "%d %d %s %s %d\n", f.Final, f.ID, f.Close, f.AppendHistory(nil), f.Ended)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.fail != nil {
		return 0, r.fail
	}
	return r.b.Write(p)
}

func (r *recorder) Flush() error { return r.fail }

// traffic is many connections over some time: orderly, reset, refused,
// leaking, reused, unanswered.
func traffic(flows int, over time.Duration) []tcp.Segment {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []tcp.Segment
	var src, dst [16]byte
	src[15], dst[15] = 1, 2
	for i := range flows {
		src[14] = byte(rng.IntN(7))
		at := canonical.Start + rng.Int64N(int64(over))
		tuple, client := tcp.MakeTuple(&src, &dst, uint16(1024+i%3000), 443)
		next := [2]uint32{rng.Uint32(), rng.Uint32()}
		send := func(from int, flags tcp.Flags, length uint32) {
			at += 1 + rng.Int64N(int64(200*time.Millisecond))
			s := tcp.Segment{At: at, Tuple: tuple, From: client, Seq: tcp.Seq(next[from]), Flags: flags, Len: length,
				Window: 1000, TTL: 64, IPID: uint16(rng.Uint32()) | 1, Kind: tcp.KindTCP}
			if from == 1 {
				s.From = client.Other()
			}
			if flags.Any(tcp.ACK) {
				s.Ack = tcp.Seq(next[1-from])
			}
			next[from] = uint32(s.End())
			out = append(out, s)
		}
		kind := rng.IntN(10)
		send(0, tcp.SYN, 0)
		if kind == 0 {
			continue
		}
		if kind == 1 {
			send(1, tcp.RST|tcp.ACK, 0)
			continue
		}
		send(1, tcp.SYN|tcp.ACK, 0)
		send(0, tcp.ACK, 0)
		send(0, tcp.PSH|tcp.ACK, 100)
		send(1, tcp.ACK, 0)
		if kind == 2 {
			send(0, tcp.RST|tcp.ACK, 0)
			continue
		}
		send(0, tcp.FIN|tcp.ACK, 0)
		send(1, tcp.ACK, 0)
		if kind > 3 {
			send(1, tcp.FIN|tcp.ACK, 0)
			send(0, tcp.ACK, 0)
		}
	}
	slices.SortStableFunc(out, func(a, b tcp.Segment) int { return int(a.At - b.At) })
	for i := range out {
		out[i].Ref = tcp.Ref(0, uint64(i+1))
	}
	return out
}

func input(segments []tcp.Segment) report.Input {
	return report.Input{Packets: uint64(len(segments)), Start: segments[0].At}
}

// run analyses segments; at each of the indexes given it asks for a snapshot. With
// any, it writes the segments where the analysis wants them.
func run(t *testing.T, segments []tcp.Segment, o report.Options, snapshots ...int) (*report.Report, string) {
	t.Helper()
	rec := &recorder{}
	o.Flows, o.Rules, o.ListFindings = rec, canonical.Rules(), true
	a := report.New(o)
	for i := range segments {
		if slices.Contains(snapshots, i) {
			a.Snapshot(segments[i].At, input(segments))
		}
		s := &segments[i]
		if len(snapshots) > 0 {
			s = a.Next()
			*s = segments[i]
		}
		a.Add(s)
	}
	end := segments[len(segments)-1].At
	r, err := a.Finish(end+int64(30*time.Second), input(segments))
	if err != nil {
		t.Fatal(err)
	}
	return r, rec.b.String()
}

var same = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(reassembly.Flow{}, diagnose.Finding{}, diagnose.Evidence{}),
	cmp.Exporter(func(t reflect.Type) bool { return strings.HasSuffix(t.PkgPath(), "/report") })}

// The report and the order of the flows depend neither on the threads nor on
// anybody having looked in between, also where flows are evicted.
func TestThreads(t *testing.T) {
	segments := traffic(3000, 4*time.Minute)
	for _, flows := range []int{0, 320} {
		want, lines := run(t, segments, report.Options{Threads: 1, MaxFlows: flows})
		if evicted := want.Health.EvictedFlows; (evicted > 0) != (flows > 0) {
			t.Fatalf("%d flows were evicted of at most %d", evicted, flows)
		}
		if n := uint64(strings.Count(lines, "\n")); n != want.Flows || n < 2900 {
			t.Fatalf("%d lines for %d flows", n, want.Flows)
		}
		for _, threads := range []int{1, 2, 8, 100} {
			got, more := run(t, segments, report.Options{Threads: threads, MaxFlows: flows}, 0, 1, 5000, 12345)
			if more != lines {
				t.Errorf("%d threads, at most %d flows: %s", threads, flows, firstDifference(lines, more))
			}
			if d := cmp.Diff(want, got, same); d != "" {
				t.Errorf("%d threads, at most %d flows: %s", threads, flows, d)
			}
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q, %q", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// Flows come by the time at which they were finalised, then by id.
func TestFlowOrder(t *testing.T) {
	t.Run("slow", func(t *testing.T) { flowOrder(t, traffic(3000, 4*time.Minute)) })
	t.Run("fast", func(t *testing.T) {
		burst := traffic(8000, 2*time.Second)
		late := traffic(8000, 2*time.Second) // while the retention of the first ones ends
		for i := range late {
			late[i].At += int64(120 * time.Second)
			late[i].Ref += 1 << 20
		}
		flowOrder(t, append(burst, late...))
	})
}

func flowOrder(t *testing.T, segments []tcp.Segment) {
	t.Helper()
	_, lines := run(t, segments, report.Options{Threads: 2, MaxFlows: 2000})
	if !strings.Contains(lines, fmt.Sprintf(" %d\n", reassembly.EndEvicted)) && len(segments) > 50000 {
		t.Error("nothing was evicted")
	}
	var lastFinal, lastID int64
	for line := range strings.Lines(lines) {
		var final, id int64
		fmt.Sscan(line, &final, &id)
		if final < lastFinal || final == lastFinal && id <= lastID {
			t.Fatalf("(%d, %d) comes after (%d, %d)", final, id, lastFinal, lastID)
		}
		lastFinal, lastID = final, id
	}
}

// A snapshot is the report of an input that ends there, but for what says that it
// goes on.
func TestSnapshot(t *testing.T) {
	segments := traffic(2000, 4*time.Minute)
	half := segments[:len(segments)/2]
	end := half[len(half)-1].At
	for _, threads := range []int{1, 2} {
		o := report.Options{Threads: threads, Rules: canonical.Rules(), ListFindings: true}
		a, b := report.New(o), report.New(o)
		for i := range half {
			a.Add(&half[i])
			b.Add(&half[i])
		}
		snap := a.Snapshot(end, input(half))
		want, err := b.Finish(end, input(half))
		if err != nil {
			t.Fatal(err)
		}
		if snap.AsOf != end {
			t.Errorf("as of %d, not %d", snap.AsOf, end)
		}
		snap.AsOf = 0
		goesOn := cmp.Options{cmpopts.IgnoreFields(reassembly.Flow{}, "GoesOn"), cmpopts.IgnoreFields(diagnose.Finding{}, "Unended")}
		if d := cmp.Diff(want, snap, same, goesOn); d != "" {
			t.Errorf("%d threads: -finish +snapshot: %s", threads, d)
		}
		a.Close()
	}
}

// A failure to write is told, whatever the threads, and stops nothing.
func TestWriteError(t *testing.T) {
	segments := traffic(500, time.Minute)
	for _, threads := range []int{1, 2} {
		broken := errors.New("no space")
		a := report.New(report.Options{Threads: threads, Flows: &recorder{fail: broken}})
		for i := range segments {
			a.Add(&segments[i])
		}
		r, err := a.Finish(segments[len(segments)-1].At, input(segments))
		if !errors.Is(err, broken) {
			t.Errorf("error is %v", err)
		}
		if r.Flows == 0 {
			t.Error("no flows were counted")
		}
	}
}

// Event time never goes back, and what is not TCP moves it as well: TIME_WAIT
// ends although no segment comes any more.
func TestAdvance(t *testing.T) {
	in := canonical.Inputs()[0]
	a := report.New(report.Options{States: true})
	for i := range in.Segments {
		a.Add(&in.Segments[i])
	}
	a.Advance(in.End-int64(time.Second), tcp.Ref(0, 9999))
	before := a.Snapshot(0, in.Report)
	a.Advance(in.End+int64(time.Hour), tcp.Ref(0, 10000))
	after := a.Snapshot(0, in.Report)
	if before.End != in.End || before.States[0].Counts[11] == 0 {
		t.Errorf("at %d, TIME_WAIT %d", before.End, before.States[0].Counts[11])
	}
	if after.States[0].Counts[11] != 0 {
		t.Errorf("TIME_WAIT %d an hour later", after.States[0].Counts[11])
	}
	if n := after.Health.TimeWentBackwards; n != 1 {
		t.Errorf("time went back %d times", n)
	}
	if !slices.ContainsFunc(after.Health.Notes, func(n report.Note) bool {
		return strings.Contains(n.Text, "stepped back 1 time, by up to 1 s") && n.Ref == tcp.Ref(0, 9999)
	}) {
		t.Errorf("notes %v", after.Health.Notes)
	}
	a.Close()
}

// With nothing to analyse there is a report all the same.
func TestNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		a := report.New(report.Options{Threads: threads})
		a.Snapshot(0, report.Input{})
		r, err := a.Finish(0, report.Input{})
		if err != nil || len(r.Verdict) != 1 || r.Verdict[0] != "The input holds no packets." {
			t.Errorf("%v, %q", err, r.Verdict)
		}
	}
}

// A step of the clock is one, however many frames lie behind it; disorder is
// none, and neither is what another source shows.
func TestClockSteps(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, c := range []struct {
		name  string
		times [][2]int64 // source, ms
		want  uint64
		at    tcp.PacketRef
		by    string
	}{
		{"forward", [][2]int64{{0, 0}, {0, 5}, {0, 5}, {0, 9000}}, 0, 0, ""},
		{"a millisecond of disorder", [][2]int64{{0, 5}, {0, 4}, {0, 6}, {0, 5}}, 0, 0, ""},
		{"one step", [][2]int64{{0, 0}, {0, 9000}, {0, 100}, {0, 200}, {0, 300}, {0, 9500}}, 1, tcp.Ref(0, 3), "1 time, by up to 8.9 s"},
		{"two, the second longer", [][2]int64{{0, 500}, {0, 300}, {0, 700}, {0, 310}, {0, 320}}, 2, tcp.Ref(0, 4), "2 times, by up to 390 ms"},
		{"slowly, under a millisecond each", [][2]int64{{0, 500}, {0, 499}, {0, 498}, {0, 497}}, 0, 0, ""},
		{"another source is later", [][2]int64{{1, 900}, {0, 100}, {1, 901}, {0, 101}}, 0, 0, ""},
		{"the other steps", [][2]int64{{0, 100}, {1, 900}, {0, 101}, {1, 200}, {0, 102}}, 1, tcp.Ref(1, 4), "1 time, by up to 700 ms"},
	} {
		a := report.New(report.Options{})
		for i, f := range c.times {
			a.Advance(f[1]*ms, tcp.Ref(int(f[0]), uint64(i+1)))
		}
		r, err := a.Finish(0, report.Input{Packets: uint64(len(c.times))})
		if err != nil {
			t.Fatal(err)
		}
		if n := r.Health.TimeWentBackwards; n != c.want {
			t.Errorf("%s: time went back %d times, want %d", c.name, n, c.want)
		}
		said := slices.ContainsFunc(r.Health.Notes, func(n report.Note) bool {
			return strings.HasSuffix(n.Text, "stepped back "+c.by) && n.Ref == c.at
		})
		if said != (c.want > 0) {
			t.Errorf("%s: notes %v", c.name, r.Health.Notes)
		}
	}
}
