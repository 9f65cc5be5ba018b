package check

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
)

func TestScenarios(t *testing.T) {
	names, _ := filepath.Glob("../../../testdata/scenarios/*/*.txt")
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := scenario.Parse(filepath.Base(name), f)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Run(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range Check(s, r) {
				t.Error(w)
			}
			if !t.Failed() && os.Getenv("V") == "" { return }
			for _, f := range r.Flows {
				t.Logf("flow %v close=%v q=%v %v/%v hs=%v", f.ID, f.Close, f.Quality.Names(), f.Endpoint(f.Client).State, f.Endpoint(f.Server()).State, f.Handshake.Outcome)
				for _, st := range f.Steps {
					t.Logf("   step %v #%d side=%v %v>%v %v %v", st.At-f.Start, st.Ref.Frame(), st.Side, st.From, st.To, st.On, st.Basis)
				}
				for _, st := range f.Marks {
					t.Logf("   mark %v #%d side=%v %v", st.At-f.Start, st.Ref.Frame(), st.Side, st.Kind)
				}
				if f.Reset.Ref != 0 { t.Logf("   reset %+v", f.Reset) }
			}
			for _, d := range r.Findings {
				t.Logf("%s %s %s %s lowered=%v\n%s\n%v\n%s", d.Rule, d.Severity, d.Confidence, d.Who, d.LoweredBy.Names(), d.Verdict, d.Evidence, d.Wireshark)
			}
		})
	}
}
