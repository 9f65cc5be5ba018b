package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// showProgress says what is listened to. When standard error is a terminal it
// shows how much of the files has been read, or what came so far. The result takes
// that away.
func (s *session) showProgress(p *pass) (stop func()) {
	if p.in.live {
		s.listening(p)
	}
	switch {
	case s.cfg.quiet || !isTerminal(s.say.w):
	case p.in.live && !(s.cfg.jsonl == "-" && isTerminal(s.print.stdout)): // where it would stand between lines
		return s.showLive(p)
	case p.in.progress != nil:
		return s.showBar(p)
	}
	return func() {}
}

// showBar shows how much of files has been read, where their size is known.
func (s *session) showBar(p *pass) (stop func()) {
	_, size := p.in.progress()
	if size == 0 {
		return func() {}
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(s.say.w), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("lastack"), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
	still := every(200*time.Millisecond, func() {
		read, _ := p.in.progress()
		s.say.draw(func() { bar.Set64(min(read, size)) }, func() { bar.Clear() })
	})
	return func() {
		still()
		s.say.draw(func() { bar.Finish() }, nil)
	}
}

// showLive shows what came so far, in one line.
func (s *session) showLive(p *pass) (stop func()) {
	const most = 79 // a longer line would not be rewritten in place
	erase := func() { fmt.Fprint(s.say.w, "\r\x1b[K") }
	still := every(time.Second, func() {
		var line string
		s.turn.ask(func() { line = "lastack: " + report.Printable(p.soFar()) })
		s.say.draw(func() {
			erase()
			fmt.Fprintf(s.say.w, "%.*s", most, line)
		}, erase)
	})
	return func() {
		s.turn.give() // a call may wait for it
		still()
		s.turn.take()
		s.say.draw(erase, nil)
	}
}

// every calls f again and again until it is stopped; then no call is under way.
func every(d time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f()
			}
		}
	})
	return func() {
		close(done)
		calls.Wait()
	}
}

// listening says where packets are waited for, and which.
func (s *session) listening(p *pass) {
	theDefault := ""
	if s.cfg.filter == "" {
		theDefault = " (the default)"
	}
	for i := range p.infos {
		s.say.note("listening on %s, filter '%s'%s", p.infos[i].Name, p.infos[i].Filter, theDefault)
	}
}

// draw draws below what is said, and keeps how to take it away for the next
// thing that is.
func (s *speaker) draw(show, erase func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	show()
	s.erase = erase
}

// progressLine says how far the analysis is.
func (s *session) progressLine() {
	p := s.cur
	switch {
	case p == nil && s.ended:
		s.say.say("everything has been read; the reports are being written")
		return
	case p == nil:
		s.say.say("not reading yet")
		return
	}
	s.say.say("%s", p.soFar())
}

// soFar says how far the pass is.
func (p *pass) soFar() string {
	if p.in.live {
		return p.heard()
	}
	if p.packets == 0 {
		of := ""
		if p.filter != nil {
			of = " that match of " + report.Count(p.frames)
		}
		return "0 packets" + of
	}
	of := ""
	if p.in.progress != nil {
		if read, size := p.in.progress(); size > 0 {
			of = ", " + report.Count(uint64(min(100, 100*read/size))) + "% read"
		}
	}
	return p.counts() + ", at " + report.Clock{}.Range(p.first, p.last) + of
}

// heard says what came from interfaces.
func (p *pass) heard() string {
	var names []string
	drops := uint64(0)
	for i := range p.infos {
		names = append(names, p.infos[i].Name)
		drops += p.infos[i].Drops
	}
	return fmt.Sprintf("%s, %s: %s, %s", strings.Join(names, ", "), diagnose.Span(int64(time.Since(p.opened).Truncate(time.Second))),
		p.counts(), report.Plural(drops, "drop", "drops"))
}

// counts is how many packets and flows there are.
func (p *pass) counts() string {
	return report.Plural(p.packets, "packet", "packets") + ", " + report.Plural(p.analysis.Flows(), "flow", "flows")
}
