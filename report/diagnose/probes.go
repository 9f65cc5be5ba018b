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

// heldBack reports that a side has something to send which the peer's closed
// window holds back: it has probed that window since its last payload. What waits
// is before its FIN, so that its silence says nothing of its application. The FIN
// of the peer hides whether the window was closed already, and then the answer to
// the probe tells.
func heldBack(f *reassembly.Flow, s tcp.Side) bool {
	shut := lastMark(f, s.Other(), reassembly.ZeroWindow)
	if shut == nil {
		return false
	}
	r := probes(f, s, f.Endpoint(s).LastData)
	return r.n > 0 && (r.last.Kind == reassembly.WindowProbe || r.last.At <= shut.At)
}
