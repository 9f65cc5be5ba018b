//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// The ports of the client that runs out of them, and connections per second.
const (
	exhaustPorts = 3000
	exhaustRate  = 150
)

// Measured are runs that are compared by figures, and not socket by socket.
type Measured struct {
	Crowd      *Crowd
	Exhaustion *Exhaustion
	Again      []string // why the exhaustion was played again
}

// Measure plays them at the same time, and writes their captures into a folder.
// Whole has the crowd go on until its timers have expired, for more than a
// minute.
func Measure(dir string, whole bool) (m Measured, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	// Threads that wait in the kernel are not to hold up the wires.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() {
		if m.Crowd, errs[0] = recordCrowd(dir, whole); errs[0] != nil {
			errs[0] = fmt.Errorf("%s: %w", crowdName, errs[0])
		}
	})
	wg.Go(func() {
		if m.Exhaustion, m.Again, errs[1] = persistExhaustion(dir, exhaustPorts, exhaustRate); errs[1] != nil {
			errs[1] = fmt.Errorf("%s: %w", exhaustName, errs[1])
		}
	})
	wg.Wait()
	return m, errors.Join(errs[:]...)
}
