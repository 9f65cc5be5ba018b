package md_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/md"
)

var update = flag.Bool("update", false, "write the golden files anew, to be read before they are committed")

func TestGolden(t *testing.T) {
	for name, r := range canonical.Reports() {
		t.Run(name, func(t *testing.T) {
			got := render(t, r)
			file := filepath.Join("testdata", name+".md")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// However much there is to say, the document stays short.
func TestShort(t *testing.T) {
	r := canonical.Reports()["mixed"]
	for range 40 {
		g := r.Groups[len(r.Groups)-1]
		g.Rule += "x"
		r.Groups = append(r.Groups, g)
		r.Sources = append(r.Sources, r.Sources[0])
		r.Health.Notes = append(r.Health.Notes, r.Health.Notes[0])
	}
	if n := strings.Count(render(t, r), "\n"); n > 60 {
		t.Errorf("%d lines, more than 60", n)
	}
}

// Every kind of error is listed, and of others how grave they are that are not.
func TestEveryError(t *testing.T) {
	r := canonical.Reports()["mixed"]
	worst := r.Groups[0]
	var groups []report.Group
	for i := range 12 {
		g := worst
		g.Rule += strings.Repeat("x", i)
		groups = append(groups, g)
	}
	r.Groups = append(groups, r.Groups[1:]...)
	out := render(t, r)
	if n := strings.Count(out, "| error |"); n != 12 || !strings.Contains(out, "\nNot listed here: 2 more kinds, 1 warning.\n") {
		t.Errorf("%d of 12 errors in\n%s", n, out)
	}
}

// The state table stands in it when it was asked for.
func TestStates(t *testing.T) {
	r := canonical.Reports()["mixed"]
	if out := render(t, r); strings.Contains(out, "Sockets at") {
		t.Errorf("nobody asked for a table:\n%s", out)
	}
	r.Asked = true
	out := render(t, r)
	_, table, _ := strings.Cut(out, "```\nSockets at 2026-01-31 14:")
	table, _, _ = strings.Cut(table, "```\n")
	for st := fsm.Closed; st <= fsm.TimeWait; st++ {
		if !strings.Contains(table, "\n"+st.String()+" ") {
			t.Errorf("no %s in\n%s", st, out)
		}
	}
	r.Health.Notes = append(r.Health.Notes, report.Note{Text: "nothing is known of that time", File: -1, States: true})
	if out := render(t, r); strings.Count(out, "\nNothing is known of that time.\n\n```\nSockets at ") != 1 {
		t.Errorf("no remark on the instant in\n%s", out)
	}
}

// What others chose must not become markup.
func TestEscaped(t *testing.T) {
	r := canonical.Reports()["mixed"]
	r.Sources[0].Name = "<script>|[x](http://x)\n# `x`"
	out := render(t, r)
	for line := range strings.Lines(out) {
		bare := strings.NewReplacer(`\<`, "", `\|`, "", `\[`, "", `\]`, "", "\\`", "", `\#`, "").Replace(line)
		if strings.Contains(line, "script") && strings.ContainsAny(bare, "<|[]`") {
			t.Errorf("markup in %q", line)
		}
	}
	if !strings.Contains(out, "script") {
		t.Error("the name is not there")
	}
}

func render(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := md.Write(&b, r, report.Clock{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
