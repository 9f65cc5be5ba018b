//go:build linux

package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// Labels lists in words what the findings of a capture owe to the labels:
// rules that ought to name a connection and do not, and rules of severity
// warning or above that name one, or a service, although nothing of the kind was
// done to it.
func Labels(labels []lab.Label, in *Reading, v Vantage) (wrong []string) {
	nth := map[ends]int{} // labels before of the same connection
	for i := range labels {
		l := &labels[i]
		e := ends{l.Client, l.Server}
		flows, _ := in.flowsOf(e.local, e.remote)
		var id tcp.PacketRef
		if nth[e] < len(flows) {
			id = flows[nth[e]].ID
		}
		nth[e]++
		wrong = append(wrong, in.owed(l, id, v)...)
	}
	return append(wrong, in.unasked(labels, v)...)
}

// expected are the rules that ought to name a connection.
func expected(l *lab.Label, v Vantage) []string {
	if v == AtServer && l.ExpectServer != nil {
		return l.ExpectServer
	}
	return l.Expect
}

// owed compares one label with the findings on its flow; 0 when there is none.
func (r *Reading) owed(l *lab.Label, id tcp.PacketRef, v Vantage) (wrong []string) {
	expect := expected(l, v)
	var own, wide []diagnose.Finding // wide: over several flows
	for _, d := range r.Findings {
		switch {
		case d.Flow != 0 && d.Flow == id:
			own = append(own, d)
		case d.Flow == 0 && (id != 0 && slices.Contains(d.Flows, id) || d.Service == l.Server):
			wide = append(wide, d)
		}
	}
	for _, rule := range expect {
		if !slices.ContainsFunc(append(own, wide...), func(d diagnose.Finding) bool { return d.Rule == rule }) {
			wrong = append(wrong, fmt.Sprintf("%s: %v has no %s, but %s", l.Behaviour, l.Client, rule, names(own)))
		}
	}
	for _, d := range own {
		if d.Severity <= diagnose.Warning && !slices.Contains(expect, d.Rule) && !slices.Contains(l.Possible, d.Rule) &&
			(d.Confidence < diagnose.Possible || !slices.Contains(l.Doubtful, d.Rule)) {
			wrong = append(wrong, fmt.Sprintf("%s: %v has %s (%v, %v): %s", l.Behaviour, l.Client, d.Rule, d.Severity, d.Confidence, d.Verdict))
		}
	}
	return wrong
}

// unasked are findings over several flows that no label brings about.
func (r *Reading) unasked(labels []lab.Label, v Vantage) (wrong []string) {
	for _, d := range r.Findings {
		if d.Flow == 0 && d.Severity <= diagnose.Warning && !slices.ContainsFunc(labels, func(l lab.Label) bool {
			return slices.Contains(expected(&l, v), d.Rule) || slices.Contains(l.Possible, d.Rule)
		}) {
			wrong = append(wrong, fmt.Sprintf("%s (%v, %v): %s", d.Rule, d.Severity, d.Confidence, d.Verdict))
		}
	}
	return wrong
}

func names(ds []diagnose.Finding) string {
	if len(ds) == 0 {
		return "nothing"
	}
	var out []string
	for _, d := range ds {
		out = append(out, d.Rule)
	}
	return strings.Join(out, ", ")
}
