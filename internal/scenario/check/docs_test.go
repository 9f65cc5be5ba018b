package check

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var (
	mergeLine   = regexp.MustCompile(`^(<{7}|={7}|>{7}|\|{7})`)
	sentenceEnd = regexp.MustCompile(`[.?][)"]*\s*$`)
	lostStart   = regexp.MustCompile(`[.=]\s+\([a-z-]+\)\.`) // a rule in brackets and nothing before it
)

// faultsOf lists what shows that a rule's Doc was put together wrongly: what a
// merge leaves behind, a line twice, a section without its last full stop, and a
// sentence that begins in its middle.
func faultsOf(doc string) (faults []string) {
	for _, section := range strings.Split(doc, "\n\n") {
		title, body, _ := strings.Cut(section, "\n")
		if !sentenceEnd.MatchString(body) {
			faults = append(faults, fmt.Sprintf("leaves %q unfinished", title))
		}
		if begun := lostStart.FindString(body); begun != "" {
			faults = append(faults, fmt.Sprintf("begins a sentence with %q", begun))
		}
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(doc, "\n") {
		switch {
		case mergeLine.MatchString(line):
			faults = append(faults, fmt.Sprintf("has a line of a merge: %q", line))
		case line != "" && seen[line]:
			faults = append(faults, fmt.Sprintf("says twice: %q", line))
		}
		seen[line] = true
	}
	return faults
}

// The test of the Docs sees what it is there for.
func TestFaultsOfDocs(t *testing.T) {
	for doc, faults := range map[string]int{
		"Look-alikes\n  A scan: no payload.\n\nWhat to do\n  Close with a FIN.":   0,
		"Look-alikes\n  A scan: no payload.\n=======\n  (rst-unread-data). Where": 3,
		"Look-alikes\n  A scan, and then":                                         1,
		"Look-alikes\n  A scan.\n  A scan.":                                       1,
	} {
		if have := faultsOf(doc); len(have) != faults {
			t.Errorf("%q: %q, want %d", doc, have, faults)
		}
	}
}
