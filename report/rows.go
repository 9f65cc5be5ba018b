package report

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/report/diagnose"
)

// Row is the groups of one rule and one party over all services: a line of the
// table that a person reads.
type Row struct {
	Rule       string
	Who        diagnose.Party
	Severity   diagnose.Severity
	Confidence diagnose.Confidence
	FlowCount  uint64
	Counts     Tally
	// Services that have a group of their own, the most harmful first; the
	// invalid one, for those that have none, last.
	Services []netip.AddrPort
	Client   netip.Addr // of all findings; invalid when there are several
	First    int64
	Longest  int64  // ns
	Group    *Group // the most harmful one
}

// Rows folds the groups, the most harmful first.
func (r *Report) Rows() []Row {
	var rows []Row
	at := map[groupKey]int{}
	rest := map[groupKey]bool{}
	for i := range r.Groups {
		g := &r.Groups[i]
		k := groupKey{rule: g.Rule, who: g.Who}
		n, ok := at[k]
		if !ok {
			n = len(rows)
			at[k] = n
			rows = append(rows, Row{
				Rule: g.Rule, Who: g.Who, Severity: g.Severity, Confidence: g.Confidence, First: g.First,
				Client: g.Client, Group: g,
			})
		}
		row := &rows[n]
		row.FlowCount += g.FlowCount
		row.Counts.plus(&g.Counts)
		if g.Service.IsValid() {
			row.Services = append(row.Services, g.Service)
		} else {
			rest[k] = true
		}
		if row.Client != g.Client {
			row.Client = netip.Addr{}
		}
		row.First = min(row.First, g.First)
		row.Longest = max(row.Longest, g.Longest)
		row.Severity = min(row.Severity, g.Severity)
		row.Confidence = min(row.Confidence, g.Confidence)
	}
	for k := range rest {
		row := &rows[at[k]]
		row.Services = append(row.Services, netip.AddrPort{})
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Confidence, b.Confidence),
			cmp.Compare(b.FlowCount, a.FlowCount),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Who, b.Who),
		)
	})
	return rows
}
