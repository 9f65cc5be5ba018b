// Package text prints a report for a terminal: what is wrong, who did it, and
// the packets, on one screen of 24 lines of 80 characters. It is the same where
// nothing is a terminal, and longer only by rows of errors: each kind has one.
//
// In comes a report, out go lines of plain text, in colour when asked for. What
// it prints of its own is ASCII. It asks nothing of the terminal.
package text

import (
	"fmt"
	"io"
	"strings"

	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// Options say how to print.
type Options struct {
	Clock report.Clock
	Color bool
	All   bool // every row, every finding and every host, not only those for the first screen
	// SHA256 names the hash of each input.
	SHA256 bool
}

const (
	width   = 80
	height  = 24
	rows    = 4 // of findings on the first screen, errors and spare lines aside,
	fewRows = 2 // to which remarks give way, and no further ones
	notes   = 3 // on the capture
	hosts   = 8 // of the state table
	blanks  = 2 // lines, before the example and behind it
)

// Write prints r.
func Write(w io.Writer, r *report.Report, o Options) error {
	list := r.Rows()
	p := &page{r: r, o: o, clock: o.Clock.For(r), rows: max(rows, report.Errors(list)), notes: notes, blanks: blanks}
	if r.Listened > 0 {
		p.rows, p.notes = len(list), len(p.remarked()) // nobody can ask for the rest any more
	}
	p.screen(list)
	if !o.All && r.Listened == 0 {
		p.fit(list)
	}
	if o.SHA256 && len(r.Sources) > 1 {
		p.hashes()
	}
	if o.All {
		p.every()
	}
	p.states()
	_, err := io.WriteString(w, strings.Join(p.lines, "\n")+"\n")
	return err
}

// fit makes the screen as long as it may be: shorter where there is too much, and
// with more warnings where there is room.
func (p *page) fit(list []report.Row) {
	for len(p.lines) > height && p.shorten(list) {
		p.screen(list)
	}
	for len(p.lines) < height && p.rows < len(list) && list[p.rows].Severity == diagnose.Warning {
		p.rows++
		p.screen(list)
	}
}

// screen is the report without what was asked for beside it.
func (p *page) screen(list []report.Row) {
	p.lines = nil
	p.header()
	p.verdict()
	if len(list) > 0 {
		p.table(list)
	}
	foot := &page{r: p.r, o: p.o, rows: p.rows, notes: p.notes, blanks: p.blanks}
	if len(list) > 0 && p.blanks > 0 {
		foot.line("")
	}
	foot.capture()
	foot.more(list)
	if g := report.Example(list); g != nil {
		p.example(g, height-len(p.lines)-len(foot.lines))
	}
	p.lines = append(p.lines, foot.lines...)
}

// shorten takes a line from what there is most of; false when nothing is left to
// take. Errors stay, and the row of the example.
func (p *page) shorten(list []report.Row) bool {
	n, least := len(list), max(1, report.Errors(list))
	for i := range list {
		if list[i].Group == report.Example(list) {
			least = max(least, i+1)
		}
	}
	switch {
	case min(p.rows, n) > max(fewRows, least):
		p.rows = min(p.rows, n) - 1
	case min(p.notes, len(p.remarked())) > p.leastNotes() && p.r.Listened == 0:
		p.notes = min(p.notes, len(p.remarked())) - 1
	case !p.terse && n > 1: // else they are all that there is to tell
		p.terse = true
	case min(p.rows, n) > least:
		p.rows = least
	case p.blanks > 0:
		p.blanks--
	default:
		return false
	}
	return true
}

// leastRungs is how much of the example is drawn however full the screen is, up to
// mostEvidence where so many packets are evidence.
const (
	leastRungs   = 2
	mostEvidence = 4
)

// example shows the worst flow of a group in about n lines.
func (p *page) example(g *report.Group, n int) {
	f := g.Flow
	worst := ""
	if g.FlowCount > 1 {
		worst = ", worst"
	}
	before := len(p.lines)
	if p.blanks > 1 {
		p.line("")
	}
	what, who := "  "+g.Rule+worst+":", fmt.Sprintf(" client %s  server %s", f.Addr(f.Client), f.Addr(f.Server()))
	if len(what)+len(who) > width {
		p.line("%s", what)
		what = "   "
	}
	p.line("%s%s", what, who)
	n -= len(p.lines) - before + 1 // the filter
	least := min(max(len(g.Example.Evidence), leastRungs), mostEvidence)
	room := max(n-p.told(g), least)
	rungs := room
	drawn := p.r.Draw(g, p.clock, rungs)
	for len(drawn) > room && rungs > least { // pauses take lines too
		rungs--
		drawn = p.r.Draw(g, p.clock, rungs)
	}
	for _, l := range drawn {
		p.line("%s", l)
	}
	p.remarks(g, n-len(drawn))
	const intro = "  Wireshark: "
	p.line("%s%s", intro, diagnose.ShortFilter(f, width-len(intro)))
}

// told is how many lines the remarks on a flow take that are told in any case.
func (p *page) told(g *report.Group) int {
	if g.FlowCount > 1 || p.terse {
		return 0
	}
	whole := &page{r: p.r}
	whole.remarks(g, 0)
	return len(whole.lines)
}

// remarks tells what else the flow shows. Of one flow among several only what
// fits into n lines.
func (p *page) remarks(g *report.Group, n int) {
	for _, s := range g.Remarks {
		before := len(p.lines)
		p.paragraph("  - ", "    ", s)
		if n -= len(p.lines) - before; n < 0 && (g.FlowCount > 1 || p.terse) {
			p.lines = p.lines[:before]
			return
		}
	}
}

// page is the lines so far.
type page struct {
	r     *report.Report
	o     Options
	clock report.Clock
	lines []string
	// how much of them is shown
	rows, notes int
	terse       bool // remarks on the example only as far as they fit
	blanks      int  // lines about the example
}

func (p *page) line(format string, args ...any) {
	p.lines = append(p.lines, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// paragraph wraps words into lines behind an indent.
func (p *page) paragraph(indent, hang, text string) {
	line := indent
	for _, word := range words(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > width-2 {
			p.lines = append(p.lines, line)
			line, indent = hang, hang
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	p.lines = append(p.lines, line)
}

// words splits a text where lines may break, which is not between a number and
// its unit.
func words(text string) []string {
	var out []string
	for _, w := range strings.Fields(text) {
		unit := strings.TrimRight(w, ".,;:)")
		if n := len(out); n > 0 && (unit == "s" || unit == "ms" || unit == "us" || unit == "ns") {
			out[n-1] += " " + w
			continue
		}
		out = append(out, w)
	}
	return out
}

func (p *page) verdict() {
	p.line("")
	p.paragraph("  ", "  ", strings.Join(p.r.Verdict, " "))
	p.line("")
}

// table lists what was found, a row for each rule and party.
func (p *page) table(list []report.Row) {
	shown := list
	if !p.o.All {
		shown = list[:min(len(list), p.rows)]
	}
	stamp, rule := len("FIRST SEEN"), len("FINDING")
	for i := range shown {
		stamp = max(stamp, len(p.clock.Stamp(shown[i].First)))
		rule = max(rule, len(shown[i].Rule))
	}
	p.line("  %-*s %7s %-11s %-8s %-*s %s", rule, "FINDING", "FLOWS", "WHO", "SURE", stamp, "FIRST SEEN", "WORST")
	for i := range shown {
		row := &shown[i]
		text := fmt.Sprintf("%s %-*s %7s %-11s %-8s %-*s ", mark(row.Severity, row.Confidence), rule, row.Rule,
			report.Count(row.FlowCount), row.Who, row.Sure(), stamp, p.clock.Stamp(row.First))
		p.line("%s", p.paint(row.Severity, row.Confidence, text+p.frames(&row.Group.Example, width-len(text))))
	}
}

// mark is a severity as a character: not everybody sees colours. What is only
// possible is no alarm.
func mark(s diagnose.Severity, c diagnose.Confidence) string {
	switch {
	case s < diagnose.Info && c == diagnose.Possible:
		return "?"
	case s == diagnose.Error:
		return "!"
	case s == diagnose.Warning:
		return "*"
	}
	return "."
}

// paint colours a line by severity: red, yellow, or as it is.
func (p *page) paint(s diagnose.Severity, c diagnose.Confidence, line string) string {
	switch {
	case !p.o.Color || s == diagnose.Info || c == diagnose.Possible:
		return line
	case s == diagnose.Error:
		return "\x1b[31m" + line + "\x1b[0m"
	}
	return "\x1b[33m" + line + "\x1b[0m"
}

// frames lists the frames of evidence, as many as fit into n characters and at
// least one. With several files a frame is named with its file.
func (p *page) frames(d *diagnose.Finding, n int) string {
	s := ""
	for _, e := range d.Evidence {
		f := p.frame(e.Ref.File(), e.Ref.Frame())
		if s != "" {
			f = "," + f
		}
		if s != "" && len(s)+len(f) > n {
			break
		}
		s += f
	}
	return s
}

func (p *page) frame(file int, frame uint64) string {
	if len(p.r.Sources) > 1 {
		return fmt.Sprintf("%d:%d", file, frame)
	}
	return fmt.Sprint(frame)
}

// every lists the findings one by one.
func (p *page) every() {
	rule, stamp := 0, 0
	for i := range p.r.Findings {
		d := &p.r.Findings[i]
		rule, stamp = max(rule, len(d.Rule)), max(stamp, len(p.clock.Stamp(d.Time)))
	}
	for i := range p.r.Findings {
		d := &p.r.Findings[i]
		if i == 0 {
			p.line("")
			p.line("  Every finding:")
		}
		text := fmt.Sprintf("%s %-*s %-*s %-8s %-11s %s", mark(d.Severity, d.Confidence), stamp, p.clock.Stamp(d.Time),
			rule, d.Rule, d.Confidence, d.Who, p.frames(d, 20))
		switch {
		case d.Flow != 0:
			text += fmt.Sprintf("  %s > %s", d.Client, d.Service)
		case d.Service.IsValid():
			text += fmt.Sprintf("  %s, %s", d.Service, report.Plural(d.FlowCount, "flow", "flows"))
		default:
			text += "  " + report.Plural(d.FlowCount, "flow", "flows")
		}
		p.line("%s", p.paint(d.Severity, d.Confidence, text))
	}
}

// states is the state table, where it was asked for, under what must be known of
// its instant.
func (p *page) states() {
	n := hosts
	if p.o.All {
		n = len(p.r.States)
	}
	for i, l := range p.r.DrawStates(p.clock, width-4, n) {
		if i == 0 {
			p.line("")
			_, list := p.r.Health.Remarks()
			for k := range list {
				p.paragraph("  ", "  ", report.Sentence(p.r.Tell(&list[k])))
				p.line("")
			}
		}
		p.line("  %s", l)
	}
}

func (p *page) more(list []report.Row) {
	if p.r.Listened > 0 { // the traffic is gone
		if len(list) > 0 {
			p.line("  More: --explain %s", list[0].Rule)
		}
		return
	}
	s := "  More: "
	if len(list) > p.rows && !p.o.All {
		s += fmt.Sprintf("--findings all (%s)  ", report.MoreKinds(list[p.rows:]))
	}
	if len(list) == 0 {
		p.line("%s--md FILE  --jsonl FILE", s)
		return
	}
	for _, rest := range [...]string{
		"--md FILE  --jsonl FILE  --explain " + list[0].Rule,
		"--md FILE  --jsonl FILE  --explain RULE",
		"--md FILE  --explain RULE",
	} {
		if len(s)+len(rest) <= width {
			p.line("%s%s", s, rest)
			return
		}
	}
}
