//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// exhaustions are the runs of a client that runs out of ports.
func exhaustions() []Exhaustion {
	steady := Exhaustion{Lo: 20_000, Hi: 22_999, Rate: 150}
	slow := steady
	slow.Slow = 8 * time.Second
	return []Exhaustion{steady, slow}
}

// Measured are runs that are compared by figures, and not socket by socket.
type Measured struct {
	Crowd       *Crowd
	Exhaustions []*Exhaustion
	Again       []string // exhaustions that were played again, and why
}

// Measure plays them at the same time, and writes their captures into a folder.
// Those that failed are nil, and in the error.
// Whole has the crowd go on until its timers have expired, for more than a
// minute.
func Measure(dir string, whole bool) (m Measured, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	// Threads that wait in the kernel are not to hold up the wires.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	runs := exhaustions()
	m.Exhaustions = make([]*Exhaustion, len(runs))
	errs, again := make([]error, len(runs)+1), make([][]string, len(runs))
	var wg sync.WaitGroup
	for i := range runs {
		wg.Go(func() { m.Exhaustions[i], again[i], errs[i] = persistExhaustion(dir, runs[i]) })
	}
	wg.Go(func() {
		if m.Crowd, errs[len(runs)] = recordCrowd(dir, whole); errs[len(runs)] != nil {
			m.Crowd, errs[len(runs)] = nil, fmt.Errorf("%s: %w", crowdName, errs[len(runs)])
		}
	})
	wg.Wait()
	m.Again = slices.Concat(again...)
	return m, errors.Join(errs...)
}
