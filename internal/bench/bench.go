// Package bench measures lastack against other programs that read captures.
//
// In go a built lastack and a list of captures to make; out come, for every
// capture and program, wall time, CPU time and peak memory in several rounds,
// and ratios of them. Programs take turns within a round, so that what the
// machine does besides hits all of them alike: only ratios of one round mean
// anything. It keeps no figure from one day to the next and fails nothing for
// being slow.
//
// Its tests hold the packet path to its allocations, and its benchmarks time
// one stage after the other.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/lastack/lastack/internal/bench/traffic"
)

// Capture is a generated file.
type Capture struct {
	Name   string
	Path   string
	Totals traffic.Totals
}

// Plan says what to measure.
type Plan struct {
	Lastack  string // the program
	Self     string // a program that generates captures, see GenerateArgs
	Dir      string // for captures and what programs write
	Rounds   int
	Scale    float64
	Captures []string
	Peers    []Contender // beside lastack
	Memory   int64       // bytes that a program may take
	Progress func(format string, args ...any)
}

// Results are the measurements of a plan.
type Results struct {
	Captures   []Capture
	Contenders []Contender
	Skipped    []string // peers that are not installed
	Failed     []string // what went wrong, in words
	GCShare    float64  // of CPU on the capture "concurrent", in percent; negative when not measured
	// Idle is the wall time of a contender for a single connection, where that
	// is long: argus sleeps a second at its end. No ratio counts it, as far as
	// the rest is no less than the CPU time.
	Idle map[string]time.Duration
	runs map[string]map[string][]Usage // by capture and contender; one for each round
}

// longIdle is more than starting a program takes.
const longIdle = 200 * time.Millisecond

// Run makes the captures and measures everything that a plan names. The error
// is one of making captures; programs that fail are noted in the results.
func Run(ctx context.Context, p Plan) (*Results, error) {
	r := &Results{runs: map[string]map[string][]Usage{}, GCShare: -1}
	for _, c := range p.Peers {
		if c.installed() {
			r.Contenders = append(r.Contenders, c)
		} else {
			r.Skipped = append(r.Skipped, c.missing())
		}
	}
	r.Contenders = append(lastacks(p.Lastack), r.Contenders...)
	if err := r.idle(ctx, &p); err != nil {
		return nil, err
	}
	for _, name := range p.Captures {
		c, err := p.generate(ctx, name, p.Scale)
		if err != nil {
			return nil, err
		}
		r.Captures = append(r.Captures, c)
		p.Progress("%s: %d packets, %d connections, %d MB", name, c.Totals.Packets, c.Totals.Connections, c.Totals.Bytes/1e6)
		for round := range p.Rounds {
			if err := r.round(ctx, &p, &c, round); err != nil {
				return nil, err
			}
		}
		if name == "concurrent" {
			r.gcShare(ctx, &p, &c)
		}
		if err := os.Remove(c.Path); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// generate makes a capture in a process of its own: what a child is said to
// have held at most begins with what its parent held.
func (p *Plan) generate(ctx context.Context, name string, scale float64) (Capture, error) {
	c := Capture{Name: name, Path: filepath.Join(p.Dir, name+".pcap")}
	var err error
	if c.Totals, err = generate(ctx, p.Self, name, scale, c.Path); err != nil {
		return c, fmt.Errorf("generating %s: %w", name, err)
	}
	return c, nil
}

// idle measures what programs take for next to nothing.
func (r *Results) idle(ctx context.Context, p *Plan) error {
	r.Idle = map[string]time.Duration{}
	c, err := p.generate(ctx, "bulk", 0)
	if err != nil {
		return err
	}
	for i := range r.Contenders {
		k := &r.Contenders[i]
		u, err := p.run(ctx, k, &c, nil)
		if err != nil {
			return fmt.Errorf("%s on a single connection: %w", k.Name, err)
		}
		if u.Wall > longIdle {
			r.Idle[k.Name] = u.Wall
		}
	}
	return os.Remove(c.Path)
}

// round runs every contender on a capture once. The error is that measuring
// was interrupted.
func (r *Results) round(ctx context.Context, p *Plan, c *Capture, round int) error {
	runs := r.runs[c.Name]
	if runs == nil {
		runs = map[string][]Usage{}
		r.runs[c.Name] = runs
	}
	for i := range r.Contenders {
		k := &r.Contenders[i]
		if !k.reads(c.Name) || len(runs[k.Name]) < round {
			continue // it failed in an earlier round
		}
		u, err := p.run(ctx, k, c, nil)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.Failed = append(r.Failed, fmt.Sprintf("%s on %s: %v", k.Name, c.Name, err))
			continue
		}
		u.Wall = min(u.Wall, max(u.Wall-r.Idle[k.Name], u.CPU))
		runs[k.Name] = append(runs[k.Name], u)
		p.Progress("%s round %d: %-26s %8.2f s wall %8.2f s CPU %7d MB", c.Name, round+1, k.Name,
			u.Wall.Seconds(), u.CPU.Seconds(), u.Peak/1e6)
	}
	return nil
}

// run measures one run. What the program writes is checked and removed.
func (p *Plan) run(ctx context.Context, k *Contender, c *Capture, notes io.Writer, env ...string) (Usage, error) {
	out := filepath.Join(p.Dir, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return Usage{}, err
	}
	defer os.RemoveAll(out)
	u, err := measure(ctx, k.argv(c, out), p.Memory, notes, env...)
	if err == nil && k.check != nil {
		err = k.check(c, out)
	}
	return u, err
}

// Machine describes where the figures are from.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s/%s", cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
