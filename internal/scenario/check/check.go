// Package check runs the whole pipeline on the packets of a scenario and
// compares what it says with what the transcript expects.
//
// In come a scenario or loose frames; out come the flows and the findings, and
// the differences in words. It opens no file.
package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// Result is what the pipeline made of a capture.
type Result struct {
	Flows    []*reassembly.Flow // in the order of their first packets
	Findings []diagnose.Finding // in the order of their flows, those over several last
	Ports    []diagnose.Ports
	// Explained are those that one over several flows replaced, or that are usual.
	Explained []diagnose.Finding
}

// Run analyses a scenario by its own profile.
func Run(s *scenario.Scenario) (Result, error) {
	p, err := profile(s)
	if err != nil {
		return Result{}, err
	}
	return Frames(s.Frames, p)
}

// profile is that of the scenario's hosts.
func profile(s *scenario.Scenario) (p reassembly.Profile, err error) {
	p = reassembly.Profiles()[0]
	if s.Profile != "" {
		var ok bool
		if p, ok = reassembly.ProfileNamed(s.Profile); !ok {
			return p, fmt.Errorf("%s: unknown profile %q", s.Name, s.Profile)
		}
	}
	if s.PortLo != 0 {
		p.PortLo, p.PortHi = s.PortLo, s.PortHi
	}
	return p, nil
}

// Frames analyses loose frames, numbered from 1. The input ends with the latest
// of them. The error names a frame that could not be decoded.
func Frames(frames []scenario.Frame, p reassembly.Profile) (Result, error) {
	const ethernet = 1
	in := newInput(p)
	for i, f := range frames {
		switch in.add(ethernet, f.Data, uint32(f.Len), f.At, tcp.Ref(0, uint64(i+1))) {
		case decode.Segment, decode.Quote, decode.NotTCP:
		default:
			return in.res, fmt.Errorf("frame %d (line %d) could not be decoded", i+1, f.Line)
		}
	}
	return in.judge(), nil
}

// input is frames on their way to a result.
type input struct {
	profile reassembly.Profile
	table   *reassembly.Table
	tables  *reassembly.Tables
	dec     *decode.Decoder
	seg     tcp.Segment
	now     int64
	res     Result
}

func newInput(p reassembly.Profile) *input {
	in := &input{profile: p, dec: decode.New(decode.Options{})}
	in.table = reassembly.NewTable(reassembly.Options{Profile: p, MaxFlows: 1 << 16},
		func(f *reassembly.Flow) { in.res.Flows = append(in.res.Flows, f.Clone()) })
	in.tables = reassembly.Together(in.table)
	return in
}

// add takes a frame and says what it was.
func (in *input) add(link uint16, data []byte, size uint32, at int64, ref tcp.PacketRef) decode.Result {
	in.now = max(in.now, at)
	in.tables.Sweep(in.now - in.now%1e9)
	what := in.dec.Decode(link, data, size, at, ref, &in.seg)
	if what == decode.Segment || what == decode.Quote {
		in.table.Step(&in.seg)
	}
	return what
}

// judge ends the input and runs the rules.
func (in *input) judge() Result {
	in.tables.Finish(in.now)
	res := in.res
	slices.SortFunc(res.Flows, func(a, b *reassembly.Flow) int { return int(a.ID) - int(b.ID) })
	rules := diagnose.Rules()
	c := &diagnose.Context{Profile: in.profile, Patterns: diagnose.NewPatterns(rules)}
	for _, f := range res.Flows {
		diagnose.Judge(c, rules, f, func(d diagnose.Finding) { res.Findings = append(res.Findings, d) })
	}
	for i := range res.Findings {
		c.Patterns.Weigh(&res.Findings[i])
		c.Patterns.Settle(&res.Findings[i])
	}
	c.Patterns.Findings(c, in.now, func(r *diagnose.Rule, d diagnose.Finding) {
		res.leaveOut(func(o *diagnose.Finding) bool { return r.Explains(&d, o) })
		res.Findings = append(res.Findings, d)
	})
	delays := c.Patterns.Delays()
	res.leaveOut(func(o *diagnose.Finding) bool {
		return o.Slot != 0 && slices.ContainsFunc(delays, func(d diagnose.Delays) bool {
			return d.Rule == o.Rule && d.Who == o.Who && d.Service == o.Service && !d.Stands(o.Slot)
		})
	})
	res.Ports = c.Patterns.Ports(c, in.now)
	return res
}

// leaveOut moves findings to those that are explained.
func (r *Result) leaveOut(explained func(*diagnose.Finding) bool) {
	r.Findings = slices.DeleteFunc(r.Findings, func(o diagnose.Finding) bool {
		if !explained(&o) {
			return false
		}
		r.Explained = append(r.Explained, o)
		return true
	})
}

// Check lists the differences between a result and what the scenario expects,
// each with the line of the transcript; none means agreement.
func Check(s *scenario.Scenario, r Result) (wrong []string) {
	c := checker{s: s, r: r, taken: make([]bool, len(r.Findings))}
	for i := range s.Findings {
		c.finding(&s.Findings[i])
	}
	for i := range s.Flows {
		c.flow(&s.Flows[i])
	}
	for i := range s.Steps {
		c.steps(&s.Steps[i])
	}
	if n := len(r.Flows); s.FlowCount >= 0 && n != s.FlowCount {
		c.say(0, "%d flows, want %d", n, s.FlowCount)
	}
	c.others()
	return c.wrong
}

type checker struct {
	s     *scenario.Scenario
	r     Result
	taken []bool // findings that were expected
	wrong []string
}

func (c *checker) say(line int, format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf("%s:%d: ", c.s.Name, line)+fmt.Sprintf(format, args...))
}

// same compares one field; an empty want is not compared.
func (c *checker) same(line int, what, have, want string) {
	if want != "" && have != want {
		c.say(line, "%s is %s, want %s", what, have, want)
	}
}

// find is the flow whose first frame is n, or the first flow for 0.
func (c *checker) find(n uint64) *reassembly.Flow {
	for _, f := range c.r.Flows {
		if n == 0 || f.ID.Frame() == n {
			return f
		}
	}
	return nil
}

// finding compares one expected finding.
func (c *checker) finding(w *scenario.Finding) {
	found := 0
	for i := range c.r.Findings {
		d := &c.r.Findings[i]
		if d.Rule != w.Rule || w.Flow.First != 0 && d.Flow.Frame() != w.Flow.First || c.taken[i] {
			continue
		}
		if found++; found > w.Count {
			continue // reported as unexpected
		}
		c.taken[i] = true
		c.same(w.Line, w.Rule+" who", d.Who.String(), w.Who)
		c.same(w.Line, w.Rule+" confidence", d.Confidence.String(), w.Confidence)
		c.same(w.Line, w.Rule+" severity", d.Severity.String(), w.Severity)
		c.same(w.Line, w.Rule+" censored", fmt.Sprint(d.Censored), w.Censored)
		c.same(w.Line, w.Rule+" flows", fmt.Sprint(d.FlowCount), w.FlowCount)
		c.same(w.Line, w.Rule+" service", d.Service.String(), w.Service)
		var frames []uint64
		for _, e := range d.Evidence {
			frames = append(frames, e.Ref.Frame())
		}
		if w.Evidence != nil && !slices.Equal(frames, w.Evidence) {
			c.say(w.Line, "%s evidence is %d, want %d", w.Rule, frames, w.Evidence)
		}
		if w.Flow.First == 0 && d.Flow != 0 {
			flow := w.Flow
			flow.First = d.Flow.Frame()
			c.flow(&flow)
		}
	}
	if found < w.Count {
		c.say(w.Line, "%s was found %d times, want %d", w.Rule, found, w.Count)
	}
	if w.Flow.First != 0 {
		c.flow(&w.Flow)
	}
}

// flow compares one flow.
func (c *checker) flow(w *scenario.Flow) {
	f := c.find(w.First)
	if f == nil {
		c.say(w.Line, "there is no flow that begins with frame %d", w.First)
		return
	}
	c.same(w.Line, "the client's state", f.Endpoint(f.Client).State.String(), w.Client)
	c.same(w.Line, "the server's state", f.Endpoint(f.Server()).State.String(), w.Server)
	c.same(w.Line, "close", f.Close.String(), w.Close)
	c.same(w.Line, "active_closer", f.ActiveCloser.String(), w.ActiveCloser)
	c.same(w.Line, "handshake", f.Handshake.Outcome.String(), w.Handshake)
	c.same(w.Line, "role", f.Role.String(), w.Role)
	c.same(w.Line, "incarnation", fmt.Sprint(f.Incarnation), w.Incarnation)
	c.same(w.Line, "midstream", fmt.Sprint(f.Midstream), w.Midstream)
	if w.Quality != "" && !slices.Contains(f.Quality.Names(), w.Quality) {
		c.say(w.Line, "quality is %v, want %s in it", f.Quality.Names(), w.Quality)
	}
}

// steps compares the states that one endpoint went through.
func (c *checker) steps(w *scenario.Steps) {
	f := c.find(w.First)
	if f == nil {
		c.say(w.Line, "there is no flow that begins with frame %d", w.First)
		return
	}
	side := f.Client
	if w.Server {
		side = f.Server()
	}
	var states []string
	for i := range f.Steps {
		st := &f.Steps[i]
		if st.Side != side {
			continue
		}
		if len(states) == 0 || states[len(states)-1] != st.From.String() {
			states = append(states, st.From.String())
		}
		states = append(states, st.To.String())
	}
	if len(states) == 0 {
		states = []string{fsm.Closed.String()}
	}
	if !slices.Equal(states, w.States) {
		c.say(w.Line, "transitions are %s, want %s", strings.Join(states, ">"), strings.Join(w.States, ">"))
	}
}

// others looks at the findings that no "expect" line asked for.
func (c *checker) others() {
	for i := range c.r.Findings {
		d := &c.r.Findings[i]
		alarm := d.Severity != diagnose.Info
		switch {
		case slices.Contains(c.s.Not, d.Rule):
			c.say(0, "%s was found: %s", d.Rule, d.Verdict)
		case slices.Contains(c.s.NotCertain, d.Rule):
			if d.Confidence != diagnose.Possible {
				c.say(0, "%s is %s: %s", d.Rule, d.Confidence, d.Verdict)
			}
		case !c.taken[i] && (alarm || c.s.None):
			c.say(0, "unexpected %s %s: %s", d.Severity, d.Rule, d.Verdict)
		}
	}
}

// String shows the result as a test's log should: flows, steps, marks and
// findings.
func (r Result) String() string {
	var b strings.Builder
	for _, f := range r.Flows {
		fmt.Fprintf(&b, "\nflow %s: %s, %s/%s, handshake %s, quality %v\n", f.ID, f.Close,
			f.Endpoint(f.Client).State, f.Endpoint(f.Server()).State, f.Handshake.Outcome, f.Quality.Names())
		name := func(s tcp.Side) string {
			if s == f.Client {
				return "client"
			}
			return "server"
		}
		for _, s := range f.Steps {
			fmt.Fprintf(&b, "  %9.3f #%-3d %s %s > %s %s %s\n", float64(s.At-f.Start)/1e9, s.Ref.Frame(),
				name(s.Side), s.From, s.To, s.On, s.Basis)
		}
		for _, m := range f.Marks {
			fmt.Fprintf(&b, "  %9.3f #%-3d %s: %s\n", float64(m.At-f.Start)/1e9, m.Ref.Frame(), name(m.Side), m.Kind)
		}
		if f.Reset.Ref != 0 {
			fmt.Fprintf(&b, "  reset %+v\n", f.Reset)
		}
	}
	for _, d := range r.Findings {
		fmt.Fprintf(&b, "%s, %s, %s, %s, lowered by %v: %s\n", d.Rule, d.Severity, d.Confidence, d.Who, d.LoweredBy.Names(), d.Verdict)
		for _, e := range d.Evidence {
			fmt.Fprintf(&b, "  #%-3d %s\n", e.Ref.Frame(), e.What)
		}
	}
	return b.String()
}
