package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"github.com/lastack/lastack/report"
)

// speaker writes to standard error, a line at a time and each with the
// program's name. Its methods may be called from any goroutine.
type speaker struct {
	w     io.Writer
	quiet bool

	mu    sync.Mutex
	erase func() // removes the progress line, if there is one
}

// error says what failed; a joined error takes a line for each.
func (s *speaker) error(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		s.plain("lastack: " + report.Printable(line))
	}
}

// note remarks on something that is no failure.
func (s *speaker) note(format string, args ...any) {
	if !s.quiet {
		s.say(format, args...)
	}
}

// say answers what was asked for, quiet or not.
func (s *speaker) say(format string, args ...any) {
	s.plain("lastack: " + report.Printable(fmt.Sprintf(format, args...)))
}

func (s *speaker) plain(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.erase != nil {
		s.erase()
	}
	fmt.Fprintln(s.w, line)
}

// Write takes a line of the log.
func (s *speaker) Write(p []byte) (int, error) {
	s.plain("lastack: " + strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// logger logs to the speaker what is being done, or with verbose false nothing.
func (s *speaker) logger(verbose bool) *slog.Logger {
	if !verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// closedPipe reports whether a write failed because nobody reads on.
func closedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
