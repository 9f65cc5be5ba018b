package check

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// A poorer capture may make a finding vanish or lose its grade. It must not
// make another party look guilty: nothing that is certain or likely in it may
// blame whom the whole capture does not blame.

// blamed is the party of a finding, with its address, so that a client and a
// server that change places in a mid-stream capture stay who they are; "" for
// nobody.
func blamed(d *diagnose.Finding) string {
	switch d.Who {
	case diagnose.ClientApp, diagnose.ClientHost:
		return fmt.Sprintf("%s %s", kind(d.Who), d.Client)
	case diagnose.ServerApp, diagnose.ServerHost:
		return fmt.Sprintf("%s %s", kind(d.Who), d.Service)
	case diagnose.Nobody, diagnose.Unknown:
		return ""
	}
	return d.Who.String()
}

func kind(p diagnose.Party) string {
	if p == diagnose.ClientApp || p == diagnose.ServerApp {
		return "the application at"
	}
	return "the host at"
}

// poorer analyses a variant of a scenario's frames and complains of new blame.
func poorer(t *testing.T, s *scenario.Scenario, whole []string, frames []scenario.Frame, how string, arg int) {
	t.Helper()
	p := reassembly.Profiles()[0]
	if s.Profile != "" {
		p, _ = reassembly.ProfileNamed(s.Profile)
	}
	r, err := Frames(frames, p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		d := &r.Findings[i]
		who := blamed(d)
		if who == "" || d.Confidence == diagnose.Possible || slices.Contains(whole, who) {
			continue
		}
		t.Errorf("%s, %s %d: %s %s now blames %s: %s", s.Name, how, arg, d.Confidence, d.Rule, who, d.Verdict)
	}
}

func TestPoorerCapturesBlameNobodyElse(t *testing.T) {
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		// A capture that lost the answer itself can lose the last sign of it too,
		// and then nothing is left that tells.
		lossy := slices.ContainsFunc(r.Flows, func(f *reassembly.Flow) bool {
			return f.Quality&reassembly.QualityCaptureLoss != 0
		})
		var whole []string
		for i := range r.Findings {
			whole = append(whole, blamed(&r.Findings[i]))
		}
		twice := make([]scenario.Frame, 0, 2*len(s.Frames))
		for i, f := range s.Frames {
			if f.PureACK && !lossy {
				poorer(t, s, whole, slices.Delete(slices.Clone(s.Frames), i, i+1), "without the bare ACK in frame", i+1)
			}
			poorer(t, s, whole, s.Frames[:i+1], "cut after frame", i+1)
			poorer(t, s, whole, s.Frames[i:], "begun at frame", i+1)
			twice = append(twice, f)
			f.At += 20_000
			twice = append(twice, f)
		}
		poorer(t, s, whole, twice, "every frame captured times", 2)
	}
}
