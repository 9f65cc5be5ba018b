package check

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
	"github.com/lastack/lastack/report/jsonl"
	"github.com/lastack/lastack/report/md"
)

// snapshot is the report of a transcript as of its end, while the input goes on.
func snapshot(t *testing.T, s *scenario.Scenario) *report.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.pcap")
	if err := os.WriteFile(file, s.Pcap(), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := profile(s)
	if err != nil {
		t.Fatal(err)
	}
	src, err := capture.Open(file, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	a := report.New(report.Options{Profile: p, Rules: diagnose.Rules(), ListFindings: true, States: true})
	in, end := read(src, a)
	return a.Snapshot(end, in)
}

// raised is what is written of a snapshot at once.
func raised(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := jsonl.New(&b).Raise(r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// While the input goes on, nothing says that it has ended.
func TestSnapshotsSaySoFar(t *testing.T) {
	for _, s := range scenarios(t) {
		r := snapshot(t, s)
		var b bytes.Buffer
		if err := md.Write(&b, r, report.Clock{}); err != nil {
			t.Fatal(err)
		}
		told := []string{b.String(), raised(t, r)}
		for i := range r.Findings {
			told = append(told, r.Findings[i].Verdict)
		}
		for i := range r.Groups {
			told = append(told, r.Groups[i].Verdict)
			told = append(told, r.Draw(&r.Groups[i], report.Clock{}, 9)...)
		}
		for _, words := range []string{"capture ended", "capture ends", "until the end", "read to its end"} {
			if i := slices.IndexFunc(told, func(s string) bool { return strings.Contains(s, words) }); i >= 0 {
				t.Errorf("%s: %q in\n%s", s.Name, words, told[i])
			}
		}
	}
}

// What is so young that it is only possible is not raised, and what is old enough
// is.
func TestYoungFindingsWait(t *testing.T) {
	const closed = `0.000  C > S  S   0:0(0)
0.010  S > C  S.  0:0(0)  ack 1
0.010  C > S  .   1:1(0)  ack 1
1.000  C > S  F.  1:1(0)  ack 1
1.010  S > C  .   1:1(0)  ack 2
`
	for end, want := range map[string]string{
		"1.31": "",
		"9.00": `"confidence":"likely"`,
		"90.0": `"confidence":"certain"`,
	} {
		s, err := scenario.Parse("young", strings.NewReader(closed+end+" end\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := snapshot(t, s)
		if len(r.Findings) != 1 || r.Findings[0].Rule != "fin-unanswered" {
			t.Fatalf("at %s: findings %v", end, r.Findings)
		}
		if out := raised(t, r); !strings.Contains(out, want) || (out == "") != (want == "") {
			t.Errorf("at %s raised: %s, want %s", end, out, want)
		}
	}
}
