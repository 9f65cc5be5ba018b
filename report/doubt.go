package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// unanswered is the rule whose findings the other side of an address translation
// can disprove: there the party may be seen to close.
const unanswered = "fin-unanswered"

// copiesCompared is with how many copies of one connection each is compared.
const copiesCompared = 4

// refuted is a finding on one side of an address translation, and the flow on
// the other side.
type refuted struct{ here, there isnPair }

// evidence is the packet that ended the blamed party's socket on the other side,
// and whether that was its own: else it is an RST in its peer's name that did not
// come from this side, as of a device that has forgotten the connection.
func (x *refuted) evidence() (end farewell, own bool) {
	if end = x.there.closes[x.here.blame.side()]; end.ref != 0 {
		return end, true
	}
	if x.here.rst == 0 && x.there.blame.confidence == 0 {
		end = farewell{ref: x.there.rst, rst: true}
	}
	return end, false
}

// refuted lists the findings that the other side disproves, by group and in the
// order of their flows, and how many of a group it confirms.
func (w *twice) refuted() (out map[groupKey][]refuted, confirmed map[groupKey]int) {
	out, confirmed = map[groupKey][]refuted{}, map[groupKey]int{}
	list := slices.Clone(w.kept)
	slices.SortFunc(list, func(p, q isnPair) int { return p.compare(&q) })
	for i := range list {
		if list[i].blame.confidence == 0 {
			continue
		}
		key := list[i].blame.group
		for k := max(0, i-copiesCompared); k < min(len(list), i+1+copiesCompared); k++ {
			if !list[i].same(&list[k]) {
				continue
			}
			x := refuted{list[i], list[k]}
			if end, _ := x.evidence(); end.ref != 0 {
				out[key] = append(out[key], x)
				break
			} else if x.there.blame.confidence != 0 {
				confirmed[key]++
			}
		}
	}
	for _, l := range out {
		slices.SortFunc(l, func(a, b refuted) int { return cmp.Compare(a.here.flow, b.here.flow) })
	}
	return out, confirmed
}

// doubts lowers the findings that blame a party for not closing where the same
// connection, captured on the other side of an address translation, shows that
// it did. What is disproved of most of those that could be compared is doubtful
// of the whole group.
func (s *groups) doubts(w *twice, sources []Source) {
	all, confirmed := w.refuted()
	for key, list := range all {
		g := s.all[key]
		if g == nil {
			g = s.all[groupKey{rule: key.rule, who: key.who}]
		}
		if g == nil {
			continue
		}
		g.doubt = doubtWords(list, w.more, len(sources) > 1)
		if len(list) >= confirmed[key] {
			g.counts = g.counts.capped(diagnose.Possible)
		} else {
			for _, x := range list {
				g.counts.lower(x.here.blame.severity, x.here.blame.confidence)
			}
		}
		whole := len(list) >= confirmed[key]
		g.weaken(&g.example, list, whole, len(sources) > 1)
		for i := range g.list {
			g.weaken(&g.list[i], list, whole, len(sources) > 1)
		}
	}
}

// weaken lowers a finding that is disproved, and names the packet that does.
func (g *group) weaken(d *diagnose.Finding, list []refuted, whole, files bool) {
	i := slices.IndexFunc(list, func(x refuted) bool { return x.here.flow == d.Flow })
	if i < 0 {
		if whole {
			d.Weaken(diagnose.Possible, 0)
		}
		return
	}
	d.Weaken(diagnose.Possible, 0)
	if d.Verdict != "" {
		d.Verdict += "; but " + list[i].words(files)
	}
}

// words tells what the other side shows.
func (x *refuted) words(files bool) string {
	end, own := x.evidence()
	sides := [...]string{"client", "server"}
	blamed, peer := sides[x.here.blame.side()], sides[1-x.here.blame.side()]
	packet, but := fmt.Sprintf("the %s's FIN", blamed), "which did not hand it on"
	if end.rst {
		packet = fmt.Sprintf("the %s's RST", blamed)
	}
	if !own {
		packet = fmt.Sprintf("an RST in the %s's name", peer)
		but = fmt.Sprintf("and did not come from this side: it ended the %s's socket", blamed)
	}
	frame := fmt.Sprintf("frame %d", end.ref.Frame())
	if files {
		frame = "frame " + end.ref.String()
	}
	t := x.there
	return fmt.Sprintf("%s passed the tap behind an address translation (%s, between %s and %s), %s",
		packet, frame, t.tuple.End(t.opener), t.tuple.End(t.opener.Other()), but)
}

// doubtWords tells of how many flows the other side disproves the finding.
func doubtWords(list []refuted, more, files bool) string {
	few := ""
	if more {
		few = "at least "
	}
	if n := uint64(len(list)); n > 1 {
		return fmt.Sprintf("But on %s%s %s.", few, Plural(n, "flow", "flows"), list[0].words(files))
	}
	return "But " + list[0].words(files) + "."
}

// lower makes one finding of a severity a possible one, which had that confidence
// when it was found, and may have lost it since.
func (t *Tally) lower(s diagnose.Severity, c diagnose.Confidence) {
	for ; c < diagnose.Possible; c++ {
		if t[s][c] > 0 {
			t[s][c]--
			t[s][diagnose.Possible]++
			return
		}
	}
}

// lossyShare is of how many flows one may lack packets, and the silence of the
// others still be certain.
const lossyShare = 100

// hush lowers what is certain and rests on silence, in a capture that lost packets:
// on another flow it may be the answer. It reports whether there was any.
func (s *groups) hush() (any bool) {
	for _, g := range s.all {
		for severity, n := range g.silent {
			c := &g.counts[severity]
			n = min(n, c[diagnose.Certain])
			c[diagnose.Certain] -= n
			c[diagnose.Likely] += n
			any = any || n > 0
		}
		clear(g.silent[:])
		hush(&g.example)
		for i := range g.list {
			hush(&g.list[i])
		}
	}
	return any
}

func hush(d *diagnose.Finding) {
	if d.Silent {
		d.Weaken(diagnose.Likely, reassembly.QualityCaptureLoss)
	}
}

// weigh lowers what needs answers in a capture that holds none.
func (s *groups) weigh(p *diagnose.Patterns) {
	for _, g := range s.all {
		if !p.Weigh(&g.example) {
			continue // it is the surest of them
		}
		g.counts = g.counts.capped(diagnose.Possible)
		for i := range g.list {
			p.Weigh(&g.list[i])
		}
	}
}
