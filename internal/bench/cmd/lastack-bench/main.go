// Lastack-bench measures lastack against other programs; see package bench.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/lastack/lastack/internal/bench"
	"github.com/lastack/lastack/internal/bench/traffic"
)

const usage = `Usage:
  lastack-bench [flags]                  generate captures, run programs, print ratios
  lastack-bench generate [flags] NAME    write one capture; --out - is standard output

Captures: %s

`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lastack-bench:", err)
		os.Exit(1)
	}
}

// flags is the command line.
type flags struct {
	rounds           int
	scale            float64
	full, totals     bool
	only, peers      []string
	dir, lastack     string
	markdown, out    string
	memory           int64
	seconds, snaplen int
	seed             uint64
}

func parse(args []string) (f flags, words []string, err error) {
	s := pflag.NewFlagSet("lastack-bench", pflag.ContinueOnError)
	s.IntVar(&f.rounds, "rounds", 3, "how often programs take turns")
	s.Float64Var(&f.scale, "scale", 0.2, "connections, as a multiple of the full size")
	s.BoolVar(&f.full, "full", false, "the full size: --scale 1")
	s.StringSliceVar(&f.only, "only", nil, "captures (default: all)")
	s.StringSliceVar(&f.peers, "peers", nil, "programs to measure against, or none (default: all that are installed)")
	s.StringVar(&f.dir, "dir", "", "folder for captures (default: a temporary one)")
	s.StringVar(&f.lastack, "lastack", "", "the program (default: it is built)")
	s.Int64Var(&f.memory, "memory", 18, "GiB that a program may take")
	s.StringVar(&f.markdown, "markdown", "", "write the ratios as Markdown to this file")
	s.StringVar(&f.out, "out", "-", "generate: where to write")
	s.BoolVar(&f.totals, "totals", false, "generate: write what the capture holds as JSON to standard output")
	s.IntVar(&f.seconds, "seconds", 0, "generate: event time, if not the capture's own")
	s.IntVar(&f.snaplen, "snaplen", -1, "generate: octets kept of each frame, if not the capture's own")
	s.Uint64Var(&f.seed, "seed", 1, "generate: another seed gives other connections")
	s.Usage = func() {
		fmt.Fprintf(os.Stderr, usage, strings.Join(traffic.Names(), ", "))
		s.PrintDefaults()
	}
	if err = s.Parse(args); err != nil {
		return f, nil, err
	}
	if f.full {
		f.scale = 1
	}
	return f, s.Args(), nil
}

func run(args []string) error {
	f, words, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(words) == 2 && words[0] == "generate":
		return generate(&f, words[1])
	case len(words) > 0:
		return fmt.Errorf("what is %q? --help tells", strings.Join(words, " "))
	case f.rounds < 1:
		return errors.New("--rounds must be at least 1")
	}
	return measure(&f)
}

// generate writes one capture.
func generate(f *flags, name string) (err error) {
	c, err := traffic.Named(name, f.scale)
	if err != nil {
		return err
	}
	c.Seed = f.seed
	if f.seconds > 0 {
		c.Seconds = f.seconds
	}
	if f.snaplen >= 0 {
		c.Snaplen = f.snaplen
	}
	var w io.Writer = os.Stdout
	if f.out != "-" {
		file, err := os.Create(f.out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		w = file
	} else if f.totals {
		return errors.New("--totals needs --out FILE: standard output is one")
	}
	totals, err := c.Write(w)
	if err == nil && f.totals {
		err = json.NewEncoder(os.Stdout).Encode(totals)
	}
	return err
}

// measure makes a plan, runs it and prints.
func measure(f *flags) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp(f.dir, "lastack-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := bench.Plan{
		Lastack: f.lastack, Dir: dir, Rounds: f.rounds, Scale: f.scale, Captures: f.only, Memory: f.memory << 30,
		Progress: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	if len(p.Captures) == 0 {
		p.Captures = traffic.Names()
	}
	if p.Self, err = os.Executable(); err != nil {
		return err
	}
	if p.Peers, err = peers(ctx, dir, f.peers); err != nil {
		return err
	}
	if p.Lastack == "" {
		p.Lastack = filepath.Join(dir, "lastack")
		if err := build(ctx, p.Lastack); err != nil {
			return err
		}
	}
	r, err := bench.Run(ctx, p)
	if err != nil {
		return err
	}
	if err := r.Text(os.Stdout); err != nil || f.markdown == "" {
		return err
	}
	return write(f.markdown, r.Markdown)
}

func build(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/lastack/lastack/cmd/lastack")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// peers are those that are wanted by name; all when none is named.
func peers(ctx context.Context, dir string, names []string) ([]bench.Contender, error) {
	loop, err := bench.CompileLoop(ctx, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lastack-bench:", err) // it counts as not installed
	}
	all := bench.Peers(loop)
	if len(names) == 0 {
		return all, nil
	}
	known := []string{"none"}
	for _, k := range all {
		known = append(known, k.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--peers %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(k bench.Contender) bool { return !slices.Contains(names, k.Name) }), nil
}

// write writes a file.
func write(name string, to func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(file)
	return errors.Join(to(b), b.Flush(), file.Close())
}
