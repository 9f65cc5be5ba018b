//go:build linux

package judge

import (
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/lab"
)

// The recordings that ship with the project: lastack's account of every socket
// is the kernel's, but for what excuses and lags list.
func TestShippedRecordings(t *testing.T) {
	v, err := Judge(shipped)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := v.Print(&out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	for _, f := range v.Failures() {
		t.Error(f)
	}
	classes := map[string]bool{}
	for _, r := range v.Rows {
		classes[r.Class] = true
	}
	for _, s := range lab.Scenarios() {
		if !classes[s.Class] {
			t.Errorf("no recording of class %q was judged", s.Class)
		}
	}
}
