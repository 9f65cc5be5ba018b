//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// listen has signals delivered. A closed standard output shows in the error of
// writing to it and not in a signal, so that the reports that are files are
// still written. A hangup that is ignored (nohup) stays so.
func listen() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 4)
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	if !signal.Ignored(hangup) {
		signal.Notify(signals, hangup)
	}
	return signals, func() { signal.Stop(signals) }
}

const (
	hangup      = syscall.SIGHUP
	askProgress = syscall.SIGUSR1
	askReports  = syscall.SIGUSR2
)
