package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/lastack/lastack/report"
)

// showProgress shows how much of the files has been read, when standard error
// is a terminal. The result takes the bar away.
func (s *session) showProgress(p *pass) (stop func()) {
	if s.cfg.quiet || p.in.progress == nil || !isTerminal(s.say.w) {
		return func() {}
	}
	_, size := p.in.progress()
	if size == 0 {
		return func() {}
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(s.say.w), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("lastack"), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true))
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				read, _ := p.in.progress()
				s.say.draw(func() { bar.Set64(min(read, size)) }, func() { bar.Clear() })
			}
		}
	})
	return func() {
		close(done)
		drawing.Wait()
		s.say.draw(func() { bar.Finish() }, nil)
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
	if p.packets == 0 {
		of := ""
		if p.filter != nil {
			of = " that match of " + report.Count(p.frames)
		}
		s.say.say("0 packets%s", of)
		return
	}
	of := ""
	if p.in.progress != nil {
		if read, size := p.in.progress(); size > 0 {
			of = ", " + report.Count(uint64(min(100, 100*read/size))) + "% read"
		}
	}
	s.say.say("%s, %s, at %s%s", report.Plural(p.packets, "packet", "packets"),
		report.Plural(p.analysis.Flows(), "flow", "flows"), report.Clock{}.Range(p.first, p.last), of)
}
