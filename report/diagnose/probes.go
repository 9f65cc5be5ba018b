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

// regular reports probes that were equally far apart: their gap is the interval
// of keepalive. Those of a closed window come ever more seldom, and after two of
// them a third may be missing here.
func (r *probeRun) regular() bool { return r.n >= 3 && r.inStep(r.firstGap) }

// inStep reports that a span is as long as the last gap, as far as timers go:
// those of Linux may be late by an eighth of a long span (kernel/time/timer.c).
func (r *probeRun) inStep(span int64) bool {
	const slack = 50e6
	return max(span-r.lastGap, r.lastGap-span) <= r.lastGap/8+slack
}

// early reports an instant before the next probe was due. A host that gives its
// peer up resets the connection when that is due, and not before (Linux,
// tcp_keepalive_timer in net/ipv4/tcp_timer.c).
func (r *probeRun) early(at int64) bool {
	return r.n >= 2 && at < r.last.At+r.lastGap && !r.inStep(at-r.last.At)
}

// keepalives is the run of probes by the side that reset the connection since
// that was last used for anything else, and how long it had been idle before; 0
// where the peer wrote after the RST, which hides when it had last done so.
func keepalives(f *reassembly.Flow) (run probeRun, idle int64) {
	r := &f.Reset
	p := f.Endpoint(r.By.Other())
	since, _, _ := lastUse(f, r.By, r.At)
	since = max(since, f.Start)
	if p.FINAt < r.At {
		since = max(since, p.FINAt)
	}
	if run = probes(f, r.By, since); run.n > 0 && p.LastData <= r.At {
		idle = run.first.At - since
	}
	return run, idle
}

// probedInVain reports an RST by a host whose keepalive probes got no answer.
func probedInVain(f *reassembly.Flow) bool {
	r := &f.Reset
	if vain := probes(f, r.By, r.PeerAt); vain.n > 0 {
		return !vain.regular() || !vain.early(r.At)
	}
	run, idle := keepalives(f)
	return answersLost(f, &run, idle)
}

// answersLost reports an RST where the next probe was due, after probes whose
// answers passed the tap and cannot have arrived: after one that does, the next
// probe waits as long as the first had (RFC 9293 §3.8.4).
func answersLost(f *reassembly.Flow, run *probeRun, idle int64) bool {
	return run.regular() && run.lastGap < idle*3/4 && run.inStep(f.Reset.At-run.last.At) && ofItself(f)
}

// onProbeTimer reports an RST at a time at which its host's next keepalive probe
// may have been due, even if one of them is missing here.
func onProbeTimer(f *reassembly.Flow, run *probeRun) bool {
	if run.n < 2 {
		return false
	}
	span := f.Reset.At - run.last.At
	return (run.inStep(span) || run.inStep(span/2) || run.inStep(span*2)) && ofItself(f)
}

// ofItself reports an RST of a live socket that answers nothing, and that no
// closed window may explain.
func ofItself(f *reassembly.Flow) bool {
	r := &f.Reset
	return r.HasACK && r.InAnswerTo == 0 && !r.PeerShut
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
