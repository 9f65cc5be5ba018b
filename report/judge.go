package report

import (
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// panel is some of the partitions: those whose flows one judge takes as they
// end. A judge for each partition would need as many times the memory, and find
// none of it in the cache.
type panel struct {
	tables [panelTables]*reassembly.Table // by partition
	all    *reassembly.Tables
	judge  *judge
	held   atomic.Int64 // flows in the tables as of the last sweep
}

// newPanel is the panel with number n of an analysis.
func newPanel(n int, o reassembly.Options, opt *Options) *panel {
	p := &panel{judge: newJudge(opt)}
	o.Compat = opt.Flows != nil // nobody else is told
	for i := range p.tables {
		o.MaxFlows = max(1, (opt.MaxFlows+partitions-1-n*panelTables-i)/partitions)
		p.tables[i] = reassembly.NewTable(o, p.judge.take)
	}
	p.all = reassembly.Together(p.tables[:]...)
	return p
}

// table is that of a partition.
func (p *panel) table(part uint8) *reassembly.Table { return p.tables[part%panelTables] }

// sweep has the tables give up the flows whose time came at or before the
// watermark.
func (p *panel) sweep(watermark int64) {
	p.all.Sweep(watermark)
	p.held.Store(int64(p.all.Held()))
}

// doubt casts one on the flows that are open now, and has the judge remember it.
func (p *panel) doubt(d doubt) {
	p.all.Doubt(d.kind, d.before, d.source)
	switch d.kind {
	case reassembly.Unwatched:
		p.judge.pauses = append(p.judge.pauses, d.before)
	case reassembly.Leapt:
		p.judge.ctx.Leaps.Add(d.before, d.after)
	}
}

// judge takes flows as they end: it counts them, runs the rules on them and
// leaves lines and findings in out.
type judge struct {
	opt   *Options
	ctx   diagnose.Context
	emit  func(diagnose.Finding)
	flow  *reassembly.Flow // the one that is being judged,
	blame blame            // and what was found on it that a copy of it may disprove

	flows FlowWriter // nil when nobody wants lines
	out   *chunk
	full  func(*chunk) *chunk // takes a full chunk for an empty one; nil where chunks have no bound

	sums    sums
	pauses  []int64 // instants before which began what was open in a pause, in order
	counts  bool    // people are counted: somebody asked for it
	people  population
	best    map[groupKey]*best
	times   int      // in all of them
	covered []string // rules whose findings are kept for the patterns
	latest  *best    // of the last finding
}

// sums are what is added up over flows.
type sums struct {
	flows     uint64
	byClose   [reassembly.Closes]uint64
	midstream uint64
	lossy     uint64     // flows of which packets are missing, for no pause
	qualities [16]uint64 // flows, by the bits of reassembly.Quality
	halves    halves
	seen      twice
	endings   endings
}

// quality is the number of flows that have that reason to be trusted less.
func (s *sums) quality(q reassembly.Quality) uint64 {
	return s.qualities[bits.TrailingZeros16(uint16(q))]
}

func newJudge(opt *Options) *judge {
	j := &judge{opt: opt, flows: opt.Flows, ctx: diagnose.Context{Profile: opt.Profile}, best: map[groupKey]*best{}}
	j.ctx.Patterns = diagnose.NewPatterns(opt.Rules)
	j.ctx.Bare = true
	j.counts = opt.States || opt.Series
	j.emit, j.covered = j.found, diagnose.Covered(opt.Rules)
	return j
}

// clone is a judge that goes on from here, writes no lines and leaves this one
// as it is.
func (j *judge) clone() *judge {
	c := newJudge(j.opt)
	c.flows = nil
	c.sums = j.sums.clone()
	c.pauses, c.ctx.Leaps = slices.Clone(j.pauses), j.ctx.Leaps.Clone()
	c.counts, c.people = j.counts, j.people.clone()
	c.ctx.Patterns = j.ctx.Patterns.Clone()
	return c
}

// take judges one flow, which is valid during the call.
func (j *judge) take(f *reassembly.Flow) {
	if j.counts {
		j.people.approach(f)
	}
	j.flow = f
	if j.blame.confidence != 0 {
		j.blame = blame{}
	}
	diagnose.Judge(&j.ctx, j.opt.Rules, f, j.emit)
	if j.counts {
		j.people.add(f)
	}
	j.sums.add(f)
	if f.Quality&reassembly.QualityCaptureLoss != 0 && !j.paused(f) {
		j.sums.lossy++
	}
	j.sums.seen.add(f, &j.blame)
	if j.flows != nil {
		j.out.write(j.flows, f)
	}
	if j.opt.Series {
		j.out.moves = appendMoves(j.out.moves, f)
	}
	j.out.end(f)
	if j.full != nil && j.out.big() {
		j.out = j.full(j.out)
	}
}

// paused reports that the flow was open while nobody captured: what it lacks says
// nothing of the others.
func (j *judge) paused(f *reassembly.Flow) bool {
	i, _ := slices.BinarySearch(j.pauses, f.Start+1)
	return i < len(j.pauses) && j.pauses[i] <= f.Final
}

// found passes a finding on, with the flow itself when no worse one of its
// group went before, and with words when it may be listed.
func (j *judge) found(d diagnose.Finding) {
	d.Unended = j.flow.GoesOn
	r := rankOf(&d)
	if d.Rule == unanswered {
		j.blame = blame{keyOf(&d), d.Severity, d.Confidence, endpoint(d.Who) == "server"}
	}
	b := j.of(&d)
	var flow *reassembly.Flow
	if b.rank.severity == 0 || r.worse(b.rank) {
		b.rank = r
		flow = j.out.clone(j.flow)
	}
	listed := b.kept && (j.opt.AllFindings || j.lists(b, d.Time))
	if listed {
		d.Dress(j.flow)
	}
	j.out.finds = append(j.out.finds, found{Finding: d, flow: flow, bare: !listed})
}

// of is what was sent on of a finding's group, nothing if that is new.
func (j *judge) of(d *diagnose.Finding) *best {
	if j.latest != nil && j.latest.key.of(d) {
		return j.latest
	}
	k := keyOf(d)
	b := j.best[k]
	if b == nil {
		if len(j.best) >= bestKept {
			clear(j.best) // costs a few copies too many, and bounds the map
			j.times = 0
		}
		b = &best{key: k, kept: j.opt.ListFindings || slices.Contains(j.covered, k.rule)}
		j.best[k] = b
	}
	j.latest = b
	return b
}

// best is what was sent on of a group so far.
type best struct {
	key   groupKey
	kept  bool    // its findings are kept one by one, and may be read
	rank  rank    // of the worst
	times []int64 // of the first groupFindings, a heap with the latest on top
}

// lists reports whether a finding of that time may be one of the first of its
// group, which are listed, and counts it with them.
func (j *judge) lists(b *best, time int64) bool {
	n := len(b.times)
	switch {
	case n < groupFindings && j.times >= listedFindings:
		return true // more are not listed in all, and need not be remembered
	case n < groupFindings:
		j.times++
		b.times = append(b.times, time)
		for i := n; i > 0 && b.times[(i-1)/2] < b.times[i]; i = (i - 1) / 2 {
			b.times[i], b.times[(i-1)/2] = b.times[(i-1)/2], b.times[i]
		}
		return true
	case time > b.times[0]:
		return false
	}
	b.times[0] = time
	for i, k := 0, 1; k < n; i, k = k, 2*k+1 {
		if k+1 < n && b.times[k] < b.times[k+1] {
			k++
		}
		if b.times[i] >= b.times[k] {
			break
		}
		b.times[i], b.times[k] = b.times[k], b.times[i]
	}
	return true
}

// bestKept bounds judge.best.
const bestKept = 1 << 12

func (s *sums) add(f *reassembly.Flow) {
	s.flows++
	s.byClose[f.Close]++
	for q := uint16(f.Quality); q != 0; q &= q - 1 {
		s.qualities[bits.TrailingZeros16(q)]++
	}
	if f.Midstream {
		s.midstream++
	}
	s.halves.add(&f.Handshake)
	s.endings.add(f)
}

// clone is a copy that goes on from here.
func (s *sums) clone() sums {
	c := *s
	c.seen = s.seen.clone()
	return c
}

// plus adds another judge's.
func (s *sums) plus(t *sums) {
	s.flows += t.flows
	for i, n := range t.byClose {
		s.byClose[i] += n
	}
	for i, n := range t.qualities {
		s.qualities[i] += n
	}
	s.midstream += t.midstream
	s.lossy += t.lossy
	s.halves.plus(t.halves)
	s.seen.plus(&t.seen)
	s.endings.plus(&t.endings)
}
