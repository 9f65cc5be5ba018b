//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
)

// steadily is between two packets: light traffic that never pauses.
const steadily = 20 * time.Millisecond

// soon is how long an answer to a signal may take, on a machine that does other
// things besides.
const soon = 2 * time.Second

// steadyReader is an interface on which a frame arrives each while, the first
// ones in order and then the last again and again.
type steadyReader struct {
	frames  []scenario.Frame
	n       uint64
	stopped atomic.Bool
}

func (r *steadyReader) Next(f *capture.Frame) error {
	if r.stopped.Load() {
		return io.EOF
	}
	time.Sleep(steadily)
	r.n++
	data := r.frames[min(int(r.n), len(r.frames))-1].Data
	*f = capture.Frame{At: time.Now().UnixNano(), Number: r.n, LinkType: 1, Data: data, WireLen: uint32(len(data))}
	return nil
}

func (r *steadyReader) Close() error { return nil }

func (r *steadyReader) input() *input {
	return &input{Reader: r, live: true, infos: func(out []capture.Info) []capture.Info { return append(out, capture.Info{Name: "steady"}) }}
}

// Each of many questions is answered while frames keep coming: the goroutine
// that reads holds its lock at nearly every moment, and must let go of it.
func TestAskedUnderSteadyTraffic(t *testing.T) {
	r := &steadyReader{frames: transcript(t, 0).Frames[:1]}
	cfg, err := parse([]string{"-i", "steady"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: cfg, say: &speaker{w: io.Discard}, turn: newTurn()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := newPass(s, r.input(), nil)
		s.turn.take()
		s.cur = p
		p.read()
		s.cur.analysis.Close()
		s.turn.give()
	}()
	time.Sleep(5 * steadily)
	for n := range 20 {
		answered := make(chan uint64)
		go s.turn.ask(func() {
			if s.cur == nil {
				answered <- 0
				return
			}
			answered <- s.cur.frames
		})
		select {
		case frames := <-answered:
			if frames == 0 {
				t.Errorf("answer %d: nothing is being read", n)
			}
		case <-time.After(soon):
			t.Fatalf("question %d was not answered within %v", n, soon)
		}
	}
	r.stopped.Store(true)
	<-ended
}

// Live findings are looked for when their time has come, although frames keep
// coming.
func TestRaisedUnderSteadyTraffic(t *testing.T) {
	refused, err := scenario.Parse("refused", strings.NewReader("0.000  C > S  S   0:0(0)\n0.010  S > C  R.  0:0(0)  ack 1\n60.0 end\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := &steadyReader{frames: refused.Frames}
	cfg, err := parse([]string{"-i", "steady", "--jsonl", "-"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: cfg, say: &speaker{w: io.Discard}, turn: newTurn()}
	var out bytes.Buffer
	if s.lines, err = openLines(cfg, &out, s.linesFailed); err != nil {
		t.Fatal(err)
	}
	p := newPass(s, r.input(), nil)
	p.raising.Reset(10 * steadily)
	raised := time.AfterFunc(20*steadily, func() { r.stopped.Store(true) })
	defer raised.Stop()
	s.turn.take()
	p.read()
	p.analysis.Close()
	if !strings.Contains(out.String(), `"rule":"connection-refused"`) || !strings.Contains(out.String(), `"provisional":true`) {
		t.Errorf("nothing was raised in %d frames: %s", p.frames, out.String())
	}
}

// once sends a signal once, and waits for what is done about it.
func (c *child) once(t *testing.T, sig os.Signal, done func() bool) {
	t.Helper()
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(soon); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v was not answered within %v", sig, soon)
		}
	}
}

// answers asks a running program for its progress and its reports, each time
// once. It must not have ended.
func (c *child) answers(t *testing.T, doc string) {
	t.Helper()
	for range 3 {
		c.once(t, syscall.SIGUSR1, func() bool {
			line := c.line()
			if strings.Contains(line, "not reading") {
				t.Fatal(line)
			}
			return strings.Contains(line, " packet") // early, of 1
		})
		os.Remove(doc)
		c.once(t, syscall.SIGUSR2, func() bool {
			b, err := os.ReadFile(doc)
			return err == nil && bytes.Contains(b, []byte("### TCP teardown report"))
		})
	}
}

// line is the next one on standard error, "" for none so far.
func (c *child) line() string {
	select {
	case line := <-c.stderr:
		return line
	default:
		return ""
	}
}

// end interrupts the program and expects it to end well.
func (c *child) end(t *testing.T) {
	t.Helper()
	c.Process.Signal(os.Interrupt)
	for range c.stderr {
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}

// lateReader is an interface whose frames waited a minute to be read.
type lateReader struct {
	begin int64
	steps []error // of Next, a second apart
	n     uint64
}

func (r *lateReader) Next(f *capture.Frame) error {
	if r.n == uint64(len(r.steps)) {
		return io.EOF
	}
	err := r.steps[r.n]
	r.n++
	*f = capture.Frame{At: r.begin + int64(r.n)*int64(time.Second), Number: r.n, LinkType: 1}
	return err
}

func (r *lateReader) Close() error { return nil }

// What was captured and has not been read is no silence: the input is known as far
// as it was read, and ends there when the count is reached; or it was stopped, and
// read until then.
func TestLiveBehind(t *testing.T) {
	begin := time.Now().Add(-time.Minute).UnixNano()
	for name, c := range map[string]struct {
		steps   []error
		stopped int64 // seconds behind the beginning
		until   int64 // likewise
	}{
		"count":                       {[]error{nil, nil, nil}, 0, 2},
		"quiet":                       {[]error{nil, capture.ErrIdle, nil, nil}, 0, 3},
		"broken":                      {[]error{nil, capture.ErrIdle}, 0, 2},
		"stopped":                     {[]error{nil}, 20, 20},
		"count before it was stopped": {[]error{nil, nil, nil}, 20, 2},
	} {
		cfg, err := parse([]string{"-i", "late", "-c", "2"})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{cfg: cfg, say: &speaker{w: io.Discard}, turn: newTurn()}
		r := &lateReader{begin: begin, steps: c.steps}
		p := newPass(s, &input{Reader: r, live: true,
			infos: func(out []capture.Info) []capture.Info { return append(out, capture.Info{Name: "late"}) }}, nil)
		p.known = begin // when it was opened
		if c.stopped != 0 {
			s.stopTime.Store(begin + c.stopped*int64(time.Second))
		}
		s.turn.take()
		p.read()
		p.analysis.Close()
		if got := time.Duration(p.end() - begin); got != time.Duration(c.until)*time.Second {
			t.Errorf("%s: the input ends at %v", name, got)
		}
	}
}

func TestSignalsSteadyPipe(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "out.md")
	c := start(t, "--md", doc, "-")
	s := transcript(t, 0)
	if _, err := c.stdin.Write(s.Pcap()); err != nil {
		t.Fatal(err)
	}
	record := scenario.Pcap(s.Frames[:1], 0)[24:]
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(steadily); ; {
			select {
			case <-tick.C:
				c.stdin.Write(record)
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	time.Sleep(10 * steadily)
	c.answers(t, doc)
	close(stop)
	<-stopped
	c.end(t)
}

func TestSignalsSteadyLive(t *testing.T) {
	ns := namespace(t)
	doc, lines := filepath.Join(t.TempDir(), "out.md"), filepath.Join(t.TempDir(), "out.jsonl")
	startIn(t, inside(ns, "steady", os.Args[0]))
	c := startProgram(t, inside(ns, "program", os.Args[0], "-v", "-i", "lo", "--md", doc, "--jsonl", lines))
	c.awaits(t, "listening on lo")
	c.until(t, syscall.SIGUSR1, func() bool { return c.said(" packet") })
	c.answers(t, doc)
	c.end(t)
}

// A live capture says at once, before any packet, that it has begun and where.
func TestLiveBegins(t *testing.T) {
	ns := namespace(t)
	lines := filepath.Join(t.TempDir(), "out.jsonl")
	c := startProgram(t, inside(ns, "program", os.Args[0], "-v", "-i", "lo", "--jsonl", lines, "tcp port 7"))
	c.awaits(t, "lastack: listening on lo, filter 'tcp port 7'")
	if b, err := os.ReadFile(lines); err != nil || !bytes.HasPrefix(b, []byte(`{"type":"meta"`)) || !bytes.HasSuffix(b, []byte("}\n")) {
		t.Errorf("%v, the lines begin %q", err, b)
	}
	c.until(t, syscall.SIGUSR1, func() bool { return c.said(" s: 0 packets, 0 flows, 0 drops") })
	c.end(t)
	if out := c.stdout.String(); !strings.Contains(out, "no packet on lo matched the filter 'tcp port 7'") {
		t.Errorf("the report is\n%s", out)
	}
}
