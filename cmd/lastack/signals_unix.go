//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// listen has signals delivered. A closed standard output shows in the error of
// writing to it and not in a signal, so that the reports that are files are
// still written.
func listen() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 4)
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	return signals, func() { signal.Stop(signals) }
}

const (
	askProgress = syscall.SIGUSR1
	askReports  = syscall.SIGUSR2
)
