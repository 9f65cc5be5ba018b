//go:build linux

// Lastack-lab records what real kernels do: see package lab.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/lastack/lastack/internal/lab"
)

const usage = `Usage:
  lastack-lab list                            name the scenarios
  lastack-lab record --out DIR [--only A,B]   record them, with the kernels' own transitions
  lastack-lab demo --out FILE                 record the demonstration's capture

It needs root: it makes network namespaces of its own, and touches no other.
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lastack-lab:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := pflag.NewFlagSet("lastack-lab", pflag.ContinueOnError)
	out := flags.String("out", "", "where to write")
	only := flags.StringSlice("only", nil, "names of scenarios (default: all)")
	seed := flags.Uint64("seed", 1, "seed of the demonstration's order and pauses")
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage, "\n", flags.FlagUsages()) }
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	scenarios, err := choose(*only)
	if err != nil {
		return err
	}
	command := strings.Join(flags.Args(), " ")
	switch {
	case command == "list":
		return list(os.Stdout, scenarios)
	case command != "record" && command != "demo":
		flags.Usage()
		return errors.New("which of list, record and demo?")
	case *out == "":
		return errors.New("--out says where to write")
	case os.Geteuid() != 0:
		return errors.New("recording needs root, to make network namespaces")
	case command == "demo":
		return lab.RecordPool(*out, *seed)
	}
	return lab.Record(*out, scenarios)
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
