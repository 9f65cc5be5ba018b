//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastack/lastack/internal/scenario"
)

// transcript is a leak and n connections that nobody answers.
func transcript(t *testing.T, n int) *scenario.Scenario {
	t.Helper()
	var b strings.Builder
	b.WriteString(`0.000  C > S  S   0:0(0)
0.010  S > C  S.  0:0(0)      ack 1
0.010  C > S  .   1:1(0)      ack 1
1.000  C > S  F.  1:1(0)      ack 1
1.010  S > C  .   1:1(0)      ack 2
`)
	for i := range n {
		fmt.Fprintf(&b, "%d.5  C:%d > S  S  0:0(0)\n", 60+i/1000, 1024+i)
	}
	s, err := scenario.Parse("signals", strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A pipe that stays open: the analysis says how far it is, writes its reports
// as of now, and ends when it is told to.
func TestSignals(t *testing.T) {
	dir := t.TempDir()
	lines, doc := filepath.Join(dir, "out.jsonl"), filepath.Join(dir, "out.md")
	table, metrics := filepath.Join(dir, "out.csv"), filepath.Join(dir, "out.prom")
	c := start(t, "--jsonl", lines, "--csv", table, "--prom", metrics, "--md", doc, "-")
	if _, err := c.stdin.Write(transcript(t, 3).Pcap()); err != nil {
		t.Fatal(err)
	}
	c.until(t, syscall.SIGUSR1, func() bool { return c.said("lastack: 8 packets, 4 flows, at 2024-03-01 12:00:00-12:01:00 UTC") })

	c.until(t, syscall.SIGUSR2, func() bool {
		b, err := os.ReadFile(doc)
		return err == nil && bytes.Contains(b, []byte("fin-unanswered"))
	})
	c.until(t, syscall.SIGUSR2, func() bool { // the last of the files
		b, err := os.ReadFile(metrics)
		return err == nil && bytes.Contains(b, []byte(`lastack_sockets{host="*",state="FIN_WAIT_2"} 1`))
	})
	if b, err := os.ReadFile(table); err != nil || !bytes.Contains(b, []byte("\n2024-03-01T12:01:00.500000000Z,*,1,0,1,3,0,0,0,1,1,0,0,0,")) {
		t.Errorf("the series as of now: %v\n%s", err, b)
	}
	b, err := os.ReadFile(lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"states", "health", "summary"} {
		if !strings.Contains(string(b), `{"type":"`+kind) || !strings.Contains(string(b), `"as_of":"2024-03-01T12:01:00.500000000Z"`) {
			t.Errorf("no %s as of now in\n%s", kind, b)
		}
	}
	if bytes.Contains(b, []byte(`"type":"flow"`)) {
		t.Error("a flow is finalised although the input goes on")
	}

	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range c.stderr { // to its end
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if out := c.stdout.String(); !strings.HasPrefix(out, "lastack: -  8 packets  4 flows") {
		t.Errorf("the report begins %.80q", out)
	}
	b, err = os.ReadFile(lines)
	if err != nil || bytes.Count(b, []byte(`"type":"flow"`)) != 4 || bytes.Count(b, []byte(`"type":"meta"`)) != 1 {
		t.Errorf("%v, %s", err, b)
	}
}

// Who reads the flows of a pipe along need not wait for many of them.
func TestFlowsOfAPipeAreReadAlong(t *testing.T) {
	s, err := scenario.Parse("along", strings.NewReader(`0.000  C > S    S   0:0(0)
0.010  S > C    S.  0:0(0)  ack 1
0.010  C > S    .   1:1(0)  ack 1
1.000  C > S    R   1:1(0)
200    C:9 > S  S   0:0(0)
202    C:9 > S  S   0:0(0)
`))
	if err != nil {
		t.Fatal(err)
	}
	lines := filepath.Join(t.TempDir(), "out.jsonl")
	c := start(t, "--jsonl", lines, "-")
	if _, err := c.stdin.Write(s.Pcap()); err != nil {
		t.Fatal(err)
	}
	c.until(t, syscall.SIGUSR1, func() bool {
		b, err := os.ReadFile(lines)
		return err == nil && bytes.Contains(b, []byte(`{"type":"flow","id":"0:1"`)) && bytes.HasSuffix(b, []byte("}\n"))
	})
	c.end(t)
}

// What is compressed can be read as of now, and whole at the end.
func TestSignalsCompressed(t *testing.T) {
	for _, name := range []string{"out.jsonl.gz", "out.jsonl.zst"} {
		lines := filepath.Join(t.TempDir(), name)
		c := start(t, "--jsonl", lines, "-")
		if _, err := c.stdin.Write(transcript(t, 3).Pcap()); err != nil {
			t.Fatal(err)
		}
		soFar := func() (string, error) {
			f, err := os.Open(lines)
			if err != nil {
				return "", err
			}
			defer f.Close()
			b, err := unpacking(name, f)
			return string(b), err
		}
		c.until(t, syscall.SIGUSR2, func() bool {
			s, _ := soFar() // which ends too early
			return strings.Contains(s, `"as_of":"2024-03-01T12:01:00.500000000Z"`) && strings.HasSuffix(s, "}\n")
		})
		c.end(t)
		if s, err := soFar(); err != nil || strings.Count(s, `"type":"flow"`) != 4 || strings.Count(s, `"type":"meta"`) != 1 {
			t.Errorf("%s: %v in\n%s", name, err, s)
		}
	}
}

// An interrupt before the first byte of a pipe ends the program as well, and is
// not taken for an empty file.
func TestInterruptBeforeInput(t *testing.T) {
	c := start(t, "-")
	c.until(t, syscall.SIGUSR1, func() bool { return c.said("not reading") })
	c.Process.Signal(syscall.SIGTERM)
	var said []string
	for line := range c.stderr {
		said = append(said, line)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInput {
		t.Errorf("ended with %v", err)
	}
	if n := len(said); n == 0 || said[n-1] != "lastack: standard input: nothing was read before the interrupt" {
		t.Errorf("it said %q", said)
	}
}

// Who writes into the pipe gets the same interrupt, and only then writes what it
// has: that belongs to the input.
func TestInterruptOfAPipe(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		name := "-"
		if fifo {
			name = filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(name, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, early := range []bool{false, true} { // the interrupt comes before the first octet
			s := transcript(t, 3)
			c := start(t, name)
			w := c.stdin
			if fifo {
				f, err := os.OpenFile(name, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				w = f
			}
			rest := s.Pcap()
			if !early {
				w.Write(rest[:24+100])
				rest = rest[24+100:]
				c.until(t, syscall.SIGUSR1, func() bool { return c.said(" packet") })
			}
			c.Process.Signal(os.Interrupt)
			for len(rest) > 0 {
				time.Sleep(100 * time.Millisecond)
				n := min(len(rest), 250)
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			w.Close()
			closed := time.Now()
			for range c.stderr {
			}
			if err := c.Wait(); err != nil || !strings.Contains(c.stdout.String(), "  8 packets  4 flows") {
				t.Errorf("FIFO %v, early %v: %v, the report is %.200q", fifo, early, err, c.stdout.String())
			}
			if took := time.Since(closed); took > soon {
				t.Errorf("the pipe was closed, and the report came %v later", took)
			}
		}
	}
}

// Of a pipe that goes on and on no more is read than for a short while, and a
// second interrupt does not wait.
func TestInterruptOfAPipeThatGoesOn(t *testing.T) {
	for signals, want := range []int{1: exitOK, 2: exitInterrupted} {
		if signals == 0 {
			continue
		}
		c := start(t, "-")
		s := transcript(t, 0)
		record := scenario.Pcap(s.Frames[:1], 0)[24:]
		if _, err := c.stdin.Write(s.Pcap()); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := c.stdin.Write(record); err != nil {
					return
				}
				time.Sleep(steadily)
			}
		}()
		c.until(t, syscall.SIGUSR1, func() bool { return c.said(" packets, ") })
		begin := time.Now()
		for range signals {
			c.Process.Signal(os.Interrupt)
			time.Sleep(10 * steadily)
		}
		for range c.stderr {
		}
		c.Wait()
		took := time.Since(begin)
		if code := c.ProcessState.ExitCode(); code != want || took > atMost+soon || signals == 2 && took > soon {
			t.Errorf("%d interrupts: exit %d after %v", signals, code, took)
		}
	}
}

// A terminal that is closed leaves a report, however often that is said; and
// nothing happens where it is to be ignored.
func TestHangup(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored here, and so by what is started")
	}
	doc := filepath.Join(t.TempDir(), "out.md")
	begin := func(c *child) {
		t.Helper()
		if _, err := c.stdin.Write(transcript(t, 3).Pcap()); err != nil {
			t.Fatal(err)
		}
		c.until(t, syscall.SIGUSR1, func() bool { return c.said(" packets, ") })
		c.Process.Signal(syscall.SIGHUP)
		time.Sleep(100 * time.Millisecond)
		c.Process.Signal(syscall.SIGHUP)
	}
	c := start(t, "--md", doc, "-")
	begin(c)
	for range c.stderr {
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after a hangup: %v", err)
	}
	if b, err := os.ReadFile(doc); err != nil || !bytes.Contains(b, []byte("fin-unanswered")) {
		t.Errorf("%v, %s", err, b)
	}
	c = startProgram(t, exec.Command("sh", "-c", "trap '' HUP; exec lastack -v -"))
	begin(c)
	time.Sleep(lastWords + soon)
	c.once(t, syscall.SIGUSR1, func() bool { return c.said(" packets, ") })
	c.end(t)
}

// The second interrupt quits, whatever is still to be written.
func TestSecondInterrupt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "many.pcap")
	if err := os.WriteFile(file, transcript(t, 3000).Pcap(), 0o666); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("lastack", "--jsonl", "-", file)
	out, err := c.StdoutPipe() // of which only the beginning is read
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan *os.ProcessState, 1)
	go func() {
		state, _ := c.Process.Wait()
		ended <- state
	}()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		c.Process.Signal(os.Interrupt)
		select {
		case state := <-ended:
			if state.ExitCode() != exitInterrupted {
				t.Errorf("ended with %v", state)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("still running")
}

// When nobody reads standard output any more, the program ends quietly.
func TestClosedPipe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "many.pcap")
	if err := os.WriteFile(file, transcript(t, 3000).Pcap(), 0o666); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("lastack", "--jsonl", "-", file)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if err := c.Wait(); err != nil || errs.Len() > 0 {
		t.Errorf("ended with %v and said %q", err, errs.String())
	}
}
