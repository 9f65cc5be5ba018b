//go:build linux

package judge

import (
	"slices"
	"testing"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/report/diagnose"
)

// unplayed are the rules whose cause no kernel here can produce, with the reason.
var unplayed = map[string]string{
	"syn-dropped-by-paws": "a server that keeps one timestamp for each address needs tcp_tw_recycle, which left Linux in 4.12; " +
		"later kernels compare timestamps within a four-tuple only (tuple-reuse-rejected)",
}

// Every rule is what some scenario's label asks for, or cannot be played.
func TestEveryRuleIsPlayed(t *testing.T) {
	asked := map[string]string{}
	for _, s := range lab.Scenarios() {
		for _, rule := range slices.Concat(s.Expect, s.ExpectServer) {
			asked[rule] = s.Name
		}
	}
	for _, r := range diagnose.Rules() {
		scenario, reason := asked[r.ID], unplayed[r.ID]
		switch {
		case scenario == "" && reason == "":
			t.Errorf("no scenario of the lab expects %s, and nothing says why", r.ID)
		case scenario != "" && reason != "":
			t.Errorf("%s is said to be unplayable, and %s expects it", r.ID, scenario)
		}
		delete(asked, r.ID)
	}
	for rule, scenario := range asked {
		t.Errorf("%s expects %s, which is no rule", scenario, rule)
	}
	for rule := range unplayed {
		if _, ok := diagnose.Named(rule); !ok {
			t.Errorf("%s is no rule", rule)
		}
	}
}
