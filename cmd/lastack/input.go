package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastack/lastack/reassembly/capture"
)

// input is where frames come from: files or interfaces.
type input struct {
	capture.Reader
	stop     func()
	infos    func([]capture.Info) []capture.Info // appends what is known of the sources
	progress func() (read, size int64)           // size 0 when unknown; nil when live
	taken    func() int64                        // octets read by now, from any goroutine; nil when live
	alone    func() bool                         // no other source than the latest frame's is being read; nil when live
	damaged  func() int                          // sources that have ended before their time
	live     bool
	until    *time.Timer // stops a live capture at --until; nil where none is given
	// pipe: Next may wait for long, with nobody to wake it.
	pipe bool
	// again: the input can be opened a second time.
	again bool
	// failed are the errors of what could not be opened.
	failed []error
}

// openFiles opens captures. The error is nil as long as one could be opened;
// the others stand in failed.
func openFiles(cfg *config, stdin io.Reader) (*input, error) {
	sources, err := capture.OpenAll(cfg.inputs, capture.Options{Stdin: stdin, SHA256: cfg.hashed()})
	if len(sources) == 0 {
		return nil, err
	}
	m := capture.Merge(sources...)
	in := &input{Reader: m, stop: m.Stop, damaged: m.Damaged, again: true}
	if err != nil {
		in.failed = unjoin(err)
	}
	for _, name := range cfg.inputs {
		if st, err := os.Stat(name); name == "-" || err != nil || !st.Mode().IsRegular() {
			in.pipe, in.again = true, false
		}
	}
	in.infos = func(out []capture.Info) []capture.Info {
		for _, s := range m.Sources() {
			out = append(out, s.Info())
		}
		return out
	}
	in.alone = m.Alone
	in.taken = func() (n int64) {
		for _, s := range m.Sources() {
			read, _ := s.Progress()
			n += read
		}
		return n
	}
	in.progress = func() (read, size int64) {
		for _, s := range m.Sources() {
			r, n := s.Progress()
			if n == 0 {
				return read, 0
			}
			read, size = read+r, size+n
		}
		return read, size
	}
	return in, nil
}

// unjoin takes a joined error apart.
func unjoin(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// openLive begins to capture. It calls stop when the time is over.
func openLive(cfg *config, stop func()) (*input, error) {
	names, err := numbered(cfg.interfaces)
	if err != nil {
		return nil, err
	}
	l, err := capture.OpenLive(names, capture.LiveOptions{
		Snaplen: cfg.snaplen, BufferKiB: cfg.buffer, NoPromiscuous: cfg.noPromiscuous, Filter: cfg.filter,
	})
	if err != nil {
		return nil, err
	}
	if cfg.user != "" {
		if err := become(cfg.user); err != nil {
			l.Close()
			return nil, fmt.Errorf("-Z %s: %w", cfg.user, err)
		}
	}
	if cfg.duration > 0 {
		time.AfterFunc(cfg.duration, stop)
	}
	in := &input{Reader: l, stop: l.Stop, damaged: l.Damaged, live: true,
		infos: func(out []capture.Info) []capture.Info { return append(out, l.Infos()...) }}
	if now := time.Now(); cfg.until.kind != 0 {
		if end := cfg.until.next(now); end != 0 {
			in.until = time.AfterFunc(time.Duration(end-now.UnixNano()), stop)
		}
	}
	return in, nil
}

// numbered puts names in the place of numbers from the list that -D prints, as
// tcpdump does: an interface that really is named so comes first.
func numbered(names []string) ([]string, error) {
	if !slices.ContainsFunc(names, isNumber) {
		return names, nil
	}
	list, err := capture.Interfaces()
	if err != nil {
		return names, nil // to open them says it better
	}
	names = slices.Clone(names)
	for i, name := range names {
		if !isNumber(name) || slices.ContainsFunc(list, func(f capture.Interface) bool { return f.Name == name }) {
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 1 || n > len(list) {
			return nil, fmt.Errorf("%s: there is no interface of that name or number; -D lists %d", name, len(list))
		}
		names[i] = list[n-1].Name
	}
	return names, nil
}

// isNumber reports whether a name is digits alone.
func isNumber(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

// piped reports whether one of the inputs is a pipe, or another thing that may
// let a reader wait.
func piped(inputs []string, stdin io.Reader) bool {
	return slices.ContainsFunc(inputs, func(name string) bool {
		st, err := os.Stat(name)
		if f, ok := stdin.(*os.File); name == "-" && ok {
			st, err = f.Stat()
		}
		return err == nil && !st.Mode().IsRegular()
	})
}

// until reads r until it is stopped, also while a read waits.
type until struct {
	r       io.Reader
	taken   atomic.Int64 // octets
	stopped chan struct{}
	once    sync.Once
	results chan result
	buf     []byte
}

type result struct {
	n   int
	err error
}

func newUntil(r io.Reader) *until {
	return &until{r: r, stopped: make(chan struct{}), results: make(chan result, 1)}
}

// Read reads on; io.EOF once it is stopped.
func (u *until) Read(p []byte) (int, error) {
	if len(u.buf) < len(p) {
		u.buf = make([]byte, len(p))
	}
	buf := u.buf[:len(p)]
	go func() {
		n, err := u.r.Read(buf)
		u.results <- result{n, err}
	}()
	select {
	case r := <-u.results:
		u.taken.Add(int64(r.n))
		return copy(p, buf[:r.n]), r.err
	case <-u.stopped:
		u.buf = nil // it belongs to the read that still waits
		return 0, io.EOF
	}
}

func (u *until) stop() { u.once.Do(func() { close(u.stopped) }) }

// sameFile reports whether a report would overwrite an input.
func sameFile(report string, inputs []string) bool {
	st, err := os.Stat(report)
	return err == nil && slices.ContainsFunc(inputs, func(name string) bool {
		in, err := os.Stat(name)
		return err == nil && os.SameFile(st, in) && st.Mode().IsRegular()
	})
}

// listInterfaces prints what -i takes.
func listInterfaces(stdout io.Writer, say *speaker) int {
	list, err := capture.Interfaces()
	if err != nil {
		say.error(err)
		return exitInput
	}
	var errs []error
	for i, f := range list {
		line := fmt.Sprintf("%d. %s", i+1, f.Name)
		if f.Description != "" {
			line += " (" + f.Description + ")"
		}
		for _, a := range f.Addresses {
			line += " " + a.String()
		}
		for _, w := range []struct {
			is   bool
			word string
		}{{f.Up, "up"}, {f.Running, "running"}, {f.Loopback, "loopback"}} {
			if w.is {
				line += " " + w.word
			}
		}
		_, err := fmt.Fprintln(stdout, line)
		errs = append(errs, err)
	}
	return printed(0, errors.Join(errs...))
}
