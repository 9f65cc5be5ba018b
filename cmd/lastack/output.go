package main

import (
	"errors"
	"io"
	"os"

	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/csv"
	"github.com/lastack/lastack/report/jsonl"
	"github.com/lastack/lastack/report/md"
	"github.com/lastack/lastack/report/prom"
	"github.com/lastack/lastack/report/text"
)

// lines is the JSON-lines report, written as the analysis goes on. Until the
// first flow nothing is written, so that a run may begin anew.
type lines struct {
	stream *jsonl.Stream
	file   *os.File // nil on standard output
	pack   packer   // between the stream and either
	meta   func() error
	begun  bool
	prompt bool        // somebody may be reading along
	failed func(error) // is told once when writing fails
	err    error
}

// openLines opens the report; nil when none is wanted.
func openLines(cfg *config, stdout io.Writer, failed func(error)) (*lines, error) {
	l := &lines{failed: failed}
	switch cfg.jsonl {
	case "":
		return nil, nil
	case "-":
		l.pack = asIs(stdout)
		l.stream = jsonl.New(l.pack)
		return l, nil
	}
	f, err := os.Create(cfg.jsonl)
	if err != nil {
		return nil, unwritten(cfg.jsonl, err)
	}
	if l.pack, err = packed(cfg.jsonl, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l.file, l.stream = f, jsonl.New(l.pack)
	return l, nil
}

// restart forgets what was written; false when that is not possible.
func (l *lines) restart() bool {
	if !l.begun {
		return true
	}
	if l.file == nil || l.file.Truncate(0) != nil {
		return false
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return false
	}
	l.pack.Reset(l.file)
	l.stream, l.begun = jsonl.New(l.pack), false
	return true
}

func (l *lines) begin() {
	if !l.begun {
		l.begun = true
		l.note(l.meta())
	}
}

func (l *lines) note(err error) {
	if err != nil && l.err == nil {
		l.err = err
		l.failed(err)
	}
}

// AppendFlow makes report.FlowWriter of it.
func (l *lines) flowWriter() report.FlowWriter { return flowWriter{l.stream, l} }

type flowWriter struct {
	*jsonl.Stream
	l *lines
}

// Write writes flows, behind the first line.
func (w flowWriter) Write(p []byte) (int, error) {
	w.l.begin()
	n, err := w.Stream.Write(p)
	w.l.note(err)
	return n, err
}

// Flush follows the flows of a second. Compressed data would suffer from it.
func (w flowWriter) Flush() error {
	if _, plain := w.l.pack.(*unpacked); w.l.prompt && plain {
		w.l.flush()
	}
	return w.l.err
}

// asOf writes a snapshot's lines.
func (l *lines) asOf(r *report.Report) {
	l.begin()
	l.note(l.stream.AsOf(r))
	l.flush()
}

// raise writes the findings of a snapshot that are new.
func (l *lines) raise(r *report.Report) {
	l.begin()
	l.note(l.stream.Raise(r))
	l.flush()
}

// flush makes what was written so far readable.
func (l *lines) flush() { l.note(l.pack.Flush()) }

// end writes what follows the flows.
func (l *lines) end(r *report.Report) error {
	l.begin()
	l.note(l.stream.End(r))
	l.note(l.pack.Close())
	if l.file != nil {
		l.note(l.file.Close())
	}
	return l.err
}

// printer writes the reports that are written whole.
type printer struct {
	cfg    *config
	stdout io.Writer
	clock  report.Clock
	color  bool
}

// final writes every report but the JSON lines.
func (p *printer) final(r *report.Report) error {
	err := p.files(r)
	for _, w := range p.whole() {
		if w.name == "-" {
			return errors.Join(err, w.write(p.stdout, r))
		}
	}
	if p.cfg.jsonl == "-" {
		return err
	}
	o := text.Options{Clock: p.clock, Color: p.color, All: p.cfg.allFindings, SHA256: p.cfg.sha256}
	return errors.Join(err, text.Write(p.stdout, r, o))
}

// whole is a report that is written at once, and its file.
type whole struct {
	name  string
	write func(io.Writer, *report.Report) error
}

// whole lists them; the name is empty where one is not asked for.
func (p *printer) whole() []whole {
	return []whole{
		{p.cfg.md, func(w io.Writer, r *report.Report) error { return md.Write(w, r, p.clock) }},
		{p.cfg.csv, csv.Write},
		{p.cfg.prom, prom.Write},
	}
}

// files writes the reports that are files, each whatever becomes of the others.
func (p *printer) files(r *report.Report) (err error) {
	for _, o := range p.whole() {
		if o.name != "" && o.name != "-" {
			err = errors.Join(err, unwritten(o.name, replace(o.name, func(w io.Writer) error {
				pack, err := packed(o.name, w)
				if err != nil {
					return err
				}
				return errors.Join(o.write(pack, r), pack.Close())
			})))
		}
	}
	return err
}
