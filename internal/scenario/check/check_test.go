package check

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/report/diagnose"
)

// scenarios are all transcripts of the repository.
func scenarios(t *testing.T) []*scenario.Scenario {
	t.Helper()
	all, err := scenario.ParseAll(os.DirFS("../../../testdata/scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no scenarios found")
	}
	return all
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			r, err := Run(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range Check(s, r) {
				t.Error(w)
			}
			if t.Failed() || testing.Verbose() {
				t.Log(r)
			}
		})
	}
}

// A scenario that expects nothing cannot fail, and is no test.
func TestEveryScenarioExpects(t *testing.T) {
	for _, s := range scenarios(t) {
		if !s.None && !s.Quiet && len(s.Findings)+len(s.Not)+len(s.NotCertain)+len(s.Flows)+len(s.Steps) == 0 {
			t.Errorf("%s expects nothing", s.Name)
		}
		if s.About == "" {
			t.Errorf("%s does not say what it is about", s.Name)
		}
	}
}

func TestRulesAreComplete(t *testing.T) {
	positive, lookalike := map[string]bool{}, map[string]bool{}
	for _, s := range scenarios(t) {
		for _, f := range s.Findings {
			positive[f.Rule] = true
		}
		for _, id := range slices.Concat(s.Not, s.NotCertain) {
			lookalike[id] = true
		}
	}
	rules := diagnose.Rules()
	seen := map[string]bool{}
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, r := range rules {
		switch {
		case seen[r.ID]:
			t.Errorf("two rules are named %s", r.ID)
		case !kebab.MatchString(r.ID):
			t.Errorf("%q is no kebab-case name", r.ID)
		case !positive[r.ID]:
			t.Errorf("no scenario expects %s", r.ID)
		case !lookalike[r.ID]:
			t.Errorf("no scenario is a look-alike of %s", r.ID)
		case r.Title == "" || r.Severity == 0 || len(r.RFC) == 0 || r.Check == nil && r.New == nil:
			t.Errorf("%s lacks a title, a severity, an RFC or a check", r.ID)
		}
		seen[r.ID] = true
		for _, part := range []string{"What it means", "Signature", "Look-alikes", "What it usually is", "What to do", "What would prove it"} {
			if !strings.Contains(r.Doc, part+"\n  ") {
				t.Errorf("%s: --explain has no %q", r.ID, part)
			}
		}
		for _, line := range strings.Split(r.Doc, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: --explain is wider than 80 columns: %q", r.ID, line)
			}
		}
		for _, fault := range faultsOf(r.Doc) {
			t.Errorf("%s: --explain %s", r.ID, fault)
		}
	}
	for _, s := range scenarios(t) {
		for _, id := range slices.Concat(s.Not, s.NotCertain) {
			if !seen[id] {
				t.Errorf("%s names a rule %q that does not exist", s.Name, id)
			}
		}
	}
	for _, r := range rules {
		for _, id := range slices.Concat(r.Replaces, r.Covers) {
			if !seen[id] {
				t.Errorf("%s replaces a rule %q that does not exist", r.ID, id)
			}
		}
	}
}

// Findings carry what the contract promises.
func TestFindingsAreWhole(t *testing.T) {
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Findings {
			d := &r.Findings[i]
			say := func(what string) { t.Errorf("%s: %s: %s: %s", s.Name, d.Rule, what, d.Verdict) }
			if len(d.Evidence) == 0 {
				say("no evidence")
			}
			for k, e := range d.Evidence {
				if e.Ref == 0 || e.At == 0 || e.Side == 0 || e.What == "" {
					say("evidence without a packet, a time, a sender or a word")
				}
				if k > 0 && (e.At < d.Evidence[k-1].At || e.Ref == d.Evidence[k-1].Ref) {
					say("evidence is out of order")
				}
			}
			if d.Severity == 0 || d.Confidence == 0 || d.Who == 0 || (d.Flow == 0) == (len(d.Flows) == 0) || d.Time == 0 || d.Wireshark == "" {
				say("a field is missing")
			}
			if d.Verdict == "" || strings.Contains(d.Verdict, "%!") || strings.HasSuffix(d.Verdict, ".") || strings.Contains(d.Verdict, "  ") {
				say("the verdict is no plain sentence")
			}
			if d.Duration < 0 {
				say("negative duration")
			}
		}
	}
}
