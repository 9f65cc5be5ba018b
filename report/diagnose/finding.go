package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// newFinding begins a finding on a flow, without its display filter (see Dress). Evidence without a packet is left out,
// and a packet named twice stands once; the rest is put into packet order, and
// the first of it dates the finding.
func newFinding(f *reassembly.Flow, who Party, sure Confidence, evidence ...Evidence) Finding {
	d := Finding{Who: who, Confidence: sure, Flow: f.ID,
		Client: f.Addr(f.Client), Service: f.Addr(f.Server())}
	d.prove(evidence...)
	return d
}

// prove adds evidence, puts all of it into packet order, and dates the finding.
func (d *Finding) prove(evidence ...Evidence) {
	if d.Evidence == nil {
		n := 0
		for i := range evidence {
			if evidence[i].Ref != 0 {
				n++
			}
		}
		d.Evidence = make([]Evidence, 0, n)
	}
	for _, e := range evidence {
		if e.Ref != 0 && !slices.ContainsFunc(d.Evidence, func(o Evidence) bool { return o.Ref == e.Ref }) {
			d.Evidence = append(d.Evidence, e)
		}
	}
	if len(d.Evidence) == 1 {
		d.Time = d.Evidence[0].At
		return
	}
	slices.SortFunc(d.Evidence, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Ref, b.Ref))
	})
	if len(d.Evidence) > 0 {
		d.Time = d.Evidence[0].At
	}
}

// wording is what evidence of a common kind is put into words by.
type wording uint8

const (
	asWritten wording = iota // What stands
	asFIN
	asACKOfFIN
	asRST
	asLastPayload
	asLastSYN
)

// say puts the evidence into words, where that was put off.
func (e *Evidence) say(f *reassembly.Flow) {
	switch e.says {
	case asFIN:
		e.What = finWords(f, e.Side)
	case asACKOfFIN:
		e.What = ackWords(f, e.Side)
	case asRST:
		e.What = rstWords(f)
	case asLastPayload:
		e.What = fmt.Sprintf("the %s's payload, %s", role(f, e.Side), octets(f.Endpoint(e.Side).LastDataLen))
	case asLastSYN:
		e.What = fmt.Sprintf("its SYN again, the %s", ordinal(len(synTimes(f))))
	}
	e.says = asWritten
}

// finEvidence is the first copy of a side's FIN.
func finEvidence(f *reassembly.Flow, s tcp.Side) Evidence {
	d := f.Endpoint(s)
	return Evidence{Ref: d.FINRef, At: d.FINAt, Side: s, says: asFIN}
}

// finAckEvidence is the acknowledgement of a side's FIN.
func finAckEvidence(f *reassembly.Flow, s tcp.Side) Evidence {
	d := f.Endpoint(s)
	return Evidence{Ref: d.FINAckRef, At: d.FINAckAt, Side: s.Other(), says: asACKOfFIN}
}

// rstEvidence is the RST that took effect.
func rstEvidence(f *reassembly.Flow) Evidence {
	return Evidence{Ref: f.Reset.Ref, At: f.Reset.At, Side: f.Reset.By, says: asRST}
}

// displayFilter is a Wireshark filter for the flow's packets. It names
// addresses and frames and not a stream's index, which depends on how that copy
// of the capture was made. Frame numbers are left out where the flow spans
// files, since each file counts its own.
func displayFilter(f *reassembly.Flow) string {
	a, b := f.Addr(f.Client), f.Addr(f.Server())
	ip := "ip.addr=="
	if a.Addr().Is6() {
		ip = "ipv6.addr=="
	}
	var room [192]byte // each finding that is listed has a filter
	out := a.Addr().AppendTo(append(room[:0], ip...))
	out = b.Addr().AppendTo(append(append(out, " && "...), ip...))
	out = strconv.AppendUint(append(out, " && tcp.port=="...), uint64(a.Port()), 10)
	out = strconv.AppendUint(append(out, " && tcp.port=="...), uint64(b.Port()), 10)
	first, last := f.First, f.Last
	if n := len(f.Marks); n > 0 && f.Marks[n-1].Ref.File() == last.File() {
		last = max(last, f.Marks[n-1].Ref) // an ICMP error, behind the last segment
	}
	switch {
	case first == last:
		out = strconv.AppendUint(append(out, " && frame.number=="...), first.Frame(), 10)
	case !spansFiles(f):
		out = strconv.AppendUint(append(out, " && frame.number in {"...), first.Frame(), 10)
		out = append(strconv.AppendUint(append(out, ".."...), last.Frame(), 10), '}')
	}
	return string(out)
}

// spansFiles reports that packets of the flow stand in several sources, whose
// frames are numbered apart.
func spansFiles(f *reassembly.Flow) bool {
	file := f.First.File()
	other := func(ref tcp.PacketRef) bool { return ref != 0 && ref.File() != file }
	for k := range f.Ends {
		if d := &f.Ends[k]; other(d.LastRef) || other(d.LastDataRef) || other(d.RepeatRef) {
			return true
		}
	}
	return other(f.Last) || slices.ContainsFunc(f.Steps, func(st reassembly.Step) bool { return other(st.Ref) }) ||
		slices.ContainsFunc(f.Marks, func(m reassembly.Mark) bool { return other(m.Ref) })
}

// ShortFilter is a Wireshark filter for the flow's packets in at most n
// characters, of which it names as much as fits: the ports and frames tell most
// flows from others. Where nothing shorter fits it is the whole filter.
func ShortFilter(f *reassembly.Flow, n int) string {
	whole := displayFilter(f)
	at := strings.LastIndex(whole, " && frame.number")
	if len(whole) <= n || at < 0 {
		return whole
	}
	c, s := f.Addr(f.Client), f.Addr(f.Server())
	ip, _, _ := strings.Cut(whole, "=")
	for _, start := range [...]string{
		fmt.Sprintf("%s==%s && tcp.port==%d && tcp.port==%d", ip, c.Addr(), c.Port(), s.Port()),
		fmt.Sprintf("%s==%s && tcp.port==%d", ip, c.Addr(), c.Port()),
		fmt.Sprintf("tcp.port==%d && tcp.port==%d", c.Port(), s.Port()),
		fmt.Sprintf("tcp.port==%d", c.Port()),
	} {
		if len(start)+len(whole)-at <= n {
			return start + whole[at:]
		}
	}
	return whole
}

// lastMark is the last mark of a kind by a side, or nil.
func lastMark(f *reassembly.Flow, s tcp.Side, kind reassembly.MarkKind) *reassembly.Mark {
	for i := len(f.Marks) - 1; i >= 0; i-- {
		if m := &f.Marks[i]; m.Kind == kind && m.Side == s {
			return m
		}
	}
	return nil
}

// markEvidence is a mark with words of its own.
func markEvidence(m *reassembly.Mark, what string) Evidence {
	return Evidence{Ref: m.Ref, At: m.At, Side: m.Side, What: what}
}

// firstMark is the first mark of a kind by a side from a time on, or nil.
func firstMark(f *reassembly.Flow, s tcp.Side, kind reassembly.MarkKind, from int64) *reassembly.Mark {
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == kind && m.Side == s && m.At >= from {
			return m
		}
	}
	return nil
}

// countMarks counts the marks of a kind by a side from a time on.
func countMarks(f *reassembly.Flow, s tcp.Side, kind reassembly.MarkKind, from int64) (n uint32) {
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == kind && m.Side == s && m.At >= from {
			n++
		}
	}
	return n
}
