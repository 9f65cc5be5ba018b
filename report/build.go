package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// build makes the report of what the collector and the judges hold.
func (a *Analysis) build(end int64, in Input, c *collector, judges []*judge) *Report {
	r := &Report{Meta: in.Meta, Sources: in.Sources, Packets: in.Packets, Filter: in.Filter, Listened: in.Listened, Start: in.Start, End: end}
	if in.Packets == 0 {
		r.Start, r.End = 0, 0
	}
	var all sums
	for _, j := range judges {
		all.plus(&j.sums)
	}
	r.Flows, r.ByClose = all.flows, all.byClose

	limit := diagnose.Confidence(0)
	if in.KernelDrops > 0 {
		limit = diagnose.Likely // the capture itself lost packets
	}
	patterns := diagnose.NewPatterns(a.opt.Rules)
	for _, j := range judges {
		patterns.Merge(j.ctx.Patterns)
	}
	a.health(r, in, &all, patterns.Shown())
	ctx := diagnose.Context{Profile: a.opt.Profile}
	c.groups.weigh(patterns)
	c.groups.patterns(patterns, &ctx, end)
	if all.lossy*lossyShare > all.flows && c.groups.hush() {
		r.note("packets are missing from %s of %s: an answer may be among them, so nothing that rests on silence is surer than likely",
			Count(all.lossy), Plural(all.flows, "flow", "flows"))
	}
	c.groups.doubts(&all.seen, in.Sources)
	r.Ports = patterns.Ports(&ctx, end)
	if s := patterns.WrongRange(&ctx, end); s != "" {
		r.note("%s", s)
	}
	for i := range a.opt.Rules {
		if a.opt.Rules[i].Muted {
			r.NotAsked = append(r.NotAsked, a.opt.Rules[i].ID)
		} else {
			r.Rules = append(r.Rules, a.opt.Rules[i].ID)
		}
	}
	r.Groups = c.groups.ranked(limit)
	for i := range r.Groups {
		r.Tally.plus(&r.Groups[i].Counts)
	}
	if c.groups.list {
		r.Findings, r.Unlisted = c.groups.findings()
		for i := range r.Findings {
			r.Findings[i].Weaken(limit, reassembly.QualityCaptureLoss)
		}
	}
	a.count(r, judges, c.series, end)
	r.look()
	for i := range r.Groups {
		g := &r.Groups[i]
		g.Verdict = r.sentence(g)
		if p, ok := g.onsets.pace(g.First, end); ok {
			g.Pace = &p
		}
	}
	r.Verdict = r.verdict()
	return r
}

// count fills in how many sockets there were: at the instant asked for, and in
// the course of time.
func (a *Analysis) count(r *Report, judges []*judge, moves *series, end int64) {
	people := takeCensus(judges, end)
	if t := a.earlier; t != 0 && people.asked > end && r.Start-t < people.asked-end {
		people = &census{past: true, asked: t, at: t, listeners: people.listeners} // nothing was known yet
	}
	if judges[0].counts {
		r.States = people.states()
	}
	r.Asked = people.past
	if at := people.asked; at < r.Start && r.Packets > 0 {
		r.noteStates("the states are asked for at a time before the first packet, %s, when nothing is known", r.Meta.Clock.For(r).Moment(at))
	} else if at > end && at != EndOfInput {
		r.noteStates("the states are those of the end: they were asked for at a later time, %s (--until tells how long the capture ran)", r.Meta.Clock.For(r).Moment(at))
	}
	if people.incomplete {
		r.note("more hosts hold sockets than are told apart: states are given for all hosts together")
	}
	if moves != nil && r.Packets > 0 {
		if r.Series = moves.finish(r.Start, r.End, people.listeners); r.Series.Crowded {
			r.note("more than %d hosts hold sockets: the series tells the first apart, and all together", seriesHosts)
		}
	}
}

// health fills what could be read and what could not.
func (a *Analysis) health(r *Report, in Input, all *sums, shown *diagnose.Shown) {
	h := &r.Health
	*h = Health{
		Packets: in.Packets, NotTCP: in.NotTCP, Undecodable: in.Undecodable,
		KernelDrops: in.KernelDrops, BadChecksums: in.BadChecksums,
		DropsCounted: in.DropsCounted, endings: all.endings, TimeWentBackwards: a.clock.back, Vantage: all.halves.vantage(),
		OneWay: all.quality(reassembly.QualityOneWay), Midstream: all.midstream,
		Filtered: all.quality(reassembly.QualityFiltered), unseen: all.quality(reassembly.QualityCaptureLoss),
	}
	h.unturned = shown.Unturned()
	if shown.Filtered() {
		h.Filtered = max(h.Filtered, shown.Flows())
		h.filter = shown
	}
	for _, p := range a.panels {
		for _, t := range p.tables {
			n := t.Counters()
			h.TCPSegments += n.Segments
			h.Duplicates += n.Duplicates
			h.AckedUnseen += n.AckedUnseen
			h.EvictedFlows += n.Evicted
		}
	}
	h.steppedBack = a.clock.back > 0
	h.Incomplete = in.Damaged || h.KernelDrops > 0 || h.EvictedFlows > 0
	h.Notes = slices.Clone(in.Notes)
	slices.SortStableFunc(h.Notes, func(x, y Note) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Ref, y.Ref))
	})
	a.remarks(r, all)
}

// note adds a remark on the whole input.
func (r *Report) note(format string, args ...any) {
	r.Health.Notes = append(r.Health.Notes, Note{Text: fmt.Sprintf(format, args...), File: -1})
}

// noteStates adds a remark on the instant that states were asked for.
func (r *Report) noteStates(format string, args ...any) {
	r.note(format, args...)
	r.Health.Notes[len(r.Health.Notes)-1].States = true
}

// Tell is a note in words, with the source and the frame that it is about.
func (r *Report) Tell(n *Note) string {
	if n.File < 0 || n.File >= len(r.Sources) {
		return Printable(n.Text)
	}
	s := r.Sources[n.File].Name + ": " + n.Text
	if frame := n.Ref.Frame(); frame != 0 && !strings.Contains(n.Text, "frame "+Count(frame)) {
		s += " (frame " + Count(frame) + ")"
	}
	return Printable(s)
}

// filterRemark notes that a filter on flags left no more than it does, and which to
// use instead.
func (r *Report) filterRemark() {
	h := &r.Health
	switch {
	case h.filter != nil:
		cut := h.filter.Cut()
		r.note("%s nothing but %s, as %sthe filter '%s' leaves them, which matches no IPv6: capture 'tcp or icmp or icmp6' instead",
			Plural(h.Filtered, "flow shows", "flows show"), cut.Kinds, cut.Besides, cut.Filter)
	case h.Filtered > 0:
		r.note("%s nothing but SYN, FIN and RST, as a capture filter leaves them: "+
			"capture 'tcp or icmp or icmp6' instead", Plural(h.Filtered, "flow shows", "flows show"))
	}
}

// remarks notes what the counters say, in the order of what it costs.
func (a *Analysis) remarks(r *Report, all *sums) {
	h := &r.Health
	if s := all.seen.words(); s != "" {
		h.Notes = append(h.Notes, Note{Text: s, File: -1, Twice: true})
	}
	if h.EvictedFlows > 0 {
		r.note("%s judged early and counted in no state since, because more were open at once than --max-flows allows",
			Plural(h.EvictedFlows, "flow was", "flows were"))
	}
	a.pauses.remark(r)
	if h.OneWay > 0 {
		r.note("only one direction was captured of %s", Plural(h.OneWay, "flow", "flows"))
	}
	if e := &h.endings; e.vain > 0 {
		r.note("%s on %s of one direction: whether the answer was not captured or never came cannot be told",
			Plural(e.repeats, "repetition of a segment", "repetitions of segments"), Plural(e.vain, "flow", "flows"))
	}
	if n := h.endings.lone; n > 0 {
		r.note("%s a SYN-ACK whose SYN was not seen and which nobody followed up: the other direction is missing, "+
			"or the SYNs were forged elsewhere (backscatter)", Plural(n, "flow shows", "flows show"))
	}
	r.filterRemark()
	switch n := h.Midstream - h.endings.oneSaid; {
	case n == 0:
	case h.KernelDrops > 0 || h.EvictedFlows > 0:
		r.note("the beginning of %s was not seen: it was dropped, or belongs to a flow judged early, or lies before the capture",
			Plural(n, "flow", "flows"))
	default:
		r.note("%s before the capture did", Plural(n, "flow began", "flows began"))
	}
	if n := h.endings.oneSaid; n > 0 {
		r.note("no SYN was seen of %s on which one side alone spoke: a probe, or a connection from before the capture",
			Plural(n, "flow", "flows"))
	}
	switch {
	case h.AckedUnseen > 0:
		r.note("%s what the capture does not hold", Plural(h.AckedUnseen, "segment acknowledges", "segments acknowledge"))
	case h.unseen > 0 && !a.pauses.any(): // else what was open in a pause has the same flaw
		r.note("what the capture does not hold was sent or acknowledged on %s", Plural(h.unseen, "flow", "flows"))
	}
	if h.Duplicates > 0 {
		r.note("%s set aside", Plural(h.Duplicates, "copy of a frame was", "copies of frames were"))
	}
	if n := all.quality(reassembly.QualitySnapped); n > 0 {
		r.note("%s cut short by the snap length", Plural(n, "flow has frames", "flows have frames"))
	}
	if h.BadChecksums > 0 {
		r.note("%s a wrong TCP checksum; checksum offload on the capturing host looks the same, so they count",
			Plural(h.BadChecksums, "segment has", "segments have"))
	}
	if h.steppedBack {
		r.Health.Notes = append(r.Health.Notes, Note{
			Text: fmt.Sprintf("the clock stepped back %s, by up to %s",
				Plural(a.clock.back, "time", "times"), diagnose.Span(a.clock.longest)),
			File: a.clock.at.File(), Ref: a.clock.at,
		})
	}
	if n := all.quality(reassembly.QualityClockStep); n > 0 && a.clock.back == 0 {
		r.note("by the capture's clock more time passed than by the hosts' timestamps on %s: it leapt ahead", Plural(n, "flow", "flows"))
	}
	if r.Unlisted > 0 {
		r.note("%s counted and not listed", Plural(r.Unlisted, "finding is", "findings are"))
	}
}
