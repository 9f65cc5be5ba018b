// Package jsonl writes a report as JSON lines, schema lastack/1.
//
// In come flows as they are finalised and the report; out goes one object per
// line, each with its "type": meta, flow, finding, group, states, ports, source,
// health, summary. It writes what is known and nothing else: no null, and no
// zero for what was not seen. It opens no file.
//
// The schema file beside this one is generated from the types of this package.
package jsonl

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

//go:generate go test -run ^TestSchemaFile$ -update

// Schema is the version of the lines.
const Schema = "lastack/1"

// Stream writes the lines to w, in the order in which its methods are called:
// Meta, Write for the flows, and End. It is a report.FlowWriter.
type Stream struct {
	w      io.Writer
	enc    *json.Encoder
	err    error
	raised map[string]struct{} // provisional findings that were written
}

// New makes a stream. Its methods return the first error of writing to w.
func New(w io.Writer) *Stream {
	s := &Stream{w: w, raised: map[string]struct{}{}}
	s.enc = json.NewEncoder(w)
	s.enc.SetEscapeHTML(false)
	return s
}

func (s *Stream) put(v any) {
	if s.err == nil {
		s.err = s.enc.Encode(v)
	}
}

// Meta writes the first line.
func (s *Stream) Meta(m report.Meta, sources []report.Source) error {
	out := Meta{
		Type: "meta", Schema: Schema, Version: m.Version, Command: m.Command, Sources: []MetaSource{},
		Options: MetaOptions{
			Profile: m.Profile.Name, MSL: int64(m.Profile.TwoMSL) / 2,
			Ports: fmt.Sprintf("%d-%d", m.Profile.PortLo, m.Profile.PortHi),
		},
	}
	for _, src := range sources {
		out.Sources = append(out.Sources, MetaSource{src.Name, src.Format})
	}
	s.put(out)
	return s.err
}

// AppendFlow appends the line of a flow.
func (s *Stream) AppendFlow(dst []byte, f *reassembly.Flow) []byte { return appendFlow(dst, f) }

// Write writes lines that AppendFlow made.
func (s *Stream) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// Flush makes report.FlowWriter of it; w has got everything.
func (s *Stream) Flush() error { return s.err }

// End writes what follows the flows.
func (s *Stream) End(r *report.Report) error {
	for i := range r.Findings {
		s.put(finding(&r.Findings[i]))
	}
	for i := range r.Groups {
		s.put(group(&r.Groups[i]))
	}
	s.states(r)
	for i := range r.Ports {
		s.put(ports(&r.Ports[i]))
	}
	for i := range r.Sources {
		s.put(source(i, &r.Sources[i]))
	}
	s.put(health(r))
	s.put(summary(r))
	return s.err
}

// AsOf writes the states, health and summary of a snapshot.
func (s *Stream) AsOf(r *report.Report) error {
	s.states(r)
	s.put(health(r))
	s.put(summary(r))
	return s.err
}

// maxRaised bounds the memory of what was raised; beyond it, live findings are
// told at the end only.
const maxRaised = 1 << 17

// Raise writes the findings of a snapshot that have not been written yet, as
// provisional.
func (s *Stream) Raise(r *report.Report) error {
	for i := range r.Findings {
		d := &r.Findings[i]
		k := d.Rule + " " + id(d.Flow) + " " + d.Who.String()
		if d.Flow == 0 {
			k += " " + d.Service.String() + " " + d.Client.String()
		}
		if _, old := s.raised[k]; old || len(s.raised) >= maxRaised {
			continue
		}
		s.raised[k] = struct{}{}
		out := finding(d)
		out.Provisional = true
		s.put(out)
	}
	return s.err
}

func (s *Stream) states(r *report.Report) {
	for i := range r.States {
		s.put(states(&r.States[i], asOf(r)))
	}
}

// known is a pointer to t unless the time is unknown.
func known(t int64, is bool) *Time {
	if !is {
		return nil
	}
	out := Time(t)
	return &out
}

func asOf(r *report.Report) *Time { return known(r.AsOf, r.AsOf != 0) }

func ids(flows []tcp.PacketRef) []string {
	out := make([]string, len(flows))
	for i, f := range flows {
		out[i] = id(f)
	}
	return out
}

func finding(d *diagnose.Finding) Finding {
	out := Finding{
		Type: "finding", Rule: d.Rule, Severity: Severity(d.Severity.String()),
		Confidence: Confidence(d.Confidence.String()), Who: Who(d.Who.String()), Time: Time(d.Time),
		Censored: d.Censored, Verdict: d.Verdict, Evidence: []Evidence{}, Wireshark: d.Wireshark,
		LoweredBy: qualities(d.LoweredBy),
	}
	if d.Duration != 0 {
		out.Duration = &d.Duration
	}
	switch {
	case d.Flow != 0:
		out.Flow = id(d.Flow)
	default:
		out.Flows = ids(d.Flows)
		if d.Service.IsValid() {
			out.Service = d.Service.String()
		} else if d.Client.IsValid() {
			out.Host = d.Client.Addr().String()
		}
	}
	for _, e := range d.Evidence {
		out.Evidence = append(out.Evidence, Evidence{
			Packet: packet(e.Ref), Time: Time(e.At), Endpoint: endpoint(e.Side, report.ClientSide(d)), What: e.What,
		})
	}
	return out
}

func qualities(q reassembly.Quality) []QualityName {
	var out []QualityName
	for _, name := range q.Names() {
		out = append(out, QualityName(name))
	}
	return out
}

func group(g *report.Group) Group {
	out := Group{
		Type: "group", Rule: g.Rule, Severity: Severity(g.Severity.String()),
		Confidence: Confidence(g.Confidence.String()), Who: Who(g.Who.String()), Count: g.Count,
		Flows: ids(g.Flows), First: Time(g.First), Last: Time(g.Last), Verdict: g.Verdict,
		Longest: g.Longest, StillOpen: g.StillOpen, Oldest: g.Oldest, Remarks: g.Remarks,
	}
	out.Clients, _ = g.Clients()
	if p := g.Pace; p != nil {
		out.PerMinuteFirst, out.PerMinuteLast = &p.First, &p.Last
	}
	if g.Service.IsValid() {
		out.Service = g.Service.String()
	}
	return out
}

func states(s *report.States, at *Time) States {
	return States{
		Type: "states", Time: Time(s.Time), Host: s.Name(), Counts: byState(&s.Counts),
		Presumed: byState(&s.Presumed), Assumed: byState(&s.Assumed), AsOf: at,
	}
}

// byState is the counts of all eleven states, zeros included.
func byState(counts *[fsm.States]uint64) map[State]uint64 {
	out := map[State]uint64{}
	for st := fsm.Closed; st <= fsm.TimeWait; st++ {
		out[State(st.String())] = counts[st]
	}
	return out
}

func ports(p *diagnose.Ports) Ports {
	out := Ports{
		Type: "ports", Client: p.Client.String(), Server: p.Service.String(), Capacity: p.Capacity,
		PeakTimeWait: p.PeakTimeWait, PeakAt: known(p.PeakAt, p.PeakTimeWait > 0), PeakInUse: p.PeakInUse, OutsideRange: p.Outside,
		Rate: p.Rate, Sustainable: p.Sustainable,
	}
	if p.ExhaustedIn >= 0 {
		out.ExhaustedIn = &p.ExhaustedIn
	}
	return out
}

func source(i int, src *report.Source) Source {
	out := Source{
		Type: "source", File: i, Name: src.Name, Format: src.Format, LinkTypes: src.LinkTypes,
		Snaplen: src.Snaplen, Packets: src.Packets, Bytes: src.Bytes, SHA256: src.SHA256, Error: src.Error,
	}
	if out.LinkTypes == nil {
		out.LinkTypes = []uint16{}
	}
	timed := src.First != 0 || src.Last != 0
	out.First, out.Last = known(src.First, timed), known(src.Last, timed)
	return out
}

func health(r *report.Report) Health {
	h := &r.Health
	out := Health{
		Type: "health", Packets: h.Packets, TCPSegments: h.TCPSegments, NotTCP: h.NotTCP,
		Undecodable: h.Undecodable, Duplicates: h.Duplicates, AckedUnseen: h.AckedUnseen,
		EvictedFlows: h.EvictedFlows, TimeWentBackwards: h.TimeWentBackwards,
		BadChecksums: h.BadChecksums, Notes: []Note{}, AsOf: asOf(r),
	}
	if h.DropsCounted || h.KernelDrops > 0 {
		out.KernelDrops = &h.KernelDrops
	}
	for _, n := range h.Notes {
		note := Note{Text: n.Text}
		if n.File >= 0 {
			note.File = &n.File
		}
		if n.Ref != 0 {
			frame := n.Ref.Frame()
			note.Frame = &frame
		}
		out.Notes = append(out.Notes, note)
	}
	return out
}

func summary(r *report.Report) Summary {
	out := Summary{
		Type: "summary", Packets: r.Packets, Flows: r.Flows, ByClose: map[string]uint64{},
		ByFinding: map[string]uint64{}, Verdict: strings.Join(r.Verdict, " "), NotAsked: r.NotAsked, Duration: r.End - r.Start, AsOf: asOf(r),
	}
	for c := reassembly.CloseRefused; c <= reassembly.CloseOpen; c++ {
		out.ByClose[c.String()] = r.ByClose[c]
	}
	for i := range r.Groups {
		out.ByFinding[r.Groups[i].Rule] += r.Groups[i].Count
	}
	return out
}
