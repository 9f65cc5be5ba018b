//go:build linux

package judge

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// Reading is what lastack makes of one capture, and the capture's segments, by
// which excuses are tested.
type Reading struct {
	Flows    []*reassembly.Flow // in order of their first packets
	Findings []diagnose.Finding // by (time, flow, rule)
	Report   *report.Report
	Frames   uint64
	End      int64 // time of the last frame

	segments map[tcp.Tuple][]tcp.Segment // in capture order
}

// Read analyses one capture. It is an error when it holds anything that cannot
// be read or decoded: recordings are made here.
func Read(name string, p reassembly.Profile) (*Reading, error) {
	r := &Reading{segments: map[tcp.Tuple][]tcp.Segment{}}
	err := pass(name, p, func(a *report.Analysis, s *tcp.Segment) {
		if s != nil {
			r.segments[s.Tuple] = append(r.segments[s.Tuple], *s)
		}
	}, r)
	return r, err
}

// pass takes a capture through the program. It calls each after every frame
// with the frame's segment, nil when it is not TCP, and fills r in the end.
func pass(name string, p reassembly.Profile, each func(*report.Analysis, *tcp.Segment), r *Reading) error {
	src, err := capture.Open(name, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	keep := &keeper{}
	a := report.New(report.Options{Profile: p, Rules: diagnose.Rules(), AllFindings: true, Flows: keep})
	d := decode.New(decode.Options{})
	var f capture.Frame
	var s tcp.Segment
	for {
		if err := src.Next(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		r.Frames, r.End = f.Number, max(r.End, f.At)
		ref := tcp.Ref(0, f.Number)
		switch got := d.Decode(f.LinkType, f.Data, f.WireLen, f.At, ref, &s); got {
		case decode.Segment, decode.Quote:
			a.Add(&s)
			each(a, &s)
		case decode.NotTCP:
			a.Advance(f.At, ref)
			each(a, nil)
		default:
			a.Close()
			return fmt.Errorf("%s: frame %d is %v", name, f.Number, got)
		}
	}
	if damage := src.Info().Damage; damage != nil {
		a.Close()
		return damage
	}
	whole, err := a.Finish(r.End, report.Input{Packets: r.Frames})
	if err != nil {
		return err
	}
	r.Report, r.Findings = whole, whole.Findings
	slices.SortFunc(keep.flows, func(a, b *reassembly.Flow) int { return cmp.Compare(a.ID, b.ID) })
	r.Flows = keep.flows
	return nil
}

// keeper keeps the flows that an analysis finalises.
type keeper struct {
	mu    sync.Mutex
	flows []*reassembly.Flow
}

// AppendFlow keeps f and writes nothing.
func (k *keeper) AppendFlow(dst []byte, f *reassembly.Flow) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flows = append(k.flows, f.Clone())
	return dst
}

// Write is called with nothing.
func (k *keeper) Write(p []byte) (int, error) { return len(p), nil }

// Flush has nothing to do.
func (*keeper) Flush() error { return nil }

// flowsOf lists the flows between two ends, in order of time, and which side
// the local end is.
func (r *Reading) flowsOf(local, remote netip.AddrPort) (out []*reassembly.Flow, side tcp.Side) {
	for _, f := range r.Flows {
		for _, s := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
			if f.Addr(s) == local && f.Addr(s.Other()) == remote {
				out, side = append(out, f), s
				break // the two ends may be equal
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *reassembly.Flow) int { return cmp.Compare(a.Start, b.Start) })
	return out, side
}
