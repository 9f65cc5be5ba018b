package jsonl

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/lastack/lastack/internal/bench/traffic"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// lineRoom is room for many lines, as a judge keeps it from flow to flow.
const lineRoom = 1 << 20

// BenchmarkFlowLine writes a few hundred flows of a kind in turn: those that
// were opened and closed in order, and those that an RST ended.
func BenchmarkFlowLine(b *testing.B) {
	flows := trafficFlows(b)
	for _, kind := range []struct {
		name string
		is   func(f *reassembly.Flow) bool
	}{
		{"ordinary", func(f *reassembly.Flow) bool { return f.Close == reassembly.CloseOrderly }},
		{"reset", func(f *reassembly.Flow) bool { return f.Reset.Ref != 0 }},
	} {
		var some []*reassembly.Flow
		for _, f := range flows {
			if kind.is(f) && len(some) < 500 {
				some = append(some, f)
			}
		}
		b.Run(kind.name, func(b *testing.B) {
			buf := make([]byte, 0, lineRoom)
			octets := 0
			b.ReportAllocs()
			for i := range b.N {
				if len(buf) > lineRoom/2 {
					buf = buf[:0]
				}
				n := len(buf)
				buf = appendFlow(buf, some[i%len(some)])
				octets += len(buf) - n
			}
			b.SetBytes(int64(octets / b.N))
		})
	}
}

// trafficFlows are the flows of a capture of many short connections.
func trafficFlows(tb testing.TB) []*reassembly.Flow {
	tb.Helper()
	c, err := traffic.Named("headers", 0.02)
	if err != nil {
		tb.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := c.Write(&file); err != nil {
		tb.Fatal(err)
	}
	src, err := capture.Open("-", capture.Options{Stdin: &file})
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	var k keeper
	a, dec := report.New(report.Options{Threads: 1, Flows: &k}), decode.New(decode.Options{})
	var f capture.Frame
	var s tcp.Segment
	for {
		if err := src.Next(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(f.File, f.Number), &s) == decode.Segment {
			a.Add(&s)
		}
	}
	if _, err := a.Finish(f.At, report.Input{}); err != nil {
		tb.Fatal(err)
	}
	return k.flows
}

// BenchmarkFindingLine writes the findings of the canonical reports in turn.
func BenchmarkFindingLine(b *testing.B) {
	var all []diagnose.Finding
	for _, in := range canonical.Inputs() {
		r, err := in.Analyse(report.Options{ListFindings: true})
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, r.Findings...)
	}
	buf, c := make(line, 0, lineRoom), epoch
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		buf = buf[:0].finding(&all[i%len(all)], false, &c)
	}
}
