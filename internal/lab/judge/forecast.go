//go:build linux

package judge

import (
	"fmt"
	"io"
	"time"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// mostOff is by how much a forecast may be wrong, as a part of the time that it
// looks ahead.
const mostOff = 0.1

// Forecast is what lastack says of a client's ports when half of them are used,
// against the moment at which its kernel has none left.
type Forecast struct {
	run       *lab.Exhaustion
	half, end diagnose.Ports // as of then, and of the end
	listed    diagnose.Ports // as of when the listing at half was over
	Failures  []string       // what must hold and does not, in words
}

// Ahead is how long after half of the ports were used lastack expects the end of
// them, and Real is how long after that it came.
func (f *Forecast) Ahead() time.Duration { return time.Duration(f.half.ExhaustedIn) }

// Real is how long after half of the ports were used connect(2) failed.
func (f *Forecast) Real() time.Duration { return time.Duration(f.run.Failed - f.run.Half) }

// Off is by how much the forecast was wrong, as a part of the time ahead.
func (f *Forecast) Off() float64 { return float64(f.Ahead()-f.Real()) / float64(f.Real()) }

// JudgeExhaustion reads the capture of an exhaustion as it was when half of the
// ports were used, and whole.
func JudgeExhaustion(e *lab.Exhaustion) (*Forecast, error) {
	p := reassembly.Profiles()[0]
	p.PortLo, p.PortHi = e.Lo, e.Hi
	var segments []tcp.Segment
	name, err := lab.Found(e.Path + lab.ClientCapture)
	if err == nil {
		err = pass(name, p, func(_ *report.Analysis, s *tcp.Segment) {
			if s != nil {
				segments = append(segments, *s)
			}
		}, &Reading{segments: map[tcp.Tuple][]tcp.Segment{}})
	}
	if err != nil {
		return nil, err
	}
	f := &Forecast{run: e}
	if f.half, err = f.ports(segments, p, e.Half); err != nil {
		return nil, fmt.Errorf("as of half of the ports: %w", err)
	}
	if f.listed, err = f.ports(segments, p, e.HalfListed); err != nil {
		return nil, fmt.Errorf("just after half of the ports: %w", err)
	}
	if f.end, err = f.ports(segments, p, e.End); err != nil {
		return nil, fmt.Errorf("as of the end: %w", err)
	}
	f.judge()
	return f, nil
}

// ports is the line of the client and its service in the report on a capture
// that ends at a time.
func (f *Forecast) ports(segments []tcp.Segment, p reassembly.Profile, end int64) (out diagnose.Ports, err error) {
	a := report.New(report.Options{Profile: p, Rules: diagnose.Rules()})
	n := 0
	for ; n < len(segments) && segments[n].At <= end; n++ {
		a.Add(&segments[n])
	}
	r, err := a.Finish(end, report.Input{Packets: uint64(n)})
	if err != nil {
		return out, err
	}
	if len(r.Ports) != 1 || r.Ports[0].Client != f.run.Client || r.Ports[0].Service != f.run.Service {
		return out, fmt.Errorf("the report has the ports of %d clients: %+v", len(r.Ports), r.Ports)
	}
	return r.Ports[0], nil
}

// judge says what must hold and does not.
func (f *Forecast) judge() {
	fail := func(format string, args ...any) { f.Failures = append(f.Failures, fmt.Sprintf(format, args...)) }
	ports := uint64(f.run.Hi) - uint64(f.run.Lo) + 1
	if f.half.Capacity != ports || f.end.Capacity != ports {
		fail("the capacity is %d, and there are %d ports", f.half.Capacity, ports)
	}
	if f.half.ExhaustedIn < 0 {
		fail("with half of the ports used no end of them is expected")
	} else if off := f.Off(); off > mostOff || off < -mostOff {
		fail("the ports ran out after %v, and were expected to after %v (%+.1f %%)", f.Real(), f.Ahead(), 100*off)
	}
	// They only become more, and the kernel may be a segment ahead or behind.
	if n := uint64(f.run.HeldAtHalf); n+1 < f.half.PeakInUse || n > f.listed.PeakInUse+1 {
		fail("with half of the ports used %d were in use, and after the listing %d; it has %d", f.half.PeakInUse, f.listed.PeakInUse, n)
	}
	if f.end.PeakInUse != uint64(f.run.HeldAtEnd) || f.end.ExhaustedIn != 0 {
		fail("at the end %d were in use and the kernel held %d; the end was expected after %v more",
			f.end.PeakInUse, f.run.HeldAtEnd, time.Duration(f.end.ExhaustedIn))
	}
}

// Print writes the comparison.
func (f *Forecast) Print(out io.Writer) error {
	before := ""
	if f.run.Slow > 0 {
		before = fmt.Sprintf(" after %v at much less", f.run.Slow)
	}
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	_, err := fmt.Fprintf(out, "\nports: %d, at %.0f connections/s%s. With %d in use lastack expects none to be left after %v; connect(2) failed with EADDRNOTAVAIL after %v (%+.2f %%)\n",
		f.half.Capacity, f.run.Rate, before, f.run.HeldAtHalf, ms(f.Ahead()), ms(f.Real()), 100*f.Off())
	if err == nil {
		_, err = fmt.Fprintf(out, "  in use by lastack's count: %d then, %d at the end, where the kernel held %d; no connection came more than %v late\n",
			f.half.PeakInUse, f.end.PeakInUse, f.run.HeldAtEnd, ms(f.run.LongestLateBy))
	}
	for _, w := range f.Failures {
		if err == nil {
			_, err = fmt.Fprintln(out, "  not so:", w)
		}
	}
	return err
}
