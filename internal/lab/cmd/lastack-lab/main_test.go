//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/lab"
)

func TestListNamesEveryScenario(t *testing.T) {
	var out bytes.Buffer
	if err := list(&out, lab.Scenarios()); err != nil {
		t.Fatal(err)
	}
	for _, s := range lab.Scenarios() {
		if !strings.Contains(out.String(), s.Name+"\n    "+s.Does) {
			t.Errorf("%s is not listed", s.Name)
		}
	}
}

func TestChoose(t *testing.T) {
	got, err := choose([]string{"refused", "normal"})
	if err != nil || len(got) != 2 || got[0].Name != "refused" || got[1].Name != "normal" {
		t.Errorf("chose %v, %v", got, err)
	}
}

func TestUsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "which of",
		"play":                    "which of",
		"judge":                   "--out",
		"judge --out no-such-dir": "no recording",
		"record":                  "--out",
		"demo":                    "--out",
		"list --only no-such":     "no scenario",
		"record --only --out=x y": "no scenario",
		"list --loud":             "unknown flag",
	} {
		err := run(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to name %q", args, err, want)
		}
	}
}
