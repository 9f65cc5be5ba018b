package report

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/report/diagnose"
)

// Row is the groups of one rule and one party over all services, of one severity
// where that tells several things: a line of the table that a person reads.
type Row struct {
	Rule       string
	Who        diagnose.Party
	Severity   diagnose.Severity
	Confidence diagnose.Confidence
	FlowCount  uint64
	Counts     Tally
	// Services that have a group of their own, the most harmful first; the
	// invalid one, for those that have none, last.
	Services  []netip.AddrPort
	First     int64
	Last      int64
	Longest   int64  // ns
	StillOpen uint64 // findings that were still so when the input ended
	Oldest    int64  // the longest of those, ns
	Group     *Group // the most harmful one

	clients hosts
	onsets  bins

	measured, passed spans // of the groups
}

// Sure is how sure the most of a row's findings are, at least: one that is
// certain among many that are possible does not speak for them.
func (row *Row) Sure() diagnose.Confidence {
	n := uint64(0)
	for c := row.Confidence; c < diagnose.Possible; c++ {
		if n += row.Counts.of(c); 2*n >= row.Counts.Total() {
			return c
		}
	}
	return diagnose.Possible
}

// Rows folds the groups, the most harmful first.
func (r *Report) Rows() []Row {
	var rows []Row
	at := map[groupKey]int{}
	rest := map[groupKey]bool{}
	for i := range r.Groups {
		g := &r.Groups[i]
		k := groupKey{rule: g.Rule, who: g.Who, grade: grade(g.Rule, g.Severity)}
		n, ok := at[k]
		if !ok {
			n = len(rows)
			at[k] = n
			rows = append(rows, Row{
				Rule: g.Rule, Who: g.Who, Severity: g.Severity, Confidence: g.Confidence, First: g.First,
				Group: g,
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
		row.measured.plus(g.measured)
		row.passed.plus(g.passed)
		row.clients.plus(&g.clients)
		row.onsets.plus(&g.onsets)
		row.StillOpen, row.Oldest = row.StillOpen+g.StillOpen, max(row.Oldest, g.Oldest)
		row.First, row.Last = min(row.First, g.First), max(row.Last, g.Last)
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
			compareDoubt(a.Confidence, b.Confidence),
			cmp.Compare(b.FlowCount, a.FlowCount),
			cmp.Compare(a.Confidence, b.Confidence),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Who, b.Who),
		)
	})
	return rows
}

// Errors is how many of the rows, which stand first, are errors.
func Errors(rows []Row) int { return until(rows, diagnose.Warning) }

// until is how many rows stand before the first of a severity or a lesser one.
func until(rows []Row, s diagnose.Severity) int {
	n := slices.IndexFunc(rows, func(r Row) bool { return r.Severity >= s })
	if n < 0 {
		return len(rows)
	}
	return n
}

// MoreKinds says how grave the rows are that a table has no room for. None of
// them is an error.
func MoreKinds(rest []Row) string {
	n, w := len(rest), until(rest, diagnose.Info)
	s := Plural(uint64(n), "more kind", "more kinds") + ", "
	switch {
	case n == 1 && w == 1:
		return s + "a warning"
	case w == n:
		return s + "all warnings"
	case w == 0:
		return s + "no warnings"
	}
	return s + Plural(uint64(w), "warning", "warnings")
}

// Example is the most harmful group of the rows that has a flow to show; nil
// for none.
func Example(rows []Row) *Group {
	for i := range rows {
		if rows[i].Group.Flow != nil {
			return rows[i].Group
		}
	}
	return nil
}
