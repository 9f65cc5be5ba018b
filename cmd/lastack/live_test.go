package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// playPart lets the test program be its own peer: called again with one of
// these in the environment, it plays that part in the namespace and ends.
func playPart() {
	switch os.Getenv("LASTACK_TEST_PART") {
	case "program":
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	case "traffic":
		played(playTraffic())
	case "steady":
		played(playSteady())
	case "forgetful":
		played(playForgetful(os.Args[1]))
	case "leaving":
		played(playLeaving(os.Args[1]))
	}
}

func played(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// namespace makes a network namespace in which one can capture on loopback.
func namespace(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root: no network namespace to capture in")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	if Main([]string{"-D"}, nil, io.Discard, io.Discard) != exitOK {
		t.Skip("built without libpcap: no live capture")
	}
	return addNamespace(t, fmt.Sprintf("lastack-%d-%s", os.Getpid(), t.Name()))
}

func addNamespace(t *testing.T, ns string) string {
	t.Helper()
	mustRun(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { mustRun(t, "ip", "netns", "delete", ns) })
	mustRun(t, "ip", "-n", ns, "link", "set", "lo", "up")
	return ns
}

func inside(ns, part string, args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
	c.Env = append(os.Environ(), "LASTACK_TEST_PART="+part)
	return c
}

// heard is what a program has said on standard error.
type heard struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.String()
}

// await waits until the text was said.
func (h *heard) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(h.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not said", text)
		}
	}
}

// startIn starts a program that ends with the test.
func startIn(t *testing.T, c *exec.Cmd) *heard {
	t.Helper()
	errs := new(heard)
	c.Stderr = errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
		if t.Failed() {
			t.Logf("%s: %s", strings.Join(c.Args, " "), errs)
		}
	})
	return errs
}

// endIn interrupts a program as a user does and waits for its end.
func endIn(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%s: %v", c.Args, err)
	}
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", args, err, out)
	}
}

// playSteady sends an octet each while over one connection, for a minute at
// most.
func playSteady() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := c.Write([]byte{0}); err != nil {
			return err
		}
	}
	return nil
}

// playForgetful answers an octet of each client and never closes, for a minute at
// most.
func playForgetful(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(os.Stderr, "waiting for clients")
	var open []net.Conn
	for {
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("%d clients: %w", len(open), err)
		}
		open = append(open, c)
		if _, err := io.CopyN(c, c, 1); err != nil {
			return err
		}
	}
}

// playLeaving is a client that gets an answer and closes.
func playLeaving(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte{0}); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return err
	}
	return c.Close()
}

// What was open on an interface that vanishes, while others are captured, is not
// watched any more, and the user hears of it at once.
func TestInterfaceVanishes(t *testing.T) {
	ns := namespace(t)
	peer := addNamespace(t, ns+"-peer")
	mustRun(t, "ip", "-n", ns, "link", "add", "la-v0", "type", "veth", "peer", "name", "la-v1", "netns", peer)
	mustRun(t, "ip", "-n", ns, "addr", "add", "10.78.0.2/24", "dev", "la-v0")
	mustRun(t, "ip", "-n", peer, "addr", "add", "10.78.0.1/24", "dev", "la-v1")
	mustRun(t, "ip", "-n", ns, "link", "set", "la-v0", "up")
	mustRun(t, "ip", "-n", peer, "link", "set", "la-v1", "up")
	startIn(t, inside(peer, "forgetful", os.Args[0], "10.78.0.1:8001")).await(t, "waiting for clients")
	startIn(t, inside(ns, "forgetful", os.Args[0], "127.0.0.1:8002")).await(t, "waiting for clients")
	lines := filepath.Join(t.TempDir(), "out.jsonl")
	c := startProgram(t, inside(ns, "program", os.Args[0], "-v", "-i", "la-v0", "-i", "lo", "--jsonl", lines))
	c.awaits(t, "listening on lo")
	for _, address := range []string{"10.78.0.1:8001", "127.0.0.1:8002"} {
		if out, err := inside(ns, "leaving", os.Args[0], address).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", address, err, out)
		}
	}
	c.until(t, syscall.SIGUSR1, func() bool { return c.said(", 2 flows, ") })
	time.Sleep(500 * time.Millisecond) // what is in the kernel's buffer is lost with the interface
	mustRun(t, "ip", "-n", ns, "link", "delete", "la-v0")
	for deadline := time.Now().Add(soon); !c.said("lastack: la-v0: the capture ended after frame "); {
		if time.Now().After(deadline) {
			t.Fatal("that the interface vanished was not said")
		}
	}
	c.end(t)
	b, err := os.ReadFile(lines)
	if err != nil || !strings.Contains(string(b), "it broke off while others went on") {
		t.Fatalf("%v, %s", err, b)
	}
	for server, doubted := range map[string]bool{`"port":8001`: true, `"port":8002`: false} {
		found := 0
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, `{"type":"flow"`) && strings.Contains(line, server) {
				found++
				if strings.Contains(line, `"capture_loss"`) != doubted {
					t.Errorf("doubted should be %v: %s", doubted, line)
				}
			}
		}
		if found != 1 {
			t.Errorf("%d flows with %s", found, server)
		}
	}
}

// Live, --until is when to stop, and the input never ends later than it stopped.
func TestLiveUntil(t *testing.T) {
	ns := namespace(t)
	startIn(t, inside(ns, "steady", os.Args[0]))
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	for _, args := range [][]string{
		{"--for", "2s", "--until", at(10 * time.Minute)},
		{"--for", "2s", "--until", "+10m"},
		{"--for", "2s", "--until", "end"},
		{"--for", "1m", "--until", "+2s"},
	} {
		spanOf(t, ns, args)
	}
	spanOf(t, ns, []string{"--for", "1m", "--until", at(3 * time.Second)})
	spanOf(t, ns, []string{"--for", "1m", "--until", time.Now().Add(3 * time.Second).UTC().Format(time.TimeOnly)})

	begin := time.Now()
	quiet := inside(ns, "program", os.Args[0], "-q", "-i", "lo", "--for", "1m", "--until", "+2s", "tcp port 7")
	if out, err := quiet.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if took := time.Since(begin); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("where no packet comes: %v", took)
	}
}

// spanOf captures, and expects a report on about two seconds.
func spanOf(t *testing.T, ns string, args []string) {
	t.Helper()
	begin := time.Now()
	out, err := inside(ns, "program", append([]string{os.Args[0], "-q", "-i", "lo", "--jsonl", "-"}, args...)...).Output()
	end := time.Now()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	var summary struct {
		Type       string
		Start, End time.Time
	}
	for line := range bytes.Lines(out) {
		if summary.Type != "summary" {
			json.Unmarshal(line, &summary)
		}
	}
	if took := end.Sub(begin); took > 10*time.Second || took < time.Second || summary.End.After(end) || summary.End.Sub(begin) < time.Second {
		t.Errorf("%v: %v, and the input ends %v before the program", args, took, end.Sub(summary.End))
	}
}

// Who has given up root's rights must still be able to write the reports, which
// is found out before anything is captured; where a file cannot be replaced, it is
// written as it is.
func TestReportsOfAnotherUser(t *testing.T) {
	ns := namespace(t)
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		dir      os.FileMode
		file     os.FileMode // 0 for none
		flag     string
		unwanted string // "" where it is written
	}{
		{"new in another's", 0o755, 0, "--md", "permission denied"},
		{"new in everybody's", 0o777, 0, "--md", ""},
		{"another's in another's", 0o755, 0o644, "--md", "permission denied"},
		{"everybody's in another's", 0o755, 0o666, "--md", ""},
		{"another's in everybody's", 0o777, 0o644, "--md", ""},
		{"another's in sticky", os.ModeSticky | 0o777, 0o644, "--md", "permission denied"},
		{"everybody's in sticky", os.ModeSticky | 0o777, 0o666, "--md", ""},
		{"lines, another's in everybody's", 0o777, 0o644, "--jsonl", "permission denied"},
		{"lines, everybody's in another's", 0o755, 0o666, "--jsonl", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"))
			name := filepath.Join(in, "a.out")
			if err := os.Mkdir(in, 0o755); err != nil {
				t.Fatal(err)
			}
			if c.file != 0 {
				if err := errors.Join(os.WriteFile(name, []byte("old\n"), 0o600), os.Chmod(name, c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(in, c.dir); err != nil {
				t.Fatal(err)
			}
			program := inside(ns, "program", os.Args[0], "-q", "-i", "lo", "-Z", "nobody", "--for", "100ms", c.flag, name)
			var out, errs bytes.Buffer
			program.Stdout, program.Stderr = &out, &errs
			err := program.Run()
			content, _ := os.ReadFile(name)
			left, _ := os.ReadDir(in)
			if c.unwanted == "" {
				if err != nil || errs.Len() > 0 || len(left) != 1 || len(content) < 20 {
					t.Errorf("%v, %q; the file holds %.40q, beside it is %v", err, errs.String(), content, left)
				}
				return
			}
			want := "lastack: the report cannot be written: " + name + ": " + c.unwanted + "\n"
			if program.ProcessState.ExitCode() != exitInput || errs.String() != want || out.Len() > 0 || c.file != 0 && string(content) != "old\n" {
				t.Errorf("%v, %q, want %q; standard output %q; the file holds %.40q", err, errs.String(), want, out.String(), content)
			}
		})
	}
}
