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
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
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
	ready  bytes.Buffer  // lines that w has not got yet; none between the calls
	enc    *json.Encoder // to ready
	err    error
	raised map[phenomenon]raised // what was written of findings that are provisional
	rounds uint64                // of Raise
}

// New makes a stream. Its methods return the first error of writing to w.
func New(w io.Writer) *Stream {
	s := &Stream{w: w, raised: map[phenomenon]raised{}}
	s.enc = json.NewEncoder(&s.ready)
	s.enc.SetEscapeHTML(false)
	return s
}

// readyBytes is how much is gathered before it is written.
const readyBytes = 64 << 10

// line is room for a line to add.
func (s *Stream) line() line { return s.ready.AvailableBuffer() }

// add adds a line.
func (s *Stream) add(b line) {
	s.ready.Write(b)
	s.spill()
}

// put adds the line that encoding/json makes.
func (s *Stream) put(v any) {
	if s.err != nil {
		return
	}
	if err := s.enc.Encode(v); err != nil && s.flush() == nil {
		s.err = err
	}
	s.spill()
}

// spill writes what is ready when it is much.
func (s *Stream) spill() {
	if s.ready.Len() >= readyBytes {
		s.flush()
	}
}

// flush writes what is ready, and returns the first error of all.
func (s *Stream) flush() error {
	if s.err == nil && s.ready.Len() > 0 {
		_, s.err = s.w.Write(s.ready.Bytes())
	}
	s.ready.Reset()
	return s.err
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
	return s.flush()
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
	c := epoch
	for i := range r.Findings {
		s.add(s.line().finding(&r.Findings[i], false, &c))
	}
	for i := range r.Groups {
		s.add(s.line().group(&r.Groups[i], &c))
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
	return s.flush()
}

// AsOf writes the states, health and summary of a snapshot.
func (s *Stream) AsOf(r *report.Report) error {
	s.states(r)
	s.put(health(r))
	s.put(summary(r))
	return s.flush()
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
