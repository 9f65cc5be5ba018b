package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// pause is the silence from which on a drawing tells it, ns.
const pause = second

// whatWidth is the most that the column of what a packet was is wide.
const whatWidth = 24

// tellWidth is that of words that stand in place of the states, too.
const tellWidth = 46

// Draw draws the flow of a group's example in at most n packets: a line for
// each, with its frame, time, direction, what it was, and the states of client
// and server after it; where no state changed, what is notable about it. A star
// marks evidence.
func (r *Report) Draw(g *Group, c Clock, n int) []string {
	if g.Flow == nil {
		return nil
	}
	evidence := slices.Clone(g.Example.Evidence)
	if g.Example.Flow == 0 {
		for i := range evidence { // of several flows
			evidence[i].Side = 0
		}
	}
	all := Ladder(g.Flow, evidence)
	rungs := Trim(all, n)
	d := drawing{report: r, clock: c, start: g.Flow.Start}
	d.measure(rungs)
	for i := range rungs {
		d.rung(&rungs[i])
	}
	d.end(g.Flow, len(all))
	return d.lines
}

type drawing struct {
	report      *Report
	clock       Clock
	lines       []string
	frame, what int // widths
	stamp       int
	start       int64 // of the flow
	last        *Rung
}

// measure finds the widths of the columns.
func (d *drawing) measure(rungs []Rung) {
	d.frame, d.what = 5, 18
	for i := range rungs {
		r := &rungs[i]
		d.frame = max(d.frame, len(d.name(r.Ref)))
		if !r.Alone {
			d.what = min(max(d.what, len(r.What)), whatWidth)
		}
		d.stamp = max(d.stamp, len(d.clock.Stamp(r.At)))
	}
}

// name is a frame's number, with its file where there are several.
func (d *drawing) name(ref tcp.PacketRef) string {
	switch {
	case ref == 0:
		return ""
	case len(d.report.Sources) > 1:
		return ref.String()
	}
	return strconv.FormatUint(ref.Frame(), 10)
}

func (d *drawing) rung(r *Rung) {
	switch gap := int64(0); {
	case d.last != nil:
		gap = r.At - d.last.At
		d.between(r.Skipped, gap)
	case r.Skipped > 0:
		d.between(r.Skipped, r.At-d.start)
	}
	star, arrow := " ", "C < S"
	if r.FromClient {
		arrow = "C > S"
	}
	if r.Ref == 0 {
		arrow = "    S"
		if r.FromClient {
			arrow = "C    "
		}
	}
	if r.Evidence {
		star = "*"
	}
	d.add("%s %*s %-*s %s %-*s %s", star, d.frame, d.name(r.Ref), d.stamp, d.clock.Stamp(r.At), arrow,
		d.what, r.What, d.states(r))
	d.last = r
}

// states are those of client and server, or the note when both are as before.
func (d *drawing) states(r *Rung) string {
	if r.Alone {
		return ""
	}
	same := d.last != nil && d.last.Client == r.Client && d.last.Server == r.Server
	if r.Note != "" && (same || d.last == nil && r.Client == r.Server) {
		return "(" + r.Note + ")"
	}
	return fmt.Sprintf("%-11s %s", stateName(r.Client), stateName(r.Server))
}

// stateName is a state in a drawing, "-" for one that nothing tells.
func stateName(s fsm.State) string {
	if s == 0 {
		return "-"
	}
	return s.String()
}

// between tells what lies before a rung.
func (d *drawing) between(skipped int, gap int64) {
	switch {
	case skipped > 0 && gap >= pause:
		d.add("  %*s ... %s not shown, %s", d.frame, "", Plural(uint64(skipped), "step", "steps"), diagnose.Span(gap))
	case skipped > 0:
		d.add("  %*s ... %s not shown", d.frame, "", Plural(uint64(skipped), "step", "steps"))
	case gap >= pause:
		d.add("  %*s ... %s later", d.frame, "", diagnose.Span(gap))
	}
}

// end tells how long the flow was watched after its last packet.
func (d *drawing) end(f *reassembly.Flow, rungs int) {
	rest := f.Until - max(f.End, f.Start)
	if rungs == 0 || rest < pause {
		return
	}
	how := ", the capture ends"
	if f.GoesOn {
		how = " so far"
	}
	switch f.Ended {
	case reassembly.EndExpired:
		return
	case reassembly.EndReused:
		how = ", the four-tuple is used again"
	case reassembly.EndEvicted:
		how = ", the flow is given up for others"
	}
	d.add("  %*s ... %s of silence%s", d.frame, "", diagnose.Span(rest), how)
}

func (d *drawing) add(format string, args ...any) {
	d.lines = append(d.lines, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}
