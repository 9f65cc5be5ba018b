package bench_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/lastack/lastack/internal/bench/traffic"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
	"github.com/lastack/lastack/report/jsonl"
)

// sizes are the captures of the benchmarks, as parts of their full size.
var sizes = []struct {
	name  string
	scale float64
}{
	{"mix", 0.02}, {"headers", 0.02}, {"headers-ng", 0.02}, {"bulk", 0.1}, {"flood", 0.02}, {"concurrent", 0.01},
}

// material is a capture in memory, at every stage of its way.
type material struct {
	file     []byte
	frames   []capture.Frame
	segments []tcp.Segment
	end      int64
	totals   traffic.Totals
}

func prepare(tb testing.TB, name string, scale float64) *material {
	tb.Helper()
	c, err := traffic.Named(name, scale)
	if err != nil {
		tb.Fatal(err)
	}
	return prepareConfig(tb, c)
}

func prepareConfig(tb testing.TB, c traffic.Config) *material {
	tb.Helper()
	var b bytes.Buffer
	var err error
	m := &material{}
	if m.totals, err = c.Write(&b); err != nil {
		tb.Fatal(err)
	}
	m.file = b.Bytes()
	dec := decode.New(decode.Options{})
	m.read(tb, func(f *capture.Frame) {
		g := *f
		g.Data = bytes.Clone(f.Data)
		m.frames = append(m.frames, g)
		var s tcp.Segment
		if decodeFrame(dec, f, &s) {
			m.segments = append(m.segments, s)
		}
		m.end = max(m.end, f.At)
	})
	if len(m.segments) != int(m.totals.Packets) {
		tb.Fatalf("%d segments of %d packets", len(m.segments), m.totals.Packets)
	}
	return m
}

// read reads the capture and visits its frames.
func (m *material) read(tb testing.TB, visit func(f *capture.Frame)) {
	src, err := capture.Open("-", capture.Options{Stdin: bytes.NewReader(m.file)})
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	var f capture.Frame
	for {
		if err := src.Next(&f); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			tb.Fatal(err)
		}
		visit(&f)
	}
}

func decodeFrame(dec *decode.Decoder, f *capture.Frame, s *tcp.Segment) bool {
	return dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(f.File, f.Number), s) == decode.Segment
}

// newTable is one that no capture here fills.
func newTable(done func(*reassembly.Flow)) *reassembly.Table {
	return reassembly.NewTable(reassembly.Options{MaxFlows: 1 << 24, Seed: 1}, done)
}

// track steps a table through segments and sweeps it every second of event
// time, as an analysis does.
func track(t *reassembly.Table, segments []tcp.Segment) {
	swept, all := int64(0), reassembly.Together(t)
	for i := range segments {
		s := &segments[i]
		if s.At-swept >= 1e9 {
			all.Sweep(s.At - 1)
			swept = s.At
		}
		t.Step(s)
	}
}

// analyse runs the segments through an analysis with one thread.
func (m *material) analyse(tb testing.TB, flows report.FlowWriter) {
	a := report.New(report.Options{Threads: 1, MaxFlows: 1 << 24, Rules: diagnose.Rules(), States: flows != nil, Flows: flows})
	for i := range m.segments {
		a.Add(&m.segments[i])
	}
	if _, err := a.Finish(m.end, report.Input{Packets: uint64(len(m.segments))}); err != nil {
		tb.Fatal(err)
	}
}

// whole is everything from the bytes of a capture to JSON lines.
func (m *material) whole(tb testing.TB, threads int) {
	lines := jsonl.New(io.Discard)
	a := report.New(report.Options{
		Threads: threads, MaxFlows: 1 << 24, Rules: diagnose.Rules(), ListFindings: true, States: true, Flows: lines,
	})
	dec := decode.New(decode.Options{})
	var s tcp.Segment
	m.read(tb, func(f *capture.Frame) {
		if decodeFrame(dec, f, &s) {
			a.Add(&s)
		}
	})
	r, err := a.Finish(m.end, report.Input{Packets: m.totals.Packets})
	if err == nil {
		err = lines.End(r)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkStages times one stage after the other over every capture: reading
// frames, decoding them, the flow table, the table with rules and groups, the
// same with JSON lines, and all of it at once. An operation is a whole capture.
func BenchmarkStages(b *testing.B) {
	stages := []struct {
		name string
		run  func(b *testing.B, m *material)
	}{
		{"read", func(b *testing.B, m *material) { m.read(b, func(*capture.Frame) {}) }},
		{"decode", func(_ *testing.B, m *material) {
			dec := decode.New(decode.Options{})
			var s tcp.Segment
			for i := range m.frames {
				decodeFrame(dec, &m.frames[i], &s)
			}
		}},
		{"track", func(_ *testing.B, m *material) {
			t := newTable(func(*reassembly.Flow) {})
			track(t, m.segments)
			reassembly.Together(t).Finish(m.end)
		}},
		{"diagnose", func(b *testing.B, m *material) { m.analyse(b, nil) }},
		{"render", func(b *testing.B, m *material) { m.analyse(b, jsonl.New(io.Discard)) }},
		{"whole", func(b *testing.B, m *material) { m.whole(b, 1) }},
		{"whole-2", func(b *testing.B, m *material) { m.whole(b, 2) }},
	}
	for _, c := range sizes {
		m := prepare(b, c.name, c.scale)
		for _, s := range stages {
			b.Run(c.name+"/"+s.name, func(b *testing.B) { m.measure(b, func() { s.run(b, m) }) })
		}
	}
}

// measure times run and reports what a packet costs.
func (m *material) measure(b *testing.B, run func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took := cpuTime(b)
	n := 0
	for b.Loop() {
		run()
		n++
	}
	runtime.ReadMemStats(&after)
	packets := float64(n) * float64(m.totals.Packets)
	b.ReportMetric(float64(cpuTime(b)-took)/packets, "cpu-ns/packet")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets, "ns/packet")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/packets, "allocs/packet")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/packets, "B/packet")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what all threads of the process took, in ns; unlike the wall time
// it does not count what other programs take.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkGenerator times the generator itself.
func BenchmarkGenerator(b *testing.B) {
	for _, c := range sizes {
		b.Run(c.name, func(b *testing.B) {
			cfg, err := traffic.Named(c.name, c.scale)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				totals, err := cfg.Write(io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(totals.Bytes))
			}
		})
	}
}

// BenchmarkThreads times the whole way with more and more workers.
func BenchmarkThreads(b *testing.B) {
	m := prepare(b, "headers", 0.05)
	for n := 1; n <= runtime.GOMAXPROCS(0); n *= 2 {
		b.Run(strconv.Itoa(n), func(b *testing.B) { m.measure(b, func() { m.whole(b, n) }) })
	}
}
