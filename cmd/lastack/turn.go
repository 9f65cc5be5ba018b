package main

import (
	"sync"
	"sync/atomic"
)

// turn is a lock that one goroutine holds nearly always, and lends to those who
// ask for it. A mutex alone would not do: who unlocks it and locks it again at
// once gets it before those who have been waiting.
type turn struct {
	mu      sync.Mutex
	waiting atomic.Int32  // who ask, and have not been answered
	served  chan struct{} // one of them has been
}

func newTurn() *turn { return &turn{served: make(chan struct{}, 1)} }

// take makes the caller the holder, and give ends that.
func (t *turn) take() { t.mu.Lock() }
func (t *turn) give() { t.mu.Unlock() }

// ask calls f, from any goroutine, while the holder waits.
func (t *turn) ask(f func()) {
	t.waiting.Add(1)
	t.mu.Lock()
	f()
	t.mu.Unlock()
	t.waiting.Add(-1)
	select {
	case t.served <- struct{}{}:
	default: // that somebody was served is known already
	}
}

// asked tells the holder whether somebody waits.
func (t *turn) asked() bool { return t.waiting.Load() > 0 }

// lend lets one of those who wait be answered, and no more than one: the holder
// gets on however often it is asked.
func (t *turn) lend() {
	select {
	case <-t.served: // of an answer before this one
	default:
	}
	if !t.asked() {
		return
	}
	t.mu.Unlock()
	<-t.served
	t.mu.Lock()
}
