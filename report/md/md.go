// Package md writes a report as Markdown for an incident document.
//
// In comes a report; out go at most 60 lines, more with a state table, that paste into the usual
// services and read as text where tables are not rendered: no HTML, no images,
// one fenced drawing of the worst flow.
package md

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

const (
	rows    = 10 // of findings, more where there are more errors
	rungs   = 9  // of the drawing
	notes   = 5
	hosts   = 3 // of the state table
	width   = 78
	sources = 4
)

// Write writes r, with times by the clock.
func Write(w io.Writer, r *report.Report, c report.Clock) error {
	d := &document{r: r, clock: c.For(r)}
	d.head()
	list := r.Rows()
	if len(list) > 0 {
		d.table(list)
	}
	if g := report.Example(list); g != nil {
		d.example(g)
	}
	d.states()
	d.capture()
	_, err := io.WriteString(w, d.b.String())
	return err
}

type document struct {
	r     *report.Report
	clock report.Clock
	b     strings.Builder
}

func (d *document) line(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

// escape keeps names that others chose from being taken for Markdown. An
// underscore inside a word is none.
func escape(s string) string {
	var b strings.Builder
	runes := []rune(report.Printable(s))
	inWord := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]))
	}
	for i, c := range runes {
		if strings.ContainsRune("\\`*{}[]<>#|~!", c) || c == '_' && !(inWord(i-1) && inWord(i+1)) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (d *document) head() {
	r := d.r
	var names []string
	for _, s := range r.Sources[:min(len(r.Sources), 3)] {
		names = append(names, escape(s.Name))
	}
	if n := len(r.Sources) - len(names); n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	when := ""
	if r.Packets > 0 {
		when = d.clock.Range(r.Start, r.End) + ", "
	}
	d.line("### TCP teardown report: %s (%s%s, %s)", strings.Join(names, ", "), when,
		report.Plural(r.Packets, "packet", "packets"), report.Plural(r.Flows, "flow", "flows"))
	d.line("")
	if r.AsOf != 0 {
		d.line("As of %s; the input goes on.", d.clock.Stamp(r.AsOf))
		d.line("")
	}
	verdict := make([]string, len(r.Verdict))
	for i, s := range r.Verdict {
		verdict[i] = escape(s)
	}
	if len(verdict) > 0 {
		verdict[0] = "**" + verdict[0] + "**"
	}
	d.line("%s", strings.Join(verdict, " "))
	d.line("")
}

func (d *document) table(list []report.Row) {
	zone := ""
	if !d.clock.Epoch && !d.clock.Relative {
		zone = " (" + d.clock.ZoneName(d.r.Start) + ")"
	}
	d.line("| finding | severity | flows | who | sure | first seen%s | worst | its frames |", zone)
	d.line("|---|---|---:|---|---|---|---|---|")
	shown := list[:min(len(list), max(rows, report.Errors(list)))]
	for i := range shown {
		row := &list[i]
		e := &row.Group.Example
		d.line("| %s | %s | %s | %s | %s | %s | %s | %s |", row.Rule, row.Severity, report.Count(row.FlowCount),
			strings.ReplaceAll(row.Who.String(), "_", " "), row.Sure(), d.clock.Stamp(row.First), ends(e), d.frames(e))
	}
	if rest := list[len(shown):]; len(rest) > 0 {
		d.line("")
		d.line("Not listed here: %s.", report.MoreKinds(rest))
	}
	d.line("")
}

// ends names the flow of a finding.
func ends(e *diagnose.Finding) string {
	if !e.Client.IsValid() || !e.Service.IsValid() {
		return ""
	}
	return fmt.Sprintf("%s → %s", e.Client, e.Service)
}

// frames lists the evidence, up to five frames.
func (d *document) frames(e *diagnose.Finding) string {
	var out []string
	for _, ev := range e.Evidence[:min(len(e.Evidence), 5)] {
		f := fmt.Sprint(ev.Ref.Frame())
		if len(d.r.Sources) > 1 {
			f = ev.Ref.String()
		}
		out = append(out, f)
	}
	return strings.Join(out, ", ")
}

func (d *document) example(g *report.Group) {
	drawn := d.r.Draw(g, d.clock, rungs)
	f := g.Flow
	worst := ""
	if g.FlowCount > 1 {
		worst = ", the worst"
	}
	d.line("%s%s: client %s, server %s (C and S below)", g.Rule, worst, f.Addr(f.Client), f.Addr(f.Server()))
	d.line("")
	d.line("```")
	for _, l := range drawn {
		d.line("%s", l)
	}
	d.line("```")
	d.line("")
	for _, s := range g.Remarks {
		d.line("- %s", escape(s))
	}
	if len(g.Remarks) > 0 {
		d.line("")
	}
	d.line("Wireshark: `%s`", g.Example.Wireshark)
	d.line("")
}

// states is the state table, where it was asked for.
func (d *document) states() {
	lines := d.r.DrawStates(d.clock, width, hosts)
	if lines == nil {
		return
	}
	_, list := d.r.Health.Remarks()
	for i := range list {
		d.line("%s", escape(report.Sentence(d.r.Tell(&list[i]))))
		d.line("")
	}
	d.line("```")
	for _, l := range lines {
		d.line("%s", l)
	}
	d.line("```")
	d.line("")
}

// capture says what the input was good for, and which it was.
func (d *document) capture() {
	r := d.r
	list, _ := r.Health.Remarks()
	d.line("Capture: %s. Timers of the hosts: profile %s.", r.Capture(), r.Meta.Profile.Name)
	d.line("")
	for i, n := range list {
		if i == notes {
			d.line("- %d more remarks", len(list)-notes)
			break
		}
		d.line("- %s", escape(r.Tell(&n)))
	}
	for i, s := range r.Sources {
		if i == sources {
			d.line("- %d more files", len(r.Sources)-sources)
			break
		}
		line := fmt.Sprintf("- %s: %s, %s packets", escape(s.Name), s.Format, report.Count(s.Packets))
		if s.SHA256 != "" {
			line += ", SHA-256 " + s.SHA256
		}
		d.line("%s", line)
	}
	d.line("")
	d.line("lastack %s", r.Meta.Version)
}
