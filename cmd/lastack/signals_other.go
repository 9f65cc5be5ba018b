//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// listen has signals delivered: here only interrupts.
func listen() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt)
	return signals, func() { signal.Stop(signals) }
}

// Signals that do not come here.
const (
	askProgress = syscall.Signal(-1)
	askReports  = syscall.Signal(-2)
	hangup      = syscall.Signal(-3)
)
