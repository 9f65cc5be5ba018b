package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// sources describes the inputs as far as they have been read.
func (p *pass) sources() []report.Source {
	out := make([]report.Source, len(p.infos))
	for i, f := range p.infos {
		out[i] = report.Source{
			Name: f.Name, Format: f.Format, LinkTypes: f.LinkTypes, Snaplen: f.SnapLen,
			Packets: f.Packets, Bytes: uint64(f.Bytes), First: f.First, Last: f.Last, SHA256: f.SHA256,
		}
		if f.Damage != nil {
			out[i].Error = f.Damage.Text
		}
	}
	return out
}

// input is what the reader and the decoder know by now.
func (p *pass) input() report.Input {
	st := p.decoder.Stats()
	in := report.Input{
		Meta: p.s.meta(), Sources: p.sources(), Start: p.first, Packets: p.packets,
		NotTCP: st.NotTCP + st.Fragments + st.Quotes, Undecodable: st.Undecodable, BadChecksums: st.BadChecksums,
		Damaged: len(p.in.failed) > 0, Notes: p.notes, DropsCounted: len(p.infos) > 0,
	}
	if p.filter != nil {
		in.Filter = report.Filter{Expr: p.s.cfg.filter, Read: p.frames, Tagged: p.tagged && p.packets == 0}
	}
	if p.in.live {
		in.Filter.Expr = strings.Join(filters(p.infos), "' or '")
		in.Listened = max(1, p.now()-p.opened.UnixNano())
	}
	for _, err := range p.in.failed {
		in.Notes = append(in.Notes, report.Note{Text: err.Error(), File: -1})
	}
	for _, t := range p.s.pairs {
		in.Notes = append(in.Notes, report.Note{Text: t.String(), File: -1})
	}
	for i := range p.infos {
		p.sourceNotes(&in, i, &p.infos[i])
	}
	in.Notes = append(in.Notes, decoderNotes(&st)...)
	return in
}

// filters are those that the interfaces have.
func filters(infos []capture.Info) (out []string) {
	for i := range infos {
		if f := infos[i].Filter; !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// sourceNotes adds the remarks on one source.
func (p *pass) sourceNotes(in *report.Input, file int, f *capture.Info) {
	note := func(frame uint64, format string, args ...any) {
		n := report.Note{Text: fmt.Sprintf(format, args...), File: file}
		if frame > 0 {
			n.Ref = tcp.Ref(file, frame)
		}
		in.Notes = append(in.Notes, n)
	}
	in.KernelDrops += f.Drops
	in.DropsCounted = in.DropsCounted && f.Counted
	if f.Drops > 0 && len(p.infos) > 1 {
		note(0, "%s dropped here", report.Plural(f.Drops, "packet was", "packets were"))
	}
	if f.Damage != nil {
		in.Damaged = true
		note(f.Damage.Frame, "%s", f.Damage.Text)
	}
	if f.Untimed > 0 {
		note(0, "%s no time of their own", report.Plural(f.Untimed, "packet has", "packets have"))
	}
}

// decoderNotes says why frames could not be used.
func decoderNotes(st *decode.Stats) []report.Note {
	var out []report.Note
	add := func(list []decode.Reason, one, many string) {
		for _, r := range list {
			out = append(out, report.Note{
				Text: fmt.Sprintf("%s not used: %s", report.Plural(r.Count, one, many), r.Name),
				File: r.First.File(), Ref: r.First,
			})
		}
	}
	add(st.Reasons, "frame", "frames")
	add(st.Incomplete, "IP fragment", "IP fragments")
	return out
}
