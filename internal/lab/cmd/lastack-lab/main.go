//go:build linux

// Lastack-lab records what real kernels do: see package lab.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/lastack/lastack/internal/lab"
)

const usage = `Usage:
  lastack-lab demo --out FILE     record the demonstration's capture

It needs root: it makes network namespaces of its own and touches nothing else.
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
	seed := flags.Uint64("seed", 1, "seed of the demonstration's order and pauses")
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage, "\n", flags.FlagUsages()) }
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	switch {
	case flags.NArg() == 1 && flags.Arg(0) == "demo" && *out != "":
		return lab.RecordPool(*out, *seed)
	}
	flags.Usage()
	return errors.New("nothing to do")
}
