//go:build linux

package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// reports are what the report on a scenario must say as a whole, besides what
// the labels ask for of each connection; in words, what it does not say.
var reports = map[string]func(*lab.Recording, *report.Report) []string{lab.Incident: incident}

// incident: whose timer it is, whose application does not close, that both hosts
// began together, and nothing else.
func incident(rec *lab.Recording, r *report.Report) (wrong []string) {
	leaks, hosts := uint64(0), map[netip.Addr]bool{}
	for _, l := range rec.Labels {
		if slices.Contains(l.Expect, "fin-unanswered") {
			leaks++
			hosts[l.Client.Addr()] = true
		}
	}
	all := uint64(len(rec.Labels))
	for _, want := range []struct {
		rule  string
		who   diagnose.Party
		flows uint64
		says  string // part of its example's verdict
	}{
		{"fin-unanswered", diagnose.ClientApp, leaks, "its application has not closed the socket"},
		{"synchronized-onset", diagnose.ClientApp, leaks, "the cause is what they share"},
		{"idle-timeout-close", diagnose.ServerApp, all, "after about 3 s idle"},
	} {
		i := slices.IndexFunc(r.Groups, func(g report.Group) bool { return g.Rule == want.rule })
		if i < 0 {
			wrong = append(wrong, "the report has no "+want.rule)
			continue
		}
		if g := &r.Groups[i]; g.Who != want.who || g.FlowCount != want.flows || !strings.Contains(g.Example.Verdict, want.says) {
			wrong = append(wrong, fmt.Sprintf("%s is of %v, on %d flows (%s), and not of %v on %d (%s)",
				g.Rule, g.Who, g.FlowCount, g.Example.Verdict, want.who, want.flows, want.says))
		}
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		if n, _ := g.Clients(); g.Rule == "fin-unanswered" && n != uint64(len(hosts)) {
			wrong = append(wrong, fmt.Sprintf("%d hosts leak and not %d", n, len(hosts)))
		}
		if g.Severity <= diagnose.Warning && !slices.Contains([]string{"fin-unanswered", "synchronized-onset", "idle-timeout-close"}, g.Rule) {
			wrong = append(wrong, fmt.Sprintf("the report has %s, %v", g.Rule, g.Severity))
		}
	}
	verdict := strings.Join(r.Verdict, " ")
	words := []string{"CLOSE_WAIT", "Two clients began within", "closes after about 3 s idle"}
	for h := range hosts {
		words = append(words, h.String())
	}
	for _, w := range words {
		if !strings.Contains(verdict, w) {
			wrong = append(wrong, fmt.Sprintf("the verdict does not say %q: %s", w, verdict))
		}
	}
	return wrong
}
