// Command lastack reads packet captures and says what went wrong when TCP
// connections opened and closed, who did it, and which packets prove it.
//
// This package is flags, signals and wiring: from a capture's frames through
// the decoder and the analysis to the reports. It is the only one that logs,
// and with the reader the only one that knows the time of day.
package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectFirst)
		runtime.SetFinalizer(&cycle{}, func(*cycle) { debug.SetGCPercent(collectAt) })
	}
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// collectAt is by how many percent the heap may grow between collections. It is
// nearly all flows, which hold no pointers: a collection costs a few
// milliseconds, while waiting until the heap has doubled costs as much memory
// as the flows.
//
// The first collection comes at 8 MB, of which collectFirst is the percentage of
// the runtime's 4 MB: a short capture ends before, and two collections would take
// longer than all else that is done for it.
const (
	collectAt    = 50
	collectFirst = 200
)

// cycle is unreachable from the beginning, so that the first collection ends it.
type cycle struct{ _ *byte }

// The exit codes, which scripts depend on.
const (
	exitOK          = 0
	exitInput       = 1   // some input could not be analysed
	exitUsage       = 2   // the command line is wrong
	exitFindings    = 3   // --fail-on
	exitIncomplete  = 4   // --strict
	exitInterrupted = 130 // second interrupt
)

// Main runs the program with its arguments, without its name, and returns the
// exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	say := &speaker{w: stderr}
	cfg, err := parse(args)
	if err != nil {
		say.error(err)
		say.plain("lastack: try 'lastack --help'")
		return exitUsage
	}
	say.quiet = cfg.quiet
	switch {
	case cfg.help:
		return printed(io.WriteString(stdout, usage))
	case cfg.version:
		return printed(io.WriteString(stdout, versionText()))
	case cfg.listRules:
		return printed(io.WriteString(stdout, rulesText()))
	case cfg.explain != "":
		return printed(io.WriteString(stdout, explainText(cfg.explain)))
	case cfg.listInterfaces:
		return listInterfaces(stdout, say)
	case len(cfg.inputs) == 0 && len(cfg.interfaces) == 0:
		io.WriteString(stderr, usage)
		return exitUsage
	}
	endProfiles, err := startProfiles(cfg)
	if err != nil {
		say.error(err)
		return exitInput
	}
	code := analyse(cfg, stdin, stdout, say)
	if err := endProfiles(); err != nil {
		say.error(err)
		return exitInput
	}
	return code
}

// printed is the exit code of having written to standard output. That nobody
// reads on is no failure.
func printed(_ int, err error) int {
	if err != nil && !closedPipe(err) {
		return exitInput
	}
	return exitOK
}
