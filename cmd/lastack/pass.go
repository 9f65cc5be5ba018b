package main

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// raiseEvery is how often live findings are looked for, at most.
const raiseEvery = 10 * time.Second

// pass is one way through the input, from its first frame to its last.
type pass struct {
	s        *session
	in       *input
	filter   *capture.Filter
	decoder  *decode.Decoder
	analysis *report.Analysis
	twins    *report.Twins // nil when there is nothing to compare
	groups   []int         // of sources that are analysed separately; nil when all are one

	frame    capture.Frame
	packets  uint64 // that matched the filter
	frames   uint64 // read
	tagged   bool   // one before the first that matched carries a VLAN tag
	began    int64  // capture time of the first frame
	first    int64  // earliest and latest capture time of any frame
	last     int64
	silence  int64          // the longest within a source
	infos    []capture.Info // as of the last look
	damaged  int            // sources that have ended before their time
	broken   []bool         // which of them, while others went on
	notes    []report.Note
	opened   time.Time   // by the clock on the wall
	known    int64       // live: until when everything that was captured has been read
	raiseDue atomic.Bool // it is time to look for live findings
	raising  *time.Timer // that says so; nil when nobody wants them
	unlisted bool        // that not all of them are written has been said
}

func newPass(s *session, in *input, filter *capture.Filter) *pass {
	p := &pass{
		s: s, in: in, filter: filter, infos: in.infos(nil), opened: time.Now(),
		decoder: decode.New(decode.Options{SeparateVLAN: s.cfg.separateVLAN, SeparateTunnel: s.cfg.separateTunnel}),
	}
	p.known = p.opened.UnixNano()
	if in.live && s.lines != nil {
		p.raising = time.AfterFunc(raiseEvery, func() { p.raiseDue.Store(true) })
	}
	if s.lines != nil {
		s.lines.prompt = in.live || in.pipe
		sources := p.sources() // by now their names and formats, which is what is told of them
		s.lines.meta = func() error { return s.lines.stream.Meta(s.meta(), sources) }
		if s.lines.prompt {
			s.lines.begin()
			s.lines.flush()
		}
	}
	p.broken = make([]bool, len(p.infos))
	p.analysis = report.New(s.options())
	if n := len(p.infos); n > 1 {
		if len(s.pairs) > 0 {
			var twins [][2]int
			for _, t := range s.pairs {
				twins = append(twins, [2]int{t.a, t.b})
			}
			p.groups = report.Groups(n, twins)
		}
		p.twins = report.NewTwins(p.group)
	}
	return p
}

// group is the group of a source.
func (p *pass) group(source int) int {
	if source < len(p.groups) {
		return p.groups[source]
	}
	return 0
}

// read takes the input to its end. It is true when everything must be read
// again, because two sources turned out to hold the same traffic.
func (p *pass) read() (again bool) {
	defer p.stopRaising()
	for {
		if p.s.turn.asked() {
			p.lend()
		}
		if p.raiseDue.Load() {
			p.raise()
		}
		err := p.next()
		if err != io.EOF && len(p.infos) > 1 && p.in.damaged() > p.damaged {
			p.brokenOff()
		}
		if err != nil && !errors.Is(err, capture.ErrIdle) {
			p.stopped()
			return false
		}
		p.known = max(p.known, p.frame.At)
		if err != nil {
			p.analysis.Advance(p.frame.At, 0)
			continue
		}
		if p.late() {
			return false
		}
		p.frames++
		if again = p.take(); again || p.s.cfg.count > 0 && p.packets >= p.s.cfg.count {
			return again
		}
	}
}

// brokenOff tells of sources that have ended before their time while others go
// on; at once, unless the input is a file and may be read again.
func (p *pass) brokenOff() {
	p.damaged = p.in.damaged()
	p.infos = p.in.infos(p.infos[:0])
	for i, info := range p.infos {
		if info.Damage == nil || p.broken[i] {
			continue
		}
		p.broken[i] = true
		p.analysis.BrokeOff(i)
		if !p.in.again {
			p.s.say.note("%v", info.Damage)
		}
	}
}

// next reads a frame. A pipe may let it wait for long, so signals are answered
// meanwhile.
func (p *pass) next() error {
	if !p.in.pipe {
		return p.in.Next(&p.frame)
	}
	p.infos = p.in.infos(p.infos[:0])
	p.s.turn.give()
	defer p.s.turn.take()
	return p.in.Next(&p.frame)
}

// lend lets a signal be answered.
func (p *pass) lend() {
	p.infos = p.in.infos(p.infos[:0])
	p.s.turn.lend()
}

// raise writes new findings of a live capture. The more there is to look
// through, the less often it is done.
func (p *pass) raise() {
	begin := time.Now()
	p.infos = p.in.infos(p.infos[:0])
	r := p.snapshot() // which knows of drops
	p.s.lines.raise(r)
	if r.Unlisted > 0 && !p.unlisted {
		p.unlisted = true
		p.s.say.note("findings of one cause beyond the first 1,000 are counted, and no longer written as they are raised (--findings all)")
	}
	p.raiseDue.Store(false)
	p.raising.Reset(max(raiseEvery, 20*time.Since(begin)))
}

func (p *pass) stopRaising() {
	if p.raising != nil {
		p.raising.Stop()
	}
}

// late reports whether a file's frame lies beyond --for.
func (p *pass) late() bool {
	d := p.s.cfg.duration
	return d > 0 && !p.in.live && p.frames > 0 && p.frame.At-p.first > int64(d)
}

// take uses the frame that was read.
func (p *pass) take() (again bool) {
	f := &p.frame
	if p.frames == 1 {
		p.began, p.first, p.last = f.At, f.At, f.At
		if at := p.s.cfg.at; at.kind != 0 {
			p.analysis.StatesAt(at.in(p.began), at.earlier(p.began))
		}
		if u := p.s.cfg.until; u.kind == relative && p.in.until != nil {
			p.in.until.Reset(time.Until(time.Unix(0, u.in(p.began))))
		}
	}
	p.pause(f)
	p.first, p.last = min(p.first, f.At), max(p.last, f.At)
	ref := tcp.Ref(f.File, f.Number)
	if p.filter != nil && !p.matches(ref) {
		if p.packets == 0 && !p.tagged {
			p.tagged = capture.VLANTagged(f)
		}
		p.analysis.Advance(f.At, ref)
		return false
	}
	p.packets++
	segment := p.analysis.Next()
	switch p.decoder.Decode(f.LinkType, f.Data, f.WireLen, f.At, ref, segment) {
	case decode.Segment, decode.Quote:
	default:
		p.analysis.Advance(f.At, ref)
		return false
	}
	if p.twins != nil {
		if a, b, found := p.twins.Add(segment); found && p.apart(a, b) {
			return true
		}
		if p.groups != nil {
			report.TagGroup(segment, p.groups[f.File])
		}
	}
	p.analysis.Add(segment)
	return false
}

// pause tells the analysis of a hole between two sources, of which the first has
// ended: that nobody captured then, as where a file of a series is missing. It is
// far longer than any silence within them, and at the rate until then it would
// have held many frames; of a few hosts that are quiet nothing can be told.
func (p *pass) pause(f *capture.Frame) {
	const (
		least  = 10e9 // ns
		share  = 4
		missed = 5000 // frames
	)
	silence := f.At - p.last
	if f.Number != 1 {
		p.silence = max(p.silence, silence)
		return
	}
	rate := float64(p.frames) / float64(max(least, p.last-p.first)) // a ns; what came in a burst makes none
	if silence > max(least, share*p.silence) && float64(silence)*rate > missed && p.in.alone != nil && p.in.alone() {
		p.analysis.Paused(p.last, f.At)
	}
}

// matches applies the filter. That it cannot be used with the frame's link type
// is said once and makes the input one that could not be analysed.
func (p *pass) matches(ref tcp.PacketRef) bool {
	ok, err := p.filter.Match(p.frame.LinkType, &p.frame)
	if err != nil && !p.s.badInput.Swap(true) {
		p.s.say.error(err)
		p.notes = append(p.notes, report.Note{Text: err.Error(), File: ref.File(), Ref: ref})
	}
	return ok
}

// apart decides what to do about two sources that hold the same traffic: read
// everything again and keep them apart, or say that it cannot be done.
func (p *pass) apart(a, b int) (again bool) {
	t := pair{a: a, b: b, names: [2]string{p.infos[a].Name, p.infos[b].Name}}
	p.analysis.Settle()
	t.apart = p.in.again && (p.s.lines == nil || p.s.lines.restart())
	p.s.pairs = append(p.s.pairs, t)
	if !t.apart {
		p.twins = nil
	}
	p.s.log.Debug("two vantage points", "sources", t.names, "separately", t.apart)
	return t.apart
}

// stopped notes that all that was captured until the capture was stopped has been
// read.
func (p *pass) stopped() {
	if t := p.s.stopTime.Load(); p.in.live && t != 0 {
		p.known = max(p.known, t)
	}
}

// now is until when the input is known to have run. Live this is not the time of
// day: when the program could not go on for a while, because nobody read what it
// wrote or because it was suspended, what came since waits to be read, and would be
// taken for a silence.
func (p *pass) now() int64 {
	if p.in.live {
		return p.known
	}
	return p.last
}

// end is when the input ended: live the moment of stopping, or the frame that made
// up the count; else the latest of its last frame, what a file says of itself, and
// --until.
func (p *pass) end() int64 {
	end := p.now()
	if p.in.live {
		return end
	}
	for _, i := range p.infos {
		if i.Packets > 0 {
			end = max(end, i.End)
		}
	}
	if u := p.s.cfg.until; u.kind != 0 && u.kind != atEnd && p.frames > 0 {
		end = max(end, u.until(p.began, p.last))
	}
	return end
}

// snapshot is the report as of now.
func (p *pass) snapshot() *report.Report {
	return p.analysis.Snapshot(p.now(), p.input())
}

// finish ends the analysis and says what is damaged.
func (p *pass) finish() (*report.Report, error) {
	if p.in.live {
		p.in.Close() // only then all drops are counted; it cannot fail
	}
	p.infos = p.in.infos(p.infos[:0])
	p.hash()
	for i, info := range p.infos {
		if told := p.broken[i] && !p.in.again; info.Damage != nil && !told {
			p.s.say.note("%v", info.Damage)
		}
	}
	for _, t := range p.s.pairs {
		p.s.say.note("%s", t)
	}
	if u := p.s.cfg.until; u.kind != 0 && !p.in.live && p.frames > 0 && u.until(p.began, p.last) < p.last {
		p.s.say.note("--until changes nothing: it is before the last packet, %s", report.Clock{Zone: clock(p.s.cfg).Zone}.Moment(p.last))
	}
	return p.analysis.Finish(p.end(), p.input())
}

// hash reads files to their ends where -c or --for did not, for their hashes.
func (p *pass) hash() {
	if !p.s.cfg.hashed() || p.in.live || p.in.pipe || p.s.stopping.Load() {
		return
	}
	for p.in.Next(&p.frame) == nil {
	}
	for i, f := range p.in.infos(nil) {
		p.infos[i].SHA256 = f.SHA256
	}
}

// String is what is said of the pair.
func (t pair) String() string {
	s := fmt.Sprintf("%s and %s hold the same traffic from two vantage points; ", t.names[0], t.names[1])
	if t.apart {
		return s + "they were analysed separately, and what both hold counts twice"
	}
	return s + "they were merged, so that segments look retransmitted: give each its own run"
}
