package jsonl

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// same holds a line to what encoding/json makes of the value.
func same(t interface{ Fatalf(string, ...any) }, got []byte, value any) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		t.Fatalf("%v", err)
	}
	if !bytes.Equal(want.Bytes(), got) {
		t.Fatalf("-encoding/json +by hand:\n%s", cmp.Diff(want.String(), string(got)))
	}
}

// The lines that are built by hand are those that encoding/json would build.
func TestFlowLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFlow(t)
		const before = "before"
		got := appendFlow([]byte(before), f)
		if string(got[:len(before)]) != before {
			t.Fatalf("begins with %q", got[:len(before)])
		}
		same(t, got[len(before):], plain(f))
	})
	for _, f := range canonicalFlows(t) {
		same(t, appendFlow(nil, f), plain(f))
	}
}

// Every word that a flow line can have, in every place.
func TestFlowWords(t *testing.T) {
	var f reassembly.Flow
	f.ID, f.First, f.Last, f.Reset.Ref = 1, 1, 1, 1
	for from := fsm.Closed; from <= fsm.TimeWait; from++ {
		for to := fsm.Closed; to <= fsm.TimeWait; to++ {
			for on := range fsm.Events - 1 {
				for basis := fsm.Seen; basis <= fsm.Timer; basis++ {
					n := len(f.Steps)
					f.Steps = append(f.Steps, reassembly.Step{From: from, To: to, On: fsm.Event(1 + on), Basis: basis,
						Side: tcp.SideA + tcp.Side(n%2), Ref: tcp.PacketRef(n / 2 % 3), At: int64(n / 5 * 1e8)})
				}
			}
		}
	}
	for by := reassembly.TimeWaitExpiry; by <= reassembly.TimeWaitCaptureEnd; by++ {
		f.TimeWaits = append(f.TimeWaits, reassembly.TimeWait{Side: tcp.SideA, EndedBy: by})
	}
	for i := range 12 {
		f.Client = tcp.SideA + tcp.Side(i%2)
		f.Role = reassembly.RoleSYN + reassembly.Role(i%3)
		f.Handshake.Outcome = reassembly.Complete + reassembly.Outcome(i%7)
		f.Close = reassembly.CloseRefused + reassembly.Close(i%int(reassembly.CloseOpen))
		f.ActiveCloser = reassembly.CloserNone + reassembly.Closer(i%4)
		f.Reset.By = tcp.Side(i % 3)
		f.Reset.Class = reassembly.ResetUnknown + reassembly.ResetClass(i%3)
		f.Quality = 1 << (i % len(qualityNames))
		for j := range f.Ends {
			end := &f.Ends[j]
			end.State = fsm.Closed + fsm.State((i+j)%int(fsm.TimeWait))
			end.StateNS = [fsm.States]int64{}
			end.StateNS[end.State] = int64(i)
		}
		same(t, appendFlow(nil, &f), plain(&f))
	}
}

func TestFindingLine(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, d *diagnose.Finding, provisional bool) {
		c := epoch
		want := finding(d)
		want.Provisional = provisional
		same(t, line(nil).finding(d, provisional, &c), want)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, anyFinding(t), rapid.Bool().Draw(t, "provisional")) })
	for _, r := range canonical.Reports() {
		for i := range r.Findings {
			check(t, &r.Findings[i], false)
		}
	}
}

func TestGroupLine(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, g *report.Group) {
		c := epoch
		same(t, line(nil).group(g, &c), group(g))
	}
	rapid.Check(t, func(t *rapid.T) { check(t, anyGroup(t)) })
	clients := uint64(0)
	for _, r := range canonical.Reports() {
		for i := range r.Groups {
			check(t, &r.Groups[i])
			n, _ := r.Groups[i].Clients()
			clients += n
		}
	}
	if clients == 0 {
		t.Error("no group has clients")
	}
}

// A string is what encoding/json makes of it, whatever octets it has.
func FuzzText(f *testing.F) {
	for _, s := range oddTexts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { same(t, line(nil).text("", s).raw("\n"), s) })
}

// Every octet at every place.
func TestText(t *testing.T) {
	for at := range 17 {
		s := []byte("seventeen octets.")
		for c := range 256 {
			s[at] = byte(c)
			same(t, line(nil).text("", string(s)).raw("\n"), string(s))
		}
	}
}

var oddTexts = []string{
	"", "10.0.0.1:443 did not answer", "a <b> && c", `say "no"`, `C:\captures`, "a\tb\nc\rd\be\ff", "\x00\x01\x1f\x7f",
	"4 µs – an é, 日本, 😀", "\u2027\u2028\u2029\u202a", "\ufffd", "\xff", "cut \xe2\x82", "\xc0\x80 \xed\xa0\x80",
}

func TestFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64().Draw(t, "v")
		same(t, line(nil).float("", v).raw("\n"), v)
	})
	if got := line(nil).float("", math.NaN()).float("", math.Inf(1)); len(got) > 0 {
		t.Errorf("%s", got)
	}
}

func TestUint(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, n uint64) {
		if got, want := string(appendUint(nil, n)), strconv.FormatUint(n, 10); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	for n := range uint64(200_000) {
		check(t, n)
	}
	for n := uint64(10); n != 0 && n < math.MaxUint64/10; n *= 10 {
		for _, m := range []uint64{n - 1, n, n + 1, 7 * n, 9*n + 9*n/10} {
			check(t, m)
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Uint64().Draw(t, "n")>>rapid.IntRange(0, 63).Draw(t, "by")) })
}

// A clock tells the same time whatever it told before.
func TestClock(t *testing.T) {
	c := epoch
	check := func(t interface{ Fatalf(string, ...any) }, ns int64) {
		want := time.Unix(0, ns).UTC().Format(`"2006-01-02T15:04:05.000000000Z"`)
		if got := string(c.append(nil, ns)); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	near := []int64{0, 1, 999_999_999, 1e9, 59e9, 60e9, 3600e9, dayNS - 1, dayNS, 365 * dayNS}
	for _, base := range []int64{0, -1 << 62, 1 << 62, canonical.Start, -dayNS, 951_782_400e9} {
		for _, by := range near {
			check(t, base)
			check(t, base+by)
			check(t, base-by)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(-1<<62, 1<<62).Draw(t, "ns")
		check(t, ns)
		check(t, ns+rapid.SampledFrom(near).Draw(t, "later"))
	})
}

func TestFlowLineAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, lineRoom)
	for _, f := range canonicalFlows(t) {
		if n := testing.AllocsPerRun(100, func() { buf = appendFlow(buf[:0], f) }); n > 0 {
			t.Errorf("%v allocations for %s", n, buf)
		}
	}
}

// canonicalFlows are the flows of all canonical inputs.
func canonicalFlows(tb testing.TB) []*reassembly.Flow {
	tb.Helper()
	var k keeper
	for _, in := range canonical.Inputs() {
		if _, err := in.Analyse(report.Options{Flows: &k}); err != nil {
			tb.Fatal(err)
		}
	}
	return k.flows
}

// keeper keeps the flows that it is shown.
type keeper struct {
	mu    sync.Mutex
	flows []*reassembly.Flow
}

func (k *keeper) AppendFlow(b []byte, f *reassembly.Flow) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flows = append(k.flows, f.Clone())
	return b
}
func (*keeper) Write(p []byte) (int, error) { return len(p), nil }

func (*keeper) Flush() error { return nil }
