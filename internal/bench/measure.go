package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastack/lastack/internal/bench/traffic"
)

// Usage is what one run of a program took.
type Usage struct {
	Wall, CPU time.Duration // CPU is user and system time of all its threads
	Peak      int64         // bytes of memory resident at most
}

// patience is how long a program may run.
const patience = 20 * time.Minute

// measure runs a program with a bound on its address space, 0 for none. What it
// prints on standard error goes to notes, if that is not nil, and into the
// error.
func measure(ctx context.Context, argv []string, memory int64, notes io.Writer, env ...string) (Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if memory > 0 {
		limited := []string{"sh", "-c", `ulimit -v "$0"; exec "$@"`, strconv.FormatInt(memory>>10, 10)}
		argv = append(limited, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	last := &tail{}
	cmd.Stderr = last
	if notes != nil {
		cmd.Stderr = io.MultiWriter(last, notes)
	}
	begin := time.Now()
	err := cmd.Run()
	wall := time.Since(begin)
	if ctx.Err() != nil {
		return Usage{}, fmt.Errorf("stopped after %v", wall.Round(time.Second))
	}
	if err != nil {
		return Usage{}, fmt.Errorf("%w: %s", err, last.lines())
	}
	u := Usage{Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return u, errors.New("this system does not tell what a process took")
	}
	u.Peak = usage.Maxrss << 10 // Linux counts KiB
	return u, nil
}

// tail keeps the last kilobyte that is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 1024; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// lines is the last two lines as one.
func (t *tail) lines() string {
	l := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.Join(l[max(len(l)-2, 0):], "; ")
}

// GenerateArgs is the command line with which Plan.Self is called: it writes
// the capture to a file and Totals as JSON to standard output.
func GenerateArgs(name string, scale float64, path string) []string {
	return []string{"generate", "--scale", strconv.FormatFloat(scale, 'g', -1, 64), "--out", path, "--totals", name}
}

func generate(ctx context.Context, self, name string, scale float64, path string) (t traffic.Totals, err error) {
	cmd := exec.CommandContext(ctx, self, GenerateArgs(name, scale, path)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &t)
	}
	return t, err
}

// gcShare asks lastack's runtime what share of the CPU its garbage collector
// took.
func (r *Results) gcShare(ctx context.Context, p *Plan, c *Capture) {
	var notes bytes.Buffer
	if _, err := p.run(ctx, &r.Contenders[0], c, &notes, "GODEBUG=gctrace=1"); err != nil {
		r.Failed = append(r.Failed, fmt.Sprintf("tracing the garbage collector: %v", err))
		return
	}
	r.GCShare = 0 // if it never ran
	for lines := bufio.NewScanner(&notes); lines.Scan(); {
		// gc 7 @1.618s 1%: ...: percent of CPU since the program began.
		if f := strings.Fields(lines.Text()); len(f) > 3 && f[0] == "gc" {
			if share, err := strconv.ParseFloat(strings.TrimSuffix(f[3], "%:"), 64); err == nil {
				r.GCShare = share
			}
		}
	}
}

// cpuModel is the processor's name, as far as the system tells.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	rest, _, _ = strings.Cut(rest, "\n")
	return strings.TrimLeft(rest, "\t :")
}
