//go:build linux

// Lastack-lab records what real kernels do, and holds lastack against it: see
// packages lab and judge.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/internal/lab/judge"
)

const usage = `Usage:
  lastack-lab list                            name the scenarios
  lastack-lab run [--short] [--out DIR]       record them all, and judge the recordings
  lastack-lab record --out DIR [--only A,B]   record them, with the kernels' own transitions
  lastack-lab judge --out DIR                 judge the recordings of a folder
  lastack-lab measure [--short] [--out DIR]   hold state tables and the port forecast against a kernel
  lastack-lab demo --out FILE                 record the demonstration's capture

Run also measures. All but list and judge need root: they make network namespaces of their own, and
touch no other. Where root, tracing or TAP interfaces are missing, run says so
and does nothing. It fails when lastack disagrees with the kernel, and then keeps
the recordings.
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lastack-lab:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	out   string
	only  []string
	takes string
	short bool
	seed  uint64
}

func run(args []string) error {
	var o options
	flags := pflag.NewFlagSet("lastack-lab", pflag.ContinueOnError)
	flags.StringVar(&o.out, "out", "", "where the recordings are, or are written")
	flags.StringSliceVar(&o.only, "only", nil, "names of scenarios (default: all)")
	flags.StringVar(&o.takes, "takes", "plain", "record: plain, all (with and without timestamps and offloads) or once")
	flags.BoolVar(&o.short, "short", false, "run: every scenario once, and none that takes a minute")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the demonstration's order and pauses")
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage, "\n", flags.FlagUsages()) }
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	scenarios, err := choose(o.only)
	if err != nil {
		return err
	}
	command := strings.Join(flags.Args(), " ")
	switch {
	case command == "list":
		return list(os.Stdout, scenarios)
	case command == "run":
		return o.inFolder(func() error { return errors.Join(o.run(scenarios), o.steadily(o.measure)) })
	case command == "measure":
		return o.inFolder(o.measure)
	case !slices.Contains([]string{"record", "judge", "demo"}, command):
		flags.Usage()
		return errors.New("which of list, run, measure, record, judge and demo?")
	case o.out == "":
		return errors.New("--out says where")
	case command == "judge":
		v, err := verdict(o.out)
		if err != nil {
			return err
		}
		return failure(v)
	case command == "demo":
		return lab.RecordPool(o.out, o.seed)
	}
	return o.record(scenarios)
}

func (o *options) record(scenarios []lab.Scenario) error {
	takes := map[string]func([]lab.Scenario) []lab.Take{"plain": lab.Plain, "all": lab.Takes, "once": lab.Once}[o.takes]
	if takes == nil {
		return fmt.Errorf("--takes %s: it is plain, all or once", o.takes)
	}
	again, err := lab.Record(o.out, takes(scenarios))
	printAgain(again)
	return err
}

// printAgain lists the takes that were played again.
func printAgain(again []string) {
	fmt.Printf("%d takes were played again\n", len(again))
	for _, why := range again {
		fmt.Printf("  %s\n", why)
	}
}

// inFolder does something that records, into a folder of its own unless one is
// given. Where the machine lacks something it says so and does nothing.
func (o *options) inFolder(do func() error) (err error) {
	if why := lab.Missing(); why != "" {
		fmt.Println("the lab is skipped:", why)
		return nil
	}
	if o.out == "" {
		if o.out, err = os.MkdirTemp("", "lastack-lab-"); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = fmt.Errorf("%w (the recordings stay in %s)", err, o.out)
				return
			}
			err = os.RemoveAll(o.out)
		}()
	}
	return do()
}

// run records and judges.
func (o *options) run(scenarios []lab.Scenario) error {
	takes := lab.Takes(scenarios)
	if o.short {
		takes = lab.Short(scenarios)
	}
	begin := time.Now()
	again, err := lab.Record(o.out, takes)
	fmt.Printf("%d recordings in %v\n", len(takes), time.Since(begin).Round(time.Second))
	printAgain(again)
	if err != nil {
		return err
	}
	v, err := verdict(o.out)
	if err != nil || len(v.Failures()) == 0 {
		return err
	}
	return o.confirm(takes, v)
}

// verdict judges the recordings of a folder and prints the tables.
func verdict(dir string) (*judge.Verdict, error) {
	v, err := judge.Judge(dir)
	if err != nil {
		return nil, err
	}
	return v, v.Print(os.Stdout)
}

// failure is what is wrong with recordings, nil when nothing is.
func failure(v *judge.Verdict) error {
	if failures := v.Failures(); len(failures) > 0 {
		return errors.New(strings.Join(failures, "; "))
	}
	return nil
}

// choose returns the scenarios of these names, or all.
func choose(names []string) ([]lab.Scenario, error) {
	all := lab.Scenarios()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []lab.Scenario
	for _, name := range names {
		i := slices.IndexFunc(all, func(s lab.Scenario) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q: see lastack-lab list", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func list(w io.Writer, scenarios []lab.Scenario) error {
	for _, s := range scenarios {
		rules := strings.Join(s.Expect, ", ")
		if rules == "" {
			rules = "nothing to find"
		}
		if _, err := fmt.Fprintf(w, "%s\n    %s\n    client's capture: %s\n", s.Name, s.Does, rules); err != nil {
			return err
		}
	}
	return nil
}
