package report

import (
	"net/netip"
	"slices"

	"github.com/lastack/lastack/report/diagnose"
)

// An incident is what findings of several rules tell together: who does not
// close, that several hosts began at once, and whose timer it is that they do
// not watch.

// leaks are the rules whose party did not look at a FIN in time, so that it
// matters why the other side sent one.
var leaks = [...]string{"fin-unanswered", "write-after-fin", "late-close-reset", "fin-answered-late"}

// look lists the groups that can lie behind others.
func (r *Report) look() {
	r.behind = nil
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Example.Aside != "" {
			r.behind = append(r.behind, g)
		}
	}
}

// linked tells what else belongs to a row: sentences, and the groups that they
// tell.
func (r *Report) linked(row *Row) (out []string, told []*Group) {
	for _, part := range []func(*Row) (string, *Group){(*Row).usual, r.onset, r.timer} {
		if s, g := part(row); g != nil {
			out, told = append(out, s), append(told, g)
		}
	}
	return out, told
}

// onset tells that hosts began to leak together.
func (r *Report) onset(row *Row) (string, *Group) {
	if row.Rule != "fin-unanswered" && row.Rule != "write-after-fin" || row.closed() {
		return "", nil
	}
	for _, g := range r.behind {
		if g.Rule == "synchronized-onset" && g.Who == row.Who && row.shares(g) && 2*g.Example.Behind >= row.FlowCount {
			return g.Example.Aside, g
		}
	}
	return "", nil
}

// timer tells the timer of the other side after which a row's connections are
// closed.
func (r *Report) timer(row *Row) (string, *Group) {
	side := endpoint(row.Who)
	if side == "" || !slices.Contains(leaks[:], row.Rule) {
		return "", nil
	}
	var worst *Group
	flows := uint64(0)
	for _, g := range r.behind {
		if g.Rule == "idle-timeout-close" && (endpoint(g.Who) == side) == row.closed() && row.shares(g) {
			flows += g.Example.Behind
			if worst == nil {
				worst = g
			}
		}
	}
	if worst == nil || 2*flows < row.FlowCount {
		return "", nil
	}
	return worst.Example.AsideTo(row.closed()), worst
}

// closed reports that the party of a row is the side that sent the FIN, where in
// findings of that rule it may be the one that did not look at it.
func (row *Row) closed() bool {
	return row.Rule == "write-after-fin" && row.Counts.Total() > 0 && row.Counts.grade(diagnose.Error) == 0
}

// shares reports that a finding over many flows is about one of the row's
// services.
func (row *Row) shares(g *Group) bool {
	return g.Count == 1 && slices.Contains(row.Services, g.Service)
}

// usual tells what the row is to be seen against, where it is about one service.
func (row *Row) usual() (string, *Group) {
	if row.Group.usual == nil || len(row.Services) != 1 {
		return "", nil
	}
	return capital(row.Group.usual.String()) + ".", row.Group
}

// toldWith reports that what was told along with the worst row covers the row:
// the same cause, on services of that row only.
func (row *Row) toldWith(worst *Row, told []*Group) bool {
	same := slices.ContainsFunc(told, func(g *Group) bool { return g.Rule == row.Rule && g.Who == row.Who })
	return same && !slices.ContainsFunc(row.Services, func(s netip.AddrPort) bool { return !slices.Contains(worst.Services, s) })
}
