package report

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/lastack/lastack/report/diagnose"
)

// blind is the share of flows, in percent, from which on the capture as a whole
// cannot answer.
const blind = 80

// verdict is what every renderer says first: what cannot be judged, then what
// is wrong, the worst first; or that nothing is.
func (r *Report) verdict() []string {
	switch {
	case r.Packets == 0 && r.Listened > 0:
		return []string{r.silence()}
	case r.Packets == 0:
		return r.Filter.empty()
	case r.Flows == 0:
		return []string{r.nothing()}
	}
	out, judged := r.cannot()
	bad, remarks := 0, uint64(0)
	var told []*Group // as part of the worst incident
	var worst *Row
	rows := r.Rows()
	for i := range rows {
		row := &rows[i]
		switch {
		case row.Severity == diagnose.Info:
			remarks += row.FlowCount
			continue
		case worst != nil && row.toldWith(worst, told):
			continue
		}
		switch bad++; bad {
		case 1:
			out = append(out, r.tell(row))
			out = append(out, row.why()...)
			out = append(out, row.doubts()...)
			more, linked := r.linked(row)
			out, told, worst = append(out, more...), linked, row
		case 2:
			out = append(out, r.also(row, worst))
			out = append(out, row.doubts()...)
		}
	}
	switch {
	case bad == 0 && remarks > 0 && len(r.NotAsked) > 0:
		out = append(out, r.tell(&rows[0]), capital(r.others())+".")
	case bad == 0:
		out = append(out, r.fine(judged, remarks))
	case len(r.NotAsked) > 0:
		out = append(out, capital(r.others())+".")
	}
	return out
}

// empty says why there are no packets.
func (f *Filter) empty() []string {
	if f.Read == 0 {
		return []string{"The input holds no packets."}
	}
	of := "None of " + Plural(f.Read, "packet matches", "packets matches")
	if f.Read == 1 {
		of = "The one packet does not match"
	}
	out := []string{of + " the filter '" + f.Expr + "'."}
	if f.Tagged {
		out = append(out, "Packets with VLAN tags are among them, which it passes over: 'vlan and ("+f.Expr+")' looks behind the tags.")
	}
	return out
}

// silence says what a live capture listened to in vain.
func (r *Report) silence() string {
	var names []string
	for i := range r.Sources {
		names = append(names, r.Sources[i].Name)
	}
	return fmt.Sprintf("In %s no packet on %s matched the filter '%s'. A filter looks into tunnels and VLANs only where it names them: -f gives another one.",
		diagnose.Span(r.Listened), list(names, "or"), r.Filter.Expr)
}

// nothing says why there are no flows.
func (r *Report) nothing() string {
	s := "The input holds no TCP: " + Plural(r.Packets, "packet", "packets")
	if n := r.Health.NotTCP; n > 0 {
		s += ", " + Count(n) + " of other protocols"
	}
	if n := r.Health.Undecodable; n > 0 {
		s += ", " + Count(n) + " that could not be decoded"
	}
	return s + "."
}

// cannot leads the verdict when the capture cannot answer. judged is false when
// it cannot for most flows.
func (r *Report) cannot() (out []string, judged bool) {
	if p := r.percent(r.Health.OneWay); p >= blind && r.Health.filter == nil {
		out = append(out, "Only one direction was captured"+share(p)+"; teardown cannot be judged"+there(p)+".")
	}
	if p := r.percent(r.Health.Filtered); r.filtered() {
		kinds, hides, half := "SYN, FIN and RST", "whether a FIN was acknowledged", ""
		if f := r.Health.filter; f != nil {
			kinds, hides = f.Cut().Kinds, f.Cut().Hides
			if n := f.Half(); n > 0 {
				half = " On " + Count(n) + " of " + Plural(r.Flows, "flow", "flows") + " only one side's FIN came."
			}
		}
		out = append(out, "Only "+kinds+" were captured"+share(p)+"; "+hides+" cannot be seen"+there(p)+"."+half)
	}
	if r.Health.unturned {
		out = append(out, "No SYN, FIN or RST was captured: no connection opened or closed, or a filter left them out.")
	}
	if r.Health.KernelDrops > 0 {
		out = append(out, "The capture lost "+Plural(r.Health.KernelDrops, "packet", "packets")+
			", so no finding is surer than likely.")
	}
	return out, r.percent(r.Health.OneWay) < blind && !r.filtered()
}

// filtered reports that the capture was filtered on flags, so that it cannot
// answer.
func (r *Report) filtered() bool {
	return r.Health.filter != nil || r.percent(r.Health.Filtered) >= blind
}

// share is of how many flows something is said, "" for all.
func share(percent uint64) string {
	if percent == 100 {
		return ""
	}
	return fmt.Sprintf(" on %d%% of flows", percent)
}

func there(percent uint64) string {
	if percent == 100 {
		return ""
	}
	return " there"
}

func (r *Report) percent(n uint64) uint64 { return n * 100 / r.Flows }

// sentence tells a group, and the timer behind it.
func (r *Report) sentence(g *Group) string {
	row := Row{Rule: g.Rule, Who: g.Who, Severity: g.Severity, FlowCount: g.FlowCount, Services: []netip.AddrPort{g.Service},
		Confidence: g.Confidence, Counts: g.Counts, First: g.First, Last: g.Last, Longest: g.Longest,
		StillOpen: g.StillOpen, Oldest: g.Oldest, Group: g, clients: g.clients, onsets: g.onsets,
		measured: g.measured, passed: g.passed}
	s := r.tell(&row)
	if why := mildly(g.Rule); why != "" && g.Count > 1 && g.Counts.mild() == g.Count {
		s += " " + capital(why) + "."
	}
	for _, d := range row.doubts() {
		s += " " + d
	}
	for _, part := range []func(*Row) (string, *Group){(*Row).usual, r.timer} {
		if more, _ := part(&row); more != "" {
			s += " " + more
		}
	}
	return s
}

// tell is a row in one sentence. A single finding is told by its own words.
func (r *Report) tell(row *Row) string {
	g := row.Group
	if len(row.Services) == 1 && g.Count == 1 {
		return capital(strings.TrimSuffix(g.Example.Verdict, ".")) + "."
	}
	p := row.phrase()
	flows := Count(row.FlowCount) + " of " + Plural(r.Flows, "flow", "flows")
	side, how := endpoint(row.Who), r.course(row, p)
	if n := row.Counts.of(diagnose.Possible); n > 0 && n < row.Counts.Total() {
		some := " (" + Count(n) + " of them possibly)"
		if row.happened() && side != "" {
			how = some + how // that it was reset is certain: it is why that is not
		} else {
			flows += some
		}
	}
	perhaps := ""
	if row.Confidence == diagnose.Possible && !row.happened() {
		perhaps = "Possibly, "
	}
	who, only := row.clients.words()
	switch {
	case side == "":
		from := ""
		if n, _ := row.clients.words(); len(row.clients.set) == 1 && !row.clients.more && row.FlowCount > 1 {
			from = " from " + n
		}
		return capital(fmt.Sprintf("%son %s%s%s %s%s%s.", perhaps, flows, from, row.to(" to "), p.saw, row.by(), how))
	case side == "client" && only:
		return fmt.Sprintf("%s%s %s.", perhaps, who, row.did(p, side, flows+row.to(" to "), how))
	case side == "client":
		return capital(fmt.Sprintf("%s%s%s %s.", perhaps, who, row.to(" of "), row.did(p, side, flows, how)))
	}
	return capital(fmt.Sprintf("%s%s %s.", perhaps, row.server(), row.did(p, side, flows, how)))
}

// also tells a row after the worst one. Where both are about the same clients it
// does not name them again.
func (r *Report) also(row, worst *Row) string {
	same := endpoint(row.Who) == "client" && endpoint(worst.Who) == "client" && row.Group.Count > 1 &&
		len(row.clients.set) > 0 && maps.Equal(row.clients.set, worst.clients.set) && !row.clients.more &&
		slices.Equal(row.Services, worst.Services) && row.Confidence != diagnose.Possible
	if !same {
		return r.tell(row)
	}
	p := row.phrase()
	return fmt.Sprintf("They also %s.", row.did(p, "client", Plural(row.FlowCount, "flow", "flows"), r.course(row, p)))
}

// did is what an endpoint did, on the flows given. how is what is told of that
// beside: since when, for how long.
func (row *Row) did(p phrase, side, flows, how string) string {
	s := fill(p.did, side)
	if !strings.Contains(s, "{flows}") {
		s += " on {flows}"
	}
	if !strings.Contains(s, "{how}") {
		s += "{how}"
	}
	return strings.NewReplacer("{flows}", flows, "{how}", how, "{typical}", row.measured.words(), "{passed}", row.passed.words()).Replace(s)
}

// course tells since when a row's phenomenon occurs, how fast it grows, how much
// of it is still there and for how long.
func (r *Report) course(row *Row, p phrase) string {
	s := ""
	if pace, ok := row.onsets.pace(row.First, r.End); ok {
		clock := r.Meta.Clock.For(r)
		if s = ", since " + clock.Second(row.First) + ", " + pace.words(); pace.Last == 0 {
			s = ", " + clock.Seconds(row.First, row.Last)
		}
	}
	open := Count(row.StillOpen)
	if row.StillOpen == row.Counts.Total() {
		open = "all"
	}
	switch {
	case !p.lasts || row.Longest < second:
	case row.StillOpen > 0 && p.still != "" && row.Oldest >= second:
		s += "; " + open + " " + p.still + ", the oldest for " + diagnose.Span(row.Oldest)
	default:
		s += ", the longest for " + diagnose.Span(row.Longest)
	}
	return s
}

// server names the services of a row that are the party.
func (row *Row) server() string {
	if s := row.to(""); s != "" {
		return s
	}
	return "servers"
}

// Sentence makes a whole sentence of a remark.
func Sentence(s string) string { return capital(s) + "." }

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// to names the services behind a row after the words given, "" without any.
func (row *Row) to(words string) string {
	named := row.Services
	if n := len(named); !named[n-1].IsValid() {
		named = named[:n-1] // the group of those that are not told apart
	}
	switch n := len(named); {
	case n == 0:
		return ""
	case n < len(row.Services):
		return words + "more than " + Count(uint64(n)) + " services"
	case n > 2:
		return words + Count(uint64(n)) + " services"
	case n == 2:
		return words + named[0].String() + " and " + named[1].String()
	}
	return words + named[0].String()
}

// by names a party that is no endpoint.
func (row *Row) by() string {
	switch {
	case row.Who != diagnose.Middlebox:
		return ""
	case row.happened() && row.Confidence == diagnose.Possible:
		return " (possibly a middlebox's)"
	}
	return " (a middlebox did)"
}

// why explains the worst row, if there is something to explain.
func (row *Row) why() []string {
	side := endpoint(row.Who)
	if len(row.Services) == 1 && row.Group.Count == 1 || side == "" {
		return nil
	}
	if s := row.phrase().why; s != "" {
		unless := ""
		if row.Counts.of(diagnose.Certain) < row.Counts.Total() {
			unless = "unless the FIN that answers was lost before the tap, "
		}
		mild, lost := "", "whatever it asked for was not done"
		if side == "server" {
			lost = "the client did not get it"
		}
		if n := row.Counts.mild(); n > 0 {
			mild = "; on " + Count(n) + " of these flows " + mildly(row.Rule)
		}
		return []string{strings.NewReplacer("{unless}", unless, "{mild}", mild, "{lost}", lost).Replace(fill(s, side))}
	}
	return nil
}

// doubts is what speaks against the party. A single finding says it itself.
func (row *Row) doubts() []string {
	if row.Group.doubt == "" || len(row.Services) == 1 && row.Group.Count == 1 {
		return nil
	}
	return []string{row.Group.doubt}
}

// fill puts the other end into a phrase about one.
func fill(s, side string) string {
	peer := "client"
	if side == "client" {
		peer = "server"
	}
	return strings.ReplaceAll(s, "{peer}", peer)
}
