package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// argued are findings of severity error or warning on flows that closed normally
// which are right nevertheless, by the beginning of a file's name and by rule,
// with the reason. The first of them lie in the repository.
var argued = []struct{ file, rule, why string }{
	{"fin-answered-late-", "fin-answered-late", "the scenario is just that: the server closes 3 s or 12 s later"},
	{"accept-queue-", "fin-answered-late", "the client sleeps 1 s and more with the server's FIN acknowledged, while the test goes on elsewhere"},
	{"mixed-loss-15-", "fin-answered-late", "one of the mixed behaviours: the server closes 2 s later, among hundreds that close at once"},
	{"idle-timeout-", "idle-timeout-close", "the scenario is just that: the server closes what is idle for 2 s"},
	{"pools-leak-", "idle-timeout-close", "the scenario is about it: the load balancer closes what is idle for 3 s"},
	{"churn-", "time-wait-churn", "the scenario is just that: a connection for every request, closed by the client"},
	{"ndpi_hls.pcapng", "fin-answered-late", "the client's kernel acknowledges after 39 ms, its application closes after 5.2 s: slow it was"},
	{"snort3_perf_monitor__plustest.pcap", "fin-answered-late", "a client of 2010 leaves the server's FIN for 2.4 s: slow it was"},
}

// inRepository is how many of argued need no captures from elsewhere.
const inRepository = 6

// Flows that were closed normally, with nothing lost, raise no alarm.
func TestNoFalseAlarm(t *testing.T) {
	var files []string
	for _, dir := range []string{"../../../testdata/captures", "../../../testdata/captures/lab", os.Getenv("LASTACK_CORPUS")} {
		list, err := filepath.Glob(filepath.Join(dir, "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		if dir != "" {
			files = append(files, list...)
		}
	}
	flows, alarms, used := 0, 0, make([]int, len(argued))
	for _, file := range files {
		r, list, err := readFile(file)
		if err != nil {
			continue // no capture, or one that others test
		}
		normal := map[tcp.PacketRef]bool{}
		for _, f := range list {
			if closedNormally(f) {
				normal[f.ID] = true
			}
		}
		flows += len(normal)
		for i := range r.Findings {
			d := &r.Findings[i]
			if d.Severity == diagnose.Info || !concerns(d, normal) {
				continue
			}
			base := filepath.Base(file)
			if i := slices.IndexFunc(argued, func(a struct{ file, rule, why string }) bool {
				return strings.HasPrefix(base, a.file) && a.rule == d.Rule
			}); i >= 0 {
				used[i]++
				continue
			}
			alarms++
			t.Errorf("%s: %s on %v, %s: %s", base, d.Rule, d.Flow, d.Confidence, d.Verdict)
		}
	}
	t.Logf("%d flows that closed normally: %d false alarms", flows, alarms)
	for i, a := range argued {
		t.Logf("argued, %d times: %s in %s*: %s", used[i], a.rule, a.file, a.why)
		if used[i] == 0 && (i < inRepository || os.Getenv("LASTACK_CORPUS") != "") {
			t.Errorf("%s is argued for %s* and did not occur", a.rule, a.file)
		}
	}
	if flows < 100 {
		t.Errorf("only %d flows", flows)
	}
}

// closedNormally reports two FINs that were acknowledged, nothing repeated and
// nothing missing.
func closedNormally(f *reassembly.Flow) bool {
	if f.Close != reassembly.CloseOrderly && f.Close != reassembly.CloseSimultaneous || f.Quality&reassembly.QualityCaptureLoss != 0 {
		return false
	}
	for i := range f.Ends {
		if d := &f.Ends[i]; d.Retransmits+d.RST+d.AckedUnseen > 0 || d.FINRepeats > 0 {
			return false
		}
	}
	return !slices.ContainsFunc(f.Marks, func(m reassembly.Mark) bool {
		return m.Kind == reassembly.SYNAgain || m.Kind == reassembly.SYNACKAgain
	})
}

// concerns reports that a finding is about flows of the set: the one, or all
// that it names.
func concerns(d *diagnose.Finding, flows map[tcp.PacketRef]bool) bool {
	if d.Flow != 0 {
		return flows[d.Flow]
	}
	return !slices.ContainsFunc(d.Flows, func(f tcp.PacketRef) bool { return !flows[f] })
}

// kept are the flows of an analysis.
type kept struct {
	mu    sync.Mutex
	flows []*reassembly.Flow
}

func (k *kept) AppendFlow(dst []byte, f *reassembly.Flow) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flows = append(k.flows, f.Clone())
	return dst
}

func (k *kept) Write(p []byte) (int, error) { return len(p), nil }

func (k *kept) Flush() error { return nil }

// readFile analyses a capture file as the program does, what stands before any
// damage.
func readFile(name string) (*report.Report, []*reassembly.Flow, error) {
	var k kept
	r, err := analyseFile(name, report.Options{Threads: 1, Rules: diagnose.Rules(), AllFindings: true, Flows: &k})
	return r, k.flows, err
}
