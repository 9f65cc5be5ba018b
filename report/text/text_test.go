package text_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
	"github.com/lastack/lastack/report/text"
)

var update = flag.Bool("update", false, "write the golden files anew, to be read before they are committed")

func TestGolden(t *testing.T) {
	for name, r := range canonical.Reports() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := text.Write(&b, r, text.Options{}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.Bytes())
		})
	}
}

// The state table that was asked for stands below.
func TestStates(t *testing.T) {
	r := canonical.Reports()["mixed"]
	r.Asked = true
	golden(t, "states.txt", []byte(render(t, r, text.Options{})))
	s := r.States[1]
	for i := range 20 {
		s.Host = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		r.States = append(r.States, s)
	}
	few, all := render(t, r, text.Options{}), render(t, r, text.Options{All: true})
	if n := strings.Count(few, "10.0.0."); n > 8 || !strings.Contains(few, "more hosts: --findings all") {
		t.Errorf("%d of 20 hosts in\n%s", n, few)
	}
	if n := strings.Count(all, "10.0.0."); n != 20 || strings.Contains(all, "more hosts") {
		t.Errorf("%d of 20 hosts in\n%s", n, all)
	}
}

// With everything asked for, every finding has a line.
func TestEveryFinding(t *testing.T) {
	for name, r := range canonical.Reports() {
		_, list, _ := strings.Cut(render(t, r, text.Options{All: true}), "  Every finding:\n")
		if n := strings.Count(list, "\n"); n != len(r.Findings) {
			t.Errorf("%s: %d lines for %d findings:\n%s", name, n, len(r.Findings), list)
		}
		for i := range r.Findings {
			if d := &r.Findings[i]; !strings.Contains(list, " "+d.Rule+" ") {
				t.Errorf("%s: no %s in\n%s", name, d.Rule, list)
			}
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// Nothing that a name holds may steer the terminal, and nothing may be wider or
// longer than it is.
func TestPlain(t *testing.T) {
	for name, r := range canonical.Reports() {
		var b bytes.Buffer
		if err := text.Write(&b, r, text.Options{}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "\n"); n > 24 {
			t.Errorf("%s: %d lines", name, n)
		}
		for n, line := range strings.Split(b.String(), "\n") {
			if i := strings.IndexFunc(line, func(c rune) bool { return c < ' ' || c > '~' }); i >= 0 {
				t.Errorf("%s:%d: character %q", name, n+1, line[i])
			}
			if len(line) > 80 {
				t.Errorf("%s:%d: %d characters: %s", name, n+1, len(line), line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s:%d: blanks at the end", name, n+1)
			}
		}
	}
}

func TestColor(t *testing.T) {
	r := canonical.Reports()["mixed"]
	var plain, color bytes.Buffer
	if err := text.Write(&plain, r, text.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := text.Write(&color, r, text.Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(color.String(), "\x1b[31m! fin-unanswered") {
		t.Error("the error is not red")
	}
	bare := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(color.String())
	if bare != plain.String() {
		t.Error("colours change more than colours")
	}
}

func TestAll(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for range 6 { // more kinds than the first screen lists
		g := r.Groups[len(r.Groups)-1]
		g.Rule += "x"
		r.Groups = append(r.Groups, g)
	}
	first, all := render(t, r, text.Options{}), render(t, r, text.Options{All: true})
	if !strings.Contains(first, "--findings all (7 more kinds, no warnings)") {
		t.Error("the first screen does not say that there is more")
	}
	for _, g := range r.Groups {
		if !strings.Contains(all, g.Rule) {
			t.Errorf("%s is not listed", g.Rule)
		}
	}
}

func TestClocks(t *testing.T) {
	r := canonical.Reports()["fin-unanswered"]
	for _, c := range []struct {
		clock report.Clock
		want  string
	}{
		{report.Clock{}, "14:00:02.050"},
		{report.Clock{Epoch: true}, "1769868002.050"},
		{report.Clock{Relative: true}, "+0.050"},
	} {
		if out := render(t, r, text.Options{Clock: c.clock}); !strings.Contains(out, c.want) {
			t.Errorf("%+v: no %s in\n%s", c.clock, c.want, out)
		}
	}
}

func render(t *testing.T, r *report.Report, o text.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := text.Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Where there is too much for a screen, rows of findings and remarks go first.
func TestFits(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for range 6 {
		g := r.Groups[len(r.Groups)-1]
		g.Rule += "x"
		r.Groups = append(r.Groups, g)
	}
	for range 9 {
		r.Health.Notes = append(r.Health.Notes, report.Note{Text: "a remark", File: -1})
	}
	out := render(t, r, text.Options{})
	if n := strings.Count(out, "\n"); n > 24 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	for _, want := range []string{"--findings all (7 more kinds, no warnings)", "10 more remarks in the other reports", "\n*   0:8 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// harm makes a report of that many kinds of errors and of warnings.
func harm(errors, warnings int) *report.Report {
	r := canonical.Reports()["mixed"]
	worst, next, rest := r.Groups[0], r.Groups[1], r.Groups[len(r.Groups)-1:]
	r.Groups = nil
	for i := range errors + warnings {
		g := worst
		if i >= errors {
			g = next
		}
		g.Rule += strings.Repeat("x", i)
		r.Groups = append(r.Groups, g)
	}
	r.Groups = append(r.Groups, rest...)
	return r
}

// Every kind of error has a row, whatever else gives way; the screen grows only
// where nothing more can. Warnings follow as far as they fit.
func TestErrorsFirst(t *testing.T) {
	for _, c := range []struct {
		errors, warnings, lines int
		more                    string
	}{
		{3, 9, 24, "10 more kinds, 9 warnings"},
		{4, 1, 24, "2 more kinds, 1 warning"},
		{9, 1, 28, "2 more kinds, 1 warning"},
	} {
		out := render(t, harm(c.errors, c.warnings), text.Options{})
		if rows, lines := strings.Count(out, "\n! "), strings.Count(out, "\n"); rows != c.errors || lines != c.lines {
			t.Errorf("%+v: %d rows, %d lines:\n%s", c, rows, lines, out)
		}
		if !strings.Contains(out, "--findings all ("+c.more+")  --md FILE") || !strings.Contains(out, "\n*   0:8 ") {
			t.Errorf("%+v:\n%s", c, out)
		}
	}
}

// Where lines are left, more warnings take them.
func TestSpareLines(t *testing.T) {
	r := harm(1, 9)
	r.Verdict, r.Health.Notes, r.Sources = r.Verdict[:1], nil, r.Sources[:1]
	out := render(t, r, text.Options{})
	if n := strings.Count(out, "\n"); n != 24 {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if n := strings.Count(out, "\n* c"); n <= 3 || !strings.Contains(out, fmt.Sprintf("(%d more kinds, %d warnings)", 10-n, 9-n)) {
		t.Errorf("%d warnings in\n%s", n, out)
	}
}

// Hashes are named when they are asked for, with the inputs.
func TestSHA256(t *testing.T) {
	const hash = "SHA-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
	for name, want := range map[string]string{
		"clean": "UTC (39 s)\n  " + hash,
		"empty": "0 flows\n  " + hash,
		"mixed": "\n  0: a|*b*.pcap\n     " + hash + "  1: lb ?[31m.pcapng\n     " + hash,
	} {
		r := canonical.Reports()[name]
		if out := render(t, r, text.Options{SHA256: true}); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", name, want, out)
		}
		if out := render(t, r, text.Options{}); strings.Contains(out, "SHA") {
			t.Errorf("nobody asked for a hash:\n%s", out)
		}
		r.Sources[0].SHA256 = ""
		if out := render(t, r, text.Options{SHA256: true}); !strings.Contains(out, "SHA-256 not known: ") {
			t.Errorf("%s: a hash of what was not read in\n%s", name, out)
		}
	}
}

// A live capture cannot be had again: everything is told at once, and nothing is
// advised that would read it a second time.
func TestLive(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for range 6 {
		g := r.Groups[len(r.Groups)-1]
		g.Rule += "x"
		r.Groups = append(r.Groups, g)
	}
	for range 9 {
		r.Health.Notes = append(r.Health.Notes, report.Note{Text: "a remark", File: -1})
	}
	r.Listened = 90e9
	out := render(t, r, text.Options{})
	rows := 0
	for _, row := range r.Rows() {
		rows += strings.Count(out, " "+row.Rule+" ")
	}
	if n := strings.Count(out, "    a remark.\n"); n != 9 || rows < len(r.Rows()) {
		t.Errorf("%d of 9 remarks and %d of %d rows in\n%s", n, rows, len(r.Rows()), out)
	}
	if !strings.HasSuffix(out, "\n  More: --explain fin-unanswered\n") {
		t.Errorf("the end of\n%s", out)
	}
}

// An interface on which nothing came is told with what was listened for.
func TestLiveEmpty(t *testing.T) {
	in := canonical.Inputs()[4]
	in.Report.Sources = []report.Source{{Name: "eth0", Format: "live"}}
	in.Report.Filter.Expr, in.Report.Listened = "tcp port 80", 12e9
	r, err := in.Analyse(report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `lastack: eth0  0 packets  0 flows

  In 12 s no packet on eth0 matched the filter 'tcp port 80'. A filter looks
  into tunnels and VLANs only where it names them: -f gives another one.

  Capture: complete, drops not recorded.
`
	if out := render(t, r, text.Options{}); out != want {
		t.Errorf("%s, want\n%s", out, want)
	}
}

// What must be known of the instant that states were asked for stands with their
// table, however many remarks there are.
func TestRemarkOnTheInstant(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for range 9 {
		r.Health.Notes = append(r.Health.Notes, report.Note{Text: "a remark", File: -1})
	}
	r.Health.Notes = append(r.Health.Notes, report.Note{Text: "nothing is known of that time", File: -1, States: true})
	r.Asked = true
	if out := render(t, r, text.Options{}); strings.Count(out, "\n\n  Nothing is known of that time.\n\n  Sockets at ") != 1 {
		t.Errorf("no remark on the instant in\n%s", out)
	}
}

// What is only possible is marked as no alarm.
func TestPossibleIsNoAlarm(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for i := range r.Groups {
		r.Groups[i].Confidence = diagnose.Possible
	}
	out := render(t, r, text.Options{Color: true})
	if !strings.Contains(out, "\n? fin-unanswered") || strings.Contains(out, "\x1b[") {
		t.Errorf("an alarm in\n%s", out)
	}
}
