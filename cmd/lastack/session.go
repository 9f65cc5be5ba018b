package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/report"
)

// session is one run. The turn is of the goroutine that reads and analyses,
// except while that waits for a pipe; it lends it for signals to be answered.
type session struct {
	cfg   *config
	stdin *until
	say   *speaker
	log   *slog.Logger
	print *printer
	lines *lines // nil when not wanted
	pairs []pair // sources found to be twins

	turn  *turn
	cur   *pass // the pass through the input that is under way; nil before
	ended bool  // everything has been read

	piped       bool // an input may let reading wait
	interrupted atomic.Bool
	stopping    atomic.Bool
	in          atomic.Pointer[input] // that is open
	stopTime    atomic.Int64          // when live capture was stopped, ns
	badInput    atomic.Bool           // exit 1
}

// pair is two sources that hold the same traffic.
type pair struct {
	a, b  int
	names [2]string
	apart bool // they were analysed separately
}

// analyse runs the program on its input and answers signals meanwhile.
func analyse(cfg *config, stdin io.Reader, stdout io.Writer, say *speaker) int {
	s := &session{cfg: cfg, say: say, stdin: newUntil(stdin), turn: newTurn(), log: say.logger(cfg.verbose)}
	s.piped = piped(cfg.inputs, stdin)
	s.print = &printer{cfg: cfg, stdout: stdout, clock: clock(cfg), color: colored(cfg, stdout)}
	signals, done := listen()
	defer done()
	code := make(chan int, 1)
	go func() { code <- s.run(stdout) }()
	interrupts := 0
	for {
		select {
		case c := <-code:
			return c
		case sig := <-signals:
			switch sig {
			case askProgress:
				go s.turn.ask(s.progressLine)
			case askReports:
				go s.turn.ask(s.rewrite)
			case hangup: // shell and kernel both send it as a terminal goes: it never quits
				s.interrupt()
			default:
				if interrupts++; interrupts > 1 {
					return exitInterrupted
				}
				s.interrupt()
			}
		}
	}
}

// For how long a pipe is read on after an interrupt: as long as something comes,
// and a limit for all.
const (
	lastWords  = time.Second
	atMost     = 3 * time.Second
	lookedInto = 50 * time.Millisecond
)

// interrupt ends the input, on the first call. Who writes into a pipe has often
// been interrupted with it, and writes what it still holds before it ends.
func (s *session) interrupt() {
	switch {
	case s.interrupted.Swap(true):
	case s.piped:
		go s.runOut()
	default:
		s.stop()
	}
}

// runOut stops the input when nothing comes any more. If it ends before, nothing
// is left to stop.
func (s *session) runOut() {
	begin := time.Now()
	for came, seen := begin, s.arrived(); time.Since(came) < lastWords && time.Since(begin) < atMost; time.Sleep(lookedInto) {
		if n := s.arrived(); n != seen {
			came, seen = time.Now(), n
		}
	}
	s.stop()
}

// arrived counts the octets that have been read. Of standard input alone it is
// known before the input is open.
func (s *session) arrived() int64 {
	n := s.stdin.taken.Load()
	if in := s.in.Load(); in != nil {
		n += in.taken()
	}
	return n
}

// stop ends the input, wherever it comes from.
func (s *session) stop() {
	s.stopTime.CompareAndSwap(0, time.Now().UnixNano())
	s.stopping.Store(true)
	s.stdin.stop()
	if in := s.in.Load(); in != nil {
		in.stop()
	}
}

func clock(cfg *config) report.Clock {
	switch cfg.time {
	case "local":
		return report.Clock{Zone: time.Local}
	case "epoch":
		return report.Clock{Epoch: true}
	case "relative":
		return report.Clock{Relative: true}
	}
	return report.Clock{}
}

// colored decides whether standard output gets colours (https://no-color.org).
func colored(cfg *config, stdout io.Writer) bool {
	switch cfg.color {
	case "always":
		return true
	case "never":
		return false
	}
	return os.Getenv("NO_COLOR") == "" && isTerminal(stdout)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// run analyses the input and writes the reports; the result is the exit code.
func (s *session) run(stdout io.Writer) int {
	for _, o := range s.cfg.outputs() {
		if o.name != "-" && sameFile(o.name, s.cfg.inputs) {
			s.say.error(fmt.Errorf("%s is an input: it would be overwritten", o.name))
			return exitUsage
		}
	}
	if s.cfg.user == "" { // else it is another one who writes them
		if err := s.writable(); err != nil {
			s.say.error(err)
			return exitInput
		}
	}
	filter, err := s.filter()
	if err != nil {
		s.say.error(err)
		return exitUsage
	}
	r, err := s.passes(filter, stdout)
	if r == nil {
		s.say.error(err)
		return exitInput
	}
	if s.lines != nil {
		err = errors.Join(err, s.lines.end(r))
	}
	err = errors.Join(err, s.print.final(r))
	return s.exit(r, err)
}

// writable finds out whether the reports can be written.
func (s *session) writable() error {
	var errs []error
	for _, o := range s.cfg.outputs() {
		errs = append(errs, writable(o))
	}
	return errors.Join(errs...)
}

// filter compiles the filter. Live it is only checked, and the interface does
// the rest.
func (s *session) filter() (*capture.Filter, error) {
	if s.cfg.filter == "" {
		return nil, nil
	}
	f, err := capture.CompileFilter(s.cfg.filter)
	if len(s.cfg.interfaces) > 0 {
		f = nil
	}
	switch {
	case s.cfg.fileHint == "":
	case len(s.cfg.interfaces) > 0:
		s.say.note("%q is a file, but with -i the words after the flags are a filter; files and interfaces are not read in one run",
			s.cfg.fileHint)
	default:
		s.say.note("%q is a file, but with -r the words after the flags are a filter; another file is -r %s",
			s.cfg.fileHint, s.cfg.fileHint)
	}
	return f, err
}

// passes reads the input; again from the beginning when it turns out that two
// of its sources must not be merged.
func (s *session) passes(filter *capture.Filter, stdout io.Writer) (*report.Report, error) {
	for {
		in, err := s.open()
		if err != nil {
			return nil, err
		}
		if s.lines == nil {
			if s.lines, err = openLines(s.cfg, stdout, s.linesFailed); err != nil {
				in.Close()
				return nil, err
			}
		}
		p := newPass(s, in, filter)
		s.turn.take()
		s.cur = p
		stopBar := s.showProgress(p)
		again := p.read()
		stopBar()
		var r *report.Report
		if again {
			p.analysis.Close()
		} else {
			r, err = p.finish()
		}
		s.cur, s.ended = nil, !again
		s.turn.give()
		if err = errors.Join(err, in.Close()); r != nil {
			return r, err
		}
	}
}

// linesFailed ends the run when nobody can read what it was for.
func (s *session) linesFailed(error) {
	if len(s.cfg.outputs()) == 1 {
		s.stop()
	}
}

// open opens the input.
func (s *session) open() (*input, error) {
	s.log.Debug("opening", "files", s.cfg.inputs, "interfaces", s.cfg.interfaces)
	var in *input
	var err error
	if len(s.cfg.interfaces) > 0 {
		if in, err = openLive(s.cfg, s.stop); err == nil && s.cfg.user != "" {
			if err = s.writable(); err != nil {
				in.Close()
			}
		}
	} else {
		in, err = openFiles(s.cfg, s.stdin)
	}
	if err != nil {
		return nil, s.unread(err)
	}
	for i, err := range in.failed {
		in.failed[i] = s.unread(err)
		s.badInput.Store(true)
		s.say.error(in.failed[i])
	}
	for i, info := range in.infos(nil) {
		s.log.Debug("opened", "file", i, "name", info.Name, "format", info.Format, "link_types", info.LinkTypes)
	}
	s.in.Store(in)
	if s.stopping.Load() {
		in.stop()
	}
	return in, nil
}

// unread says of an input that is empty because it was interrupted that nothing
// came.
func (s *session) unread(err error) error {
	if !s.interrupted.Load() || !errors.Is(err, capture.ErrEmpty) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), capture.ErrEmpty.Error(), "nothing was read before the interrupt"))
}

// exit says how the run went: of several codes the first of 1, 4 and 3.
func (s *session) exit(r *report.Report, err error) int {
	if err != nil {
		if !onlyClosedPipes(err) {
			s.say.error(err)
			return exitInput
		}
		s.log.Debug("nobody reads standard output any more")
	}
	switch {
	case s.badInput.Load():
		return exitInput
	case s.cfg.strict && r.Health.Incomplete:
		return exitIncomplete
	case s.cfg.failOn != 0 && r.Tally.Any(s.cfg.failOn):
		return exitFindings
	}
	return exitOK
}

func onlyClosedPipes(err error) bool {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			if !onlyClosedPipes(e) {
				return false
			}
		}
		return true
	}
	return closedPipe(err)
}

// meta is what reports say about the run.
func (s *session) meta() report.Meta {
	return report.Meta{Version: version, Command: append([]string{"lastack"}, s.cfg.args...), Profile: s.cfg.profile, Clock: clock(s.cfg)}
}

// options are those of the analysis.
func (s *session) options() report.Options {
	o := report.Options{
		Profile: s.cfg.profile, MaxFlows: s.cfg.maxFlows, Threads: s.cfg.threads, Rules: s.cfg.rules,
		ListFindings: s.lines != nil, AllFindings: s.cfg.allFindings && (s.lines != nil || s.cfg.text()),
		States: s.lines != nil, Series: s.cfg.csv != "" || s.cfg.prom != "",
	}
	if s.lines != nil {
		o.Flows = s.lines.flowWriter()
	}
	return o
}

// rewrite writes every report that is a file as of now.
func (s *session) rewrite() {
	if s.cur == nil {
		return
	}
	r := s.cur.snapshot()
	if s.lines != nil {
		s.lines.asOf(r)
	}
	if err := s.print.files(r); err != nil {
		s.say.error(err)
	}
}
