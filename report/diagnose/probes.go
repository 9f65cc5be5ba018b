package diagnose

import (
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// probeRun is a run of probes (SND.NXT-1, at most one octet) by one side: of
// keepalive, or of a closed window.
type probeRun struct {
	n                 int
	first, last       *reassembly.Mark // nil when n is 0
	firstGap, lastGap int64            // between the first two, and the last two, ns
}

// probes is the run of probes of a side after an instant.
func probes(f *reassembly.Flow, s tcp.Side, after int64) (r probeRun) {
	for i := range f.Marks {
		m := &f.Marks[i]
		if m.Kind != reassembly.KeepaliveProbe && m.Kind != reassembly.WindowProbe || m.Side != s || m.At <= after {
			continue
		}
		if r.n++; r.n == 1 {
			r.first = m
		} else {
			r.lastGap = m.At - r.last.At
			if r.n == 2 {
				r.firstGap = r.lastGap
			}
		}
		r.last = m
	}
	return r
}
