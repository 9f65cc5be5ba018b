//go:build linux

package judge

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

const shipped = "../../../testdata/captures/lab"

// recording is the path of a shipped recording of a scenario, without endings.
func recording(t *testing.T, scenario string) string {
	t.Helper()
	truths, err := filepath.Glob(filepath.Join(shipped, scenario+"-v[46]"+lab.TruthFile))
	if err != nil || len(truths) != 1 {
		t.Fatalf("recordings of %s: %v, %v", scenario, truths, err)
	}
	return strings.TrimSuffix(truths[0], lab.TruthFile)
}

// A recording that is tampered with is not believed.
func TestJudgeNotices(t *testing.T) {
	name := filepath.Base(recording(t, "close-by-server"))
	truth, err := os.ReadFile(filepath.Join(shipped, name+lab.TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	const closeWait = `"from":"ESTABLISHED","to":"CLOSE_WAIT"`
	for what, tt := range map[string]struct {
		old, new string
		where    func(*Verdict) []string
	}{
		"another state":             {closeWait, `"from":"ESTABLISHED","to":"CLOSING"`, func(v *Verdict) []string { return v.Different }},
		"another class of state":    {`"to":"LAST_ACK"`, `"to":"CLOSED"`, func(v *Verdict) []string { return v.Different }},
		"a rule that is not raised": {`"expect":[]`, `"expect":["fin-unanswered"]`, func(v *Verdict) []string { return v.Labels }},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			copyCaptures(t, name, dir)
			changed := strings.ReplaceAll(string(truth), tt.old, tt.new)
			if changed == string(truth) {
				t.Fatalf("the recording has no %s", tt.old)
			}
			v := judged(t, dir, name, changed)
			if len(tt.where(v)) == 0 || len(v.Failures()) == 0 {
				t.Errorf("nothing is wrong with it: %+v", v)
			}
		})
	}
	t.Run("another time", func(t *testing.T) {
		dir := t.TempDir()
		copyCaptures(t, name, dir)
		lines := strings.Split(string(truth), "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, closeWait) })
		lines[i] = later(t, lines[i])
		v := judged(t, dir, name, strings.Join(lines, "\n"))
		if len(v.Late) != 1 || len(v.Different) > 0 || len(v.Failures()) == 0 {
			t.Errorf("late: %q, different: %q", v.Late, v.Different)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		dir := t.TempDir()
		copyCaptures(t, name, dir)
		if f := judged(t, dir, name, string(truth)).Failures(); len(f) > 0 {
			t.Errorf("without a change: %q", f)
		}
	})
}

// later moves a transition a fifth of a second ahead in time, where the capture
// holds another segment or none.
func later(t *testing.T, line string) string {
	t.Helper()
	head, rest, ok := strings.Cut(line, `"time_ns":`)
	if !ok || len(rest) < 19 {
		t.Fatalf("no transition: %s", line)
	}
	digits := []byte(rest[:19])
	for i, add := 10, byte(2); i >= 0 && add > 0; i-- { // tenths of a second
		d := digits[i] - '0' + add
		digits[i], add = '0'+d%10, d/10
	}
	return head + `"time_ns":` + string(digits) + rest[19:]
}

func copyCaptures(t *testing.T, name, dir string) {
	t.Helper()
	for _, end := range []string{lab.ClientCapture, lab.ServerCapture} {
		b, err := os.ReadFile(filepath.Join(shipped, name+end))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+end), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func judged(t *testing.T, dir, name, truth string) *Verdict {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+lab.TruthFile), []byte(truth), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := Judge(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A snapshot is what a capture that was cut off there would give.
func TestSnapshotsAreCuts(t *testing.T) {
	name := recording(t, "last-ack-lost-often") + lab.ClientCapture
	p := reassembly.Profiles()[0]
	var snapshots [][]diagnose.Finding
	var whole Reading
	err := pass(name, p, func(a *report.Analysis, _ *tcp.Segment) {
		snapshots = append(snapshots, a.Snapshot(0, report.Input{}).Findings)
	}, &whole)
	if err != nil {
		t.Fatal(err)
	}
	findings := 0
	for n := 1; n <= len(snapshots); n++ {
		cut := filepath.Join(t.TempDir(), "cut.pcap")
		cutOff(t, name, cut, n)
		r, err := Read(cut, p)
		if err != nil {
			t.Fatal(err)
		}
		findings += len(r.Findings)
		if got, want := names(snapshots[n-1]), names(r.Findings); got != want {
			t.Errorf("after %d frames the snapshot has %s, a cut capture %s", n, got, want)
		}
	}
	if findings == 0 {
		t.Error("no cut has a finding")
	}
}

// cutOff copies the first n frames of a capture.
func cutOff(t *testing.T, from, to string, n int) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r, err := pcapgo.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriterNanos(out)
	if err := w.WriteFileHeader(r.Snaplen(), layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for range n {
		raw, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = w.WritePacket(info, raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
