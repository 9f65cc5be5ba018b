//go:build linux

package lab

import (
	"sync"
	"time"
)

// stalls notes when this process, and with it all applications and wires, got
// no time to run.
type stalls struct {
	mu   sync.Mutex
	seen []stall
}

type stall struct {
	end time.Time
	d   time.Duration
}

const (
	stallStep = 20 * time.Millisecond
	// longestStall is how late an application may be without doing something
	// else than the label says.
	longestStall = 250 * time.Millisecond
)

// watch begins to watch, until the function that it returns is called.
func (s *stalls) watch() (stop func()) {
	done := make(chan struct{})
	go func() {
		for last := time.Now(); ; {
			select {
			case <-done:
				return
			case <-time.After(stallStep):
			}
			now := time.Now()
			if d := now.Sub(last) - stallStep; d > longestStall {
				s.mu.Lock()
				s.seen = append(s.seen, stall{now, d})
				s.mu.Unlock()
			}
			last = now
		}
	}()
	return func() { close(done) }
}

// since is the longest stall that ended after a time.
func (s *stalls) since(t time.Time) (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.seen {
		if x.end.After(t) {
			longest = max(longest, x.d)
		}
	}
	return longest
}
