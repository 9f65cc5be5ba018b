package jsonl

import (
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// finding appends the line of a finding, with its newline. There can be as many
// as flows, and nothing else is done while they are written.
func (b line) finding(d *diagnose.Finding, provisional bool, c *clock) line {
	b = b.cause(`{"type":"finding","rule":`, d.Rule, d.Severity, d.Confidence, d.Who)
	switch {
	case d.Flow != 0:
		b = b.raw(`,"flow":"`).id(d.Flow).raw(`"`)
	default:
		if len(d.Flows) > 0 {
			b = b.ids(`,"flows":[`, d.Flows)
		}
		if d.Service.IsValid() {
			b = d.Service.AppendTo(b.raw(`,"service":"`))
			b = b.raw(`"`)
		} else if d.Client.IsValid() {
			b = d.Client.Addr().AppendTo(b.raw(`,"host":"`))
			b = b.raw(`"`)
		}
	}
	b = b.time(`,"time":`, c, d.Time)
	if d.Duration != 0 {
		b = b.int(`,"duration_ns":`, d.Duration)
	}
	b = b.bool(`,"censored":`, d.Censored).text(`,"verdict":`, d.Verdict).raw(`,"evidence":[`)
	client := report.ClientSide(d)
	for i := range d.Evidence {
		b = b.evidence(&d.Evidence[i], client, c)
	}
	b = b.noComma().raw("]")
	if d.Wireshark != "" {
		b = b.text(`,"wireshark":`, d.Wireshark)
	}
	if d.LoweredBy != 0 {
		b = b.qualities(`,"lowered_by":[`, d.LoweredBy).raw("]")
	}
	if provisional {
		b = b.raw(`,"provisional":true`)
	}
	return b.raw("}\n")
}

// cause is what findings and groups begin with.
func (b line) cause(k, rule string, s diagnose.Severity, c diagnose.Confidence, who diagnose.Party) line {
	b = b.text(k, rule).raw(`,"severity":"`).raw(s.String()).raw(`","confidence":"`).raw(c.String())
	return b.raw(`","who":"`).raw(who.String()).raw(`"`)
}

// evidence ends in a comma.
func (b line) evidence(e *diagnose.Evidence, client tcp.Side, c *clock) line {
	b = b.packet(`{"packet":{"file":`, e.Ref).time(`},"time":`, c, e.At)
	if e.Side != 0 {
		b = b.raw(`,"endpoint":"`).raw(string(endpoint(e.Side, client))).raw(`"`)
	}
	return b.text(`,"what":`, e.What).raw("},")
}

// ids lists flows.
func (b line) ids(k string, flows []tcp.PacketRef) line {
	b = b.raw(k)
	for _, f := range flows {
		b = b.raw(`"`).id(f).raw(`",`)
	}
	return b.noComma().raw("]")
}

// qualities lists the reasons, without the closing bracket.
func (b line) qualities(k string, q reassembly.Quality) line {
	b = b.raw(k)
	for i, name := range qualityNames {
		if q&(1<<i) != 0 {
			b = b.raw(name)
		}
	}
	return b.noComma()
}

// qualityNames are the reasons in their order, in quotes and each with a comma.
var qualityNames = func() (out []string) {
	for _, name := range reassembly.Quality(^reassembly.Quality(0)).Names() {
		out = append(out, `"`+name+`",`)
	}
	return out
}()

// group appends the line of a group, with its newline.
func (b line) group(g *report.Group, c *clock) line {
	b = b.cause(`{"type":"group","rule":`, g.Rule, g.Severity, g.Confidence, g.Who)
	if g.Service.IsValid() {
		b = g.Service.AppendTo(b.raw(`,"service":"`))
		b = b.raw(`"`)
	}
	b = b.num(`,"count":`, g.Count).ids(`,"flows":[`, g.Flows)
	b = b.time(`,"first":`, c, g.First).time(`,"last":`, c, g.Last).text(`,"verdict":`, g.Verdict)
	clients, _ := g.Clients()
	b = b.some(`,"clients":`, int64(clients)).some(`,"longest_ns":`, g.Longest)
	b = b.some(`,"still_open":`, int64(g.StillOpen)).some(`,"oldest_ns":`, g.Oldest)
	if p := g.Pace; p != nil {
		b = b.float(`,"per_minute_first":`, p.First).float(`,"per_minute_last":`, p.Last)
	}
	if len(g.Remarks) > 0 {
		b = b.raw(`,"remarks":[`)
		for _, remark := range g.Remarks {
			b = b.text("", remark).raw(",")
		}
		b = b.noComma().raw("]")
	}
	return b.raw("}\n")
}
