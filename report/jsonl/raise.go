package jsonl

import (
	"maps"
	"net/netip"

	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// phenomenon tells findings apart from one snapshot to the next: one of a flow by
// that, and one over many by the service and the client.
type phenomenon struct {
	rule            string
	who             diagnose.Party
	flow            tcp.PacketRef
	service, client netip.AddrPort
}

func phenomenonOf(d *diagnose.Finding) phenomenon {
	if d.Flow != 0 {
		return phenomenon{rule: d.Rule, who: d.Who, flow: d.Flow}
	}
	return phenomenon{rule: d.Rule, who: d.Who, service: d.Service, client: d.Client}
}

// raised is how grave and how sure a finding was at best when it was written.
type raised struct {
	severity   diagnose.Severity
	confidence diagnose.Confidence
	round      uint64 // in which it was last listed
}

// Raise writes the findings of a snapshot as provisional: those that have not been
// written yet, and again those that have become graver or surer. What is only
// possible may be so because it is young, as a FIN that will be answered in a
// moment is: it waits until its flow has ended.
//
// It remembers what it wrote for as long as that is listed.
func (s *Stream) Raise(r *report.Report) error {
	c := epoch
	s.rounds++
	for i := range r.Findings {
		d := &r.Findings[i]
		k := phenomenonOf(d)
		was, old := s.raised[k]
		if !old && early(d) {
			continue
		}
		now := raised{d.Severity, d.Confidence, s.rounds}
		if old {
			now.severity, now.confidence = min(now.severity, was.severity), min(now.confidence, was.confidence)
		}
		if !old || now.severity < was.severity || now.confidence < was.confidence {
			s.add(s.line().finding(d, true, &c))
		}
		s.raised[k] = now
	}
	maps.DeleteFunc(s.raised, func(_ phenomenon, w raised) bool { return w.round < s.rounds })
	return s.flush()
}

// early reports whether more may come that decides about a finding.
func early(d *diagnose.Finding) bool {
	return d.Confidence == diagnose.Possible && (d.Unended || d.Flow == 0)
}
