package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// The way of the whole program, from a file through several threads to the
// report, finds what the rules find on the flows themselves.
func TestReportFindsTheSame(t *testing.T) {
	dir := t.TempDir()
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range r.Findings {
			want = append(want, line(&r.Findings[i]))
		}
		slices.Sort(want)
		file := filepath.Join(dir, "s.pcap")
		if err := os.WriteFile(file, s.Pcap(), 0o600); err != nil {
			t.Fatal(err)
		}
		var told [2][]string
		for i, threads := range []int{1, 3} {
			rep, err := analyse(file, s, threads)
			if err != nil {
				t.Fatal(err)
			}
			told[i] = append(told[i], rep.Verdict...)
			for k := range rep.Groups {
				g := &rep.Groups[k]
				told[i] = append(told[i], fmt.Sprint(g.Verdict, g.Remarks, g.Flows, g.Count, g.FlowCount, g.StillOpen, g.Oldest))
				if g.Pace != nil {
					told[i] = append(told[i], fmt.Sprint(*g.Pace))
				}
				told[i][len(told[i])-1] += fmt.Sprint(g.Clients())
			}
			var have []string
			for i := range rep.Findings {
				have = append(have, line(&rep.Findings[i]))
			}
			slices.Sort(have)
			if !slices.Equal(rep.Ports, r.Ports) {
				t.Errorf("%s, %d threads: ports are\n%v, want\n%v", s.Name, threads, rep.Ports, r.Ports)
			}
			if !slices.Equal(have, want) || rep.Flows != uint64(len(r.Flows)) {
				t.Errorf("%s, %d threads: %d flows and\n%q, want %d and\n%q", s.Name, threads, rep.Flows, have, len(r.Flows), want)
			}
		}
		if !slices.Equal(told[0], told[1]) {
			t.Errorf("%s: one thread tells\n%q, three\n%q", s.Name, told[0], told[1])
		}
	}
}

// line is what two findings must have in common to be the same.
func line(d *diagnose.Finding) string {
	return fmt.Sprint(d.Flow, d.Rule, d.Severity, d.Confidence, d.Who, d.Time, d.Duration, d.Censored, d.Evidence, d.Verdict)
}

// analyse runs a capture file through reader, decoder and report.
func analyse(file string, s *scenario.Scenario, threads int) (*report.Report, error) {
	p, err := profile(s)
	if err != nil {
		return nil, err
	}
	return analyseFile(file, report.Options{Profile: p, Threads: threads, Rules: diagnose.Rules(), ListFindings: true, States: true})
}

// analyseFile runs a capture file through reader, decoder and report. Damage
// ends it.
func analyseFile(file string, o report.Options) (*report.Report, error) {
	src, err := capture.Open(file, capture.Options{})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	a := report.New(o)
	in, end := read(src, a)
	return a.Finish(end, in)
}

// read takes a capture through the decoder to an analysis. It ends at end.
func read(src capture.Reader, a *report.Analysis) (in report.Input, end int64) {
	dec := decode.New(decode.Options{})
	var f capture.Frame
	var seg tcp.Segment
	for {
		if err := src.Next(&f); err != nil {
			return in, end
		}
		if in.Packets++; in.Packets == 1 || f.At < in.Start {
			in.Start = f.At
		}
		end = max(end, f.At)
		ref := tcp.Ref(f.File, f.Number)
		switch dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, ref, &seg) {
		case decode.Segment, decode.Quote:
			a.Add(&seg)
		default:
			a.Advance(f.At, ref)
		}
	}
}
