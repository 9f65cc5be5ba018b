package report

import (
	"math"
	"math/rand/v2"
	"runtime"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// DefaultMaxFlows is the bound on flows held at once unless Options say else.
const DefaultMaxFlows = 2_000_000

const (
	// partitions is fixed, and not the number of threads: a partition holds its
	// share of the flows, and what is evicted must not depend on the machine.
	partitions = 64
	// panels is fixed because what a judge's patterns let go must not depend on
	// it either. It bounds the workers: reading and decoding keep about so many
	// busy. Each has memory of its own for patterns, which does not fit into a
	// core's cache many times.
	panels      = 4
	panelTables = partitions / panels
	// routeSeed is fixed for the same reason. The tables inside are hashed with
	// a random seed, for addresses are chosen by attackers.
	routeSeed = 0x6c6173_7461636b

	second = int64(1e9)
	// tickSegments bounds what the flows that end between two ticks can hold,
	// where many end within a second.
	tickSegments = 1 << 12
	// sweepFlows is how many flows may end in one sweep; where more are held, a
	// gap in event time is crossed second by second.
	sweepFlows = 1 << 14
	// longestWait is more than any timer and any retention: what a flow waits
	// for happens within it.
	longestWait = 1000 * second
)

// Options say how to analyse. The zero value of every field is good.
type Options struct {
	Profile  reassembly.Profile // of the hosts; the zero value is the first of reassembly.Profiles
	MaxFlows int                // flows held at once, at least 64; DefaultMaxFlows when 0
	Threads  int                // workers; the report does not depend on it
	Rules    []diagnose.Rule
	// ListFindings keeps the findings for Report.Findings, the first 1,000 of
	// each group; AllFindings keeps every one. Groups are exact without.
	ListFindings, AllFindings bool
	// States gathers Report.States, those of the input's end; StatesAt does as well.
	// Series gathers both.
	States, Series bool
	Flows          FlowWriter // nil when nobody wants them
}

// FlowWriter takes the flows as they are finalised, each as bytes of its own
// making, in order of (Final, ID).
type FlowWriter interface {
	// AppendFlow appends what is to be written of f to dst. It is called from
	// several goroutines at once and must not keep f.
	AppendFlow(dst []byte, f *reassembly.Flow) []byte
	// Write gets whole flows, from one goroutine at a time.
	Write(p []byte) (int, error)
	// Flush is called when the flows that ended until an instant have been
	// written: every second of event time, or more often.
	Flush() error
}

// Analysis takes segments and makes reports of them. Its methods are called
// from one goroutine.
//
// Event time is a watermark that never goes back. Each time it passes a whole
// second every panel gives up the flows whose time has come, and a
// collector puts them into one order.
type Analysis struct {
	opt       Options
	panels    []*panel
	pool      *pool // nil with one thread: then everything runs in the caller
	collector *collector
	inline    chunk       // of the flows that end, with one thread
	waits     *batch      // segments that are to be stepped together, with one thread
	scratch   tcp.Segment // with several

	begun     bool
	watermark int64
	nextTick  int64
	fresh     int // segments since the last tick
	clock     clockSteps
	leaps     leaps
	pauses    pauses
	earlier   int64 // of StatesAt
}

// clockSteps counts how often the clock of a source stepped back: frames that
// are stamped earlier than the one before them in their source. Those behind a
// step, which are earlier than what came before it, count nothing more.
type clockSteps struct {
	last    []int64 // by source, the time of its last frame
	back    uint64
	longest int64 // ns
	at      tcp.PacketRef
}

// disorder is how far frames may be stamped out of order without a clock having
// stepped: several queues of an interface, or several interfaces, give that.
const disorder = millisecond

// New makes an analysis. With more than one thread it starts goroutines, which
// Finish ends.
func New(opt Options) *Analysis {
	if opt.MaxFlows <= 0 {
		opt.MaxFlows = DefaultMaxFlows
	}
	if opt.Profile.Name == "" {
		opt.Profile = reassembly.Profiles()[0]
	}
	opt.ListFindings = opt.ListFindings || opt.AllFindings
	a := &Analysis{opt: opt, collector: newCollector(&opt)}
	table := reassembly.Options{Profile: opt.Profile, Seed: rand.Uint64()}
	for n := range panels {
		a.panels = append(a.panels, newPanel(n, table, &a.opt))
	}
	if opt.Threads > 1 {
		a.pool = startPool(min(opt.Threads, panels), a.panels, a.collector)
	} else {
		a.inline.pool = &a.collector.blocks
		for _, p := range a.panels {
			p.judge.out = &a.inline
		}
		a.waits = newBatch(ahead)
	}
	return a
}

// EndOfInput is later than any instant.
const EndOfInput = math.MaxInt64

// StatesAt asks for Report.States, to be printed, at an instant in ns since 1970;
// without it they are those of the input's end. With an earlier instant, before
// the input begins, that one was meant if the input ends before t and t lies
// farther from its end than the other from its begin; 0 is none. It is called
// before the first Add.
func (a *Analysis) StatesAt(t, earlier int64) {
	a.earlier = earlier
	for _, p := range a.panels {
		p.judge.people.at, p.judge.people.past, p.judge.counts = t, true, true
	}
}

// Next is where the next segment can be written before it is added, which mostly
// spares Add the copy. It is good until the next call of any other method.
func (a *Analysis) Next() *tcp.Segment {
	if a.pool != nil {
		return &a.scratch // its worker is not known before its addresses are
	}
	n := len(a.waits.segs)
	return &a.waits.segs[:n+1][n]
}

// Add takes one segment, in capture order. The segment is copied, unless it is
// the one of Next.
func (a *Analysis) Add(s *tcp.Segment) {
	a.Advance(s.At, s.Ref)
	a.fresh++
	hash := s.Tuple.Hash(routeSeed)
	if before, ok := a.leaps.see(s, hash); ok {
		a.cast(doubt{reassembly.Leapt, before, before + a.leaps.length, reassembly.AnySource})
	}
	part := uint8(hash >> (64 - 6))
	if a.pool != nil {
		a.pool.add(part, s)
		return
	}
	// Where a sweep has just had those before it stepped, its place is another.
	if to := a.Next(); to != s {
		*to = *s
	}
	b := a.waits
	b.segs, b.parts = b.segs[:len(b.segs)+1], append(b.parts, part)
	if len(b.segs) == ahead {
		a.step()
	}
}

// step works in what waits, with one thread.
func (a *Analysis) step() {
	b := a.waits
	b.step(a.panels)
	b.segs, b.parts = b.segs[:0], b.parts[:0]
}

// Advance tells that event time has reached t: the time of a frame that is not
// TCP (ref says which, for the note on clocks that step back), or live the time
// of a quiet interface, with a ref of 0.
func (a *Analysis) Advance(t int64, ref tcp.PacketRef) {
	if ref != 0 {
		a.clock.see(t, ref)
	}
	switch {
	case !a.begun:
		a.begun = true
		a.watermark = t
		a.nextTick = wholeSecond(t) + second
	case t <= a.watermark:
		if a.fresh >= tickSegments {
			// Event time stands still. The order within this instant is lost, so
			// that what ended in it need not be held.
			a.sweep(a.watermark - 1)
			a.fresh = 0
		}
	default:
		// A tick between two segments of the same time would put the flows
		// that end at that time on both sides of it.
		if t >= a.nextTick || a.fresh >= tickSegments {
			a.tick(t)
		}
		a.watermark = t
	}
}

// see takes the time of a frame.
func (c *clockSteps) see(t int64, ref tcp.PacketRef) {
	file := ref.File()
	for file >= len(c.last) {
		c.last = append(c.last, math.MinInt64)
	}
	before := c.last[file]
	c.last[file] = t
	if before <= t || before-t <= disorder {
		return
	}
	c.back++
	if step := before - t; step > c.longest {
		c.longest, c.at = step, ref
	}
}

// wholeSecond is the last whole second at or before t.
func wholeSecond(t int64) int64 {
	r := t % second
	if r < 0 {
		r += second
	}
	return t - r
}

// tick has every flow finalised whose time comes before t.
func (a *Analysis) tick(t int64) {
	if t >= a.nextTick && a.held() > sweepFlows {
		for at := a.nextTick; at < t && at < a.watermark+longestWait; at += second {
			a.sweep(at)
		}
	}
	a.sweep(t - 1)
	a.nextTick = wholeSecond(t) + second
	a.fresh = 0
}

// sweep finalises what ends at or before the watermark and hands it on.
func (a *Analysis) sweep(watermark int64) {
	if a.pool != nil {
		a.pool.sweep(watermark)
		return
	}
	a.step()
	for _, p := range a.panels {
		p.sweep(watermark)
	}
	a.collector.merge([]*chunk{&a.inline})
	a.inline.reset()
}

// held estimates how many flows the tables hold. With several threads the
// figure is a moment old, which changes how often a sweep is made and nothing
// that comes out of it.
func (a *Analysis) held() int64 {
	n := int64(0)
	for _, p := range a.panels {
		n += p.held.Load()
	}
	return n
}

// Snapshot is the report as it would be if the input ended at until. It changes
// nothing.
func (a *Analysis) Snapshot(until int64, in Input) *Report {
	a.Settle()
	c := a.collector.clone()
	c.merge(a.waiting())
	judges := make([]*judge, len(a.panels))
	for i, p := range a.panels {
		judges[i] = p.judge.clone()
	}
	until = a.end(until)
	c.gather(judges, nil, func(i int) { a.panels[i].all.Peek(until, judges[i].take) })
	r := a.build(until, in, c, judges)
	r.AsOf = until
	return r
}

// Finish ends the input at until, finalises every flow and makes the report.
// The error is that of writing flows. The analysis is of no use afterwards.
func (a *Analysis) Finish(until int64, in Input) (*Report, error) {
	until = a.end(until)
	if a.begun {
		a.Advance(until, 0)
	}
	a.Settle()
	if a.pool != nil {
		a.pool.stop()
	}
	waiting := a.waiting()
	judges := make([]*judge, len(a.panels))
	held := 0
	for i, p := range a.panels {
		judges[i] = p.judge
		held += p.all.Held()
	}
	a.collector.gather(judges, waiting, func(i int) { a.panels[i].all.Finish(until) })
	if held > manyFlows {
		runtime.GC() // the tables have just been dropped, and the report needs memory
	}
	return a.build(until, in, a.collector, judges), a.collector.err
}

// manyFlows is how many flows leave so much memory behind that collecting it at
// once is worth its time.
const manyFlows = 1 << 13

// end is until, or the latest event time when that is later.
func (a *Analysis) end(until int64) int64 {
	if !a.begun {
		return until
	}
	return max(until, a.watermark)
}

// Flows is how many flows have begun.
func (a *Analysis) Flows() uint64 {
	a.Settle()
	n := uint64(0)
	for _, p := range a.panels {
		for _, t := range p.tables {
			n += t.Counters().Flows
		}
	}
	return n
}

// Close ends the analysis without a report.
func (a *Analysis) Close() {
	a.Settle()
	if a.pool != nil {
		a.pool.stop()
	}
}

// Settle waits until everything that was added has been stepped, and everything
// that was collected has been written. Until the next Add or Advance the tables
// and the FlowWriter are the caller's. What has ended since the last tick still
// waits for the next one, so that nothing depends on anybody having looked.
func (a *Analysis) Settle() {
	if a.pool != nil {
		a.pool.drain()
	} else {
		a.step()
	}
}

// waiting is what has ended since the last tick. The analysis is settled.
func (a *Analysis) waiting() []*chunk {
	if a.pool == nil {
		return []*chunk{&a.inline}
	}
	var out []*chunk
	for _, w := range a.pool.workers {
		out = append(out, w.current)
	}
	return out
}
