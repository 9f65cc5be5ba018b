//go:build linux

package judge

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// Cuts cuts a capture short after every so many frames and lists in words the
// certain findings that the whole capture contradicts, each cause once. The
// number of cuts comes with it.
//
// A finding is contradicted when the whole capture
//   - names another party for the same rule on the same flow, unless the cut
//     did not know which it was,
//   - explains it by another rule (one that replaces it) with another party, or
//   - no longer says it, nor explains it, although it blamed somebody and did not
//     claim to be waiting still ("censored": it says what was not seen by then).
func Cuts(name string, p reassembly.Profile, every int) (wrong []string, cuts int, err error) {
	type claim struct {
		rule  string
		flow  tcp.PacketRef
		who   diagnose.Party
		still bool // censored
	}
	first := map[claim]int{} // and after how many frames it was first made
	var order []claim
	frames := 0
	var whole Reading
	err = pass(name, p, func(a *report.Analysis, s *tcp.Segment) {
		frames++
		if frames%every != 0 {
			return
		}
		cuts++
		for _, d := range a.Snapshot(0, report.Input{}).Findings {
			c := claim{d.Rule, d.Flow, d.Who, d.Censored}
			if _, ok := first[c]; !ok && d.Confidence == diagnose.Certain && d.Flow != 0 {
				first[c] = frames
				order = append(order, c)
			}
		}
	}, &whole)
	for _, c := range order {
		if why := whole.contradicts(c.rule, c.flow, c.who, c.still); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s: the first %d frames give %s on %v, certain, %v; the whole capture %s",
				name, first[c], c.rule, c.flow, c.who, why))
		}
	}
	return wrong, cuts, err
}

// contradicts says how the findings contradict a certain one, "" if they do not.
func (r *Reading) contradicts(rule string, flow tcp.PacketRef, who diagnose.Party, still bool) string {
	same, explained, blames := false, false, ""
	for _, d := range r.Findings {
		if d.Flow != flow {
			continue
		}
		explains := replaces(d.Rule, rule)
		if d.Rule != rule && !explains {
			continue
		}
		same, explained = same || d.Rule == rule, explained || explains
		if d.Who != who && who != diagnose.Unknown && blamed(d.Who) {
			blames = fmt.Sprintf("%s, %v", d.Rule, d.Who)
		}
		if d.Who == who {
			return ""
		}
	}
	switch {
	case blames != "":
		return "has " + blames
	case !same && !explained && !still && blamed(who):
		return "does not say it"
	}
	return ""
}

// blamed reports whether a party is one.
func blamed(p diagnose.Party) bool { return p != diagnose.Nobody && p != diagnose.Unknown }

// replaces reports whether a rule explains another.
func replaces(rule, other string) bool {
	r, ok := diagnose.Named(rule)
	return ok && slices.Contains(slices.Concat(r.Replaces, r.Covers), other)
}
