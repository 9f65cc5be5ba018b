//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// child is a running lastack that listens to signals: until then they would end
// it.
type child struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout bytes.Buffer
	stderr chan string // lines
}

func start(t *testing.T, args ...string) *child {
	t.Helper()
	return startProgram(t, exec.Command("lastack", append([]string{"-v"}, args...)...))
}

// startProgram starts a command that is lastack -v.
func startProgram(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{Cmd: cmd, stderr: make(chan string, 100)}
	c.Cmd.Stdout = &c.stdout
	var err error
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	go func() {
		for s := bufio.NewScanner(errs); s.Scan(); {
			c.stderr <- s.Text()
		}
		close(c.stderr)
	}()
	c.awaits(t, "msg=opening")
	return c
}

// awaits waits until a line on standard error holds the text.
func (c *child) awaits(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, more := <-c.stderr:
			if !more {
				t.Fatalf("it ended and has not said %q", text)
			}
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("it has not said %q", text)
		}
	}
}

// until sends a signal again and again, until done says that it was answered.
func (c *child) until(t *testing.T, sig os.Signal, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if done() {
			return
		}
	}
	t.Fatalf("%v was not answered", sig)
}

// said reports whether a line on standard error holds the text.
func (c *child) said(text string) bool {
	for {
		select {
		case line := <-c.stderr:
			if strings.Contains(line, text) {
				return true
			}
		case <-time.After(20 * time.Millisecond):
			return false
		}
	}
}
