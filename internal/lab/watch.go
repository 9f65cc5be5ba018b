//go:build linux

package lab

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lastack/lastack/fsm"
)

// truth collects what the kernels of a network's hosts say of their sockets.
type truth struct {
	tracer *Tracer
	hosts  []*hostTruth
	end    chan struct{}
	wg     sync.WaitGroup
}

// hostTruth is that of one host.
type hostTruth struct {
	name  string
	addrs []netip.Addr
	diag  *diagSocket
	now   chan struct{} // asks for a sample at once

	mu      sync.Mutex
	events  []traceEvent
	samples history
	err     error
}

// watch begins to collect. The family is that of the sockets to be listed.
// The client has so many addresses.
func watch(t *Tracer, n *Network, f Family, addresses int) (*truth, error) {
	w := &truth{tracer: t, end: make(chan struct{})}
	for _, h := range []*Host{n.Client, n.Server} {
		d, err := newDiagSocket(h, f)
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		ht := &hostTruth{name: h.Name, addrs: []netip.Addr{h.Addr(f)}, diag: d, now: make(chan struct{}, 1)}
		for i := 1; h == n.Client && i < addresses; i++ {
			ht.addrs = append(ht.addrs, h.further(f, i))
		}
		w.hosts = append(w.hosts, ht)
		for _, a := range ht.addrs {
			t.subscribe(a, ht.event)
		}
		ht.sample() // so that the first interval has a beginning
		w.wg.Go(func() { ht.loop(w.end) })
	}
	n.Wire.afterDelivery(ToClient, w.hosts[0].sampleSoon)
	n.serverWire().afterDelivery(ToServer, w.hosts[1].sampleSoon)
	return w, nil
}

// sampleSoon asks for a sample without waiting for it. It is called when a
// frame was delivered and when a full socket ended: a small socket changes on
// no other occasions but its timer's.
func (h *hostTruth) sampleSoon() {
	select {
	case h.now <- struct{}{}:
	default: // one is coming
	}
}

// event notes a move.
func (h *hostTruth) event(e traceEvent) {
	h.mu.Lock()
	h.events = append(h.events, e)
	h.mu.Unlock()
	if e.to == fsm.Closed {
		h.sampleSoon()
	}
}

func (h *hostTruth) loop(end chan struct{}) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.now:
		case <-end:
			return
		}
		h.sample()
	}
}

func (h *hostTruth) sample() {
	s, err := h.diag.list()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples.add(s)
	if h.err == nil {
		h.err = err
	}
}

// stop ends the collection: what happens to sockets afterwards is not noted.
func (w *truth) stop() error {
	close(w.end)
	w.wg.Wait()
	var errs []error
	for _, h := range w.hosts {
		for _, a := range h.addrs {
			w.tracer.unsubscribe(a)
		}
		errs = append(errs, h.err, h.diag.close())
	}
	return errors.Join(errs...)
}

// transitions is what was collected, of both hosts in order of time.
func (w *truth) transitions() ([]Transition, error) {
	var out []Transition
	var errs []error
	for _, h := range w.hosts {
		h.mu.Lock()
		ts, err := deriveHost(h.name, h.events, &h.samples)
		h.mu.Unlock()
		out, errs = append(out, ts...), append(errs, err)
	}
	slices.SortStableFunc(out, func(a, b Transition) int { return cmp.Compare(a.Time, b.Time) })
	return out, errors.Join(errs...)
}
