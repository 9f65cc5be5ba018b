//go:build cgo

package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket/pcap"
)

const (
	defaultSnaplen   = 256
	defaultBufferKiB = 16 << 10
	// plainFilter is the default where the link type knows no VLAN tags.
	plainFilter = "tcp or icmp or icmp6"
	// readTimeout is how long the kernel may collect packets before it hands
	// them over.
	readTimeout = 100 * time.Millisecond
	// settled is the age at which a packet must have been handed over, as of the
	// moment at which it is asked for.
	settled = 3 * readTimeout
	// idleAfter is the silence after which Next returns ErrIdle.
	idleAfter = 250 * time.Millisecond
)

// Live captures from interfaces. Each is a source of its own, with frame
// numbers from 1 as they arrive, and they are merged by time: a frame waits
// until no other interface can have an earlier one, but not so long that the
// kernel would lose others. Next, Infos and Close belong to one goroutine;
// Stop may be called from any.
type Live struct {
	taps   []*tap
	full   chan *batch
	quit   chan struct{}
	stopAt atomic.Int64 // ns since 1970; 0 while not stopped
	wait   sync.WaitGroup
	out    *tap // whose frame was returned last
	gone   int  // interfaces that have ended by themselves
	timer  *time.Timer
}

// OpenLive begins to capture on the named interfaces; "any" is all of them.
// Their places in ifaces are their File indexes. Errors say what to do about
// them: missing privileges, an unknown interface (with those there are), a
// filter that the interface's link type does not know.
func OpenLive(ifaces []string, o LiveOptions) (*Live, error) {
	l := &Live{
		full:  make(chan *batch, len(ifaces)*tapBatches),
		quit:  make(chan struct{}),
		timer: time.NewTimer(time.Hour),
	}
	for i, name := range ifaces {
		t, err := openTap(name, o)
		if err != nil {
			l.Close()
			return nil, err
		}
		t.file, t.live = i, l
		l.taps = append(l.taps, t)
	}
	now := time.Now()
	for _, t := range l.taps {
		t.bound = now.Add(-settled).UnixNano()
		l.wait.Go(t.run)
	}
	return l, nil
}

// openTap opens one interface and installs the filter.
func openTap(name string, o LiveOptions) (*tap, error) {
	h, err := activate(name, o, name != "any" && !o.NoPromiscuous)
	if err != nil && err.Error() == promiscRefused {
		h, err = activate(name, o, false)
	}
	if err != nil {
		return nil, liveFailure(name, err)
	}
	filter, err := setFilter(h, o.Filter)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("%s: filter %q: %w", name, o.Filter, err)
	}
	t := &tap{
		handle: h,
		free:   make(chan *batch, tapBatches),
		link:   liveLinkType(int(h.LinkType())),
		first:  math.MaxInt64, last: math.MinInt64,
	}
	t.info = Info{Name: name, Format: "live", LinkTypes: []uint16{t.link}, SnapLen: uint32(h.SnapLen()), Filter: filter}
	return t, nil
}

func activate(name string, o LiveOptions, promiscuous bool) (*pcap.Handle, error) {
	in, err := pcap.NewInactiveHandle(name)
	if err != nil {
		return nil, err
	}
	defer in.CleanUp()
	snaplen, buffer := o.Snaplen, o.BufferKiB
	if snaplen <= 0 {
		snaplen = defaultSnaplen
	}
	if buffer <= 0 {
		buffer = defaultBufferKiB
	}
	err = errors.Join(in.SetSnapLen(snaplen), in.SetPromisc(promiscuous),
		in.SetTimeout(readTimeout), in.SetBufferSize(min(buffer, math.MaxInt32>>10)<<10))
	if err != nil {
		return nil, err
	}
	return in.Activate()
}

// setFilter installs the expression, or the default in the form that the link
// type knows, and returns which it was.
func setFilter(h *pcap.Handle, expr string) (string, error) {
	if expr != "" {
		return expr, h.SetBPFFilter(expr)
	}
	if h.SetBPFFilter(DefaultFilter) == nil {
		return DefaultFilter, nil
	}
	return plainFilter, h.SetBPFFilter(plainFilter)
}

// liveLinkType maps the DLT_ values that a Linux interface can have to
// LINKTYPE_ values, where they differ.
func liveLinkType(dlt int) uint16 {
	switch dlt {
	case 11: // ATM, RFC 1483
		return 100
	case 12: // raw IP
		return 101
	}
	return uint16(dlt)
}

// What the bindings say when an interface cannot be activated: their error
// type is not exported.
const (
	promiscRefused = "Cannot set as promisc"
	noPermission   = "Permission Denied"
	noPromiscPerm  = "unknown activated error: -11"
	noDevice       = "No Such Device"
	notUp          = "Interface Not Up"
)

// liveFailure says why an interface cannot be captured on and what helps.
func liveFailure(name string, err error) error {
	switch text := err.Error(); {
	case text == noPermission, text == noPromiscPerm, strings.Contains(text, "Operation not permitted"):
		program, e := os.Executable()
		if e != nil {
			program = "the program"
		}
		return &openError{name, fmt.Sprintf("capturing needs privileges: run with sudo, or allow it once with: "+
			"sudo setcap cap_net_raw,cap_net_admin=eip %s", program), err}
	case text == noDevice, strings.Contains(text, "No such device"):
		return &openError{name, "no such interface" + interfaceList(), err}
	case text == notUp:
		return &openError{name, fmt.Sprintf("the interface is down; this brings it up: sudo ip link set %s up", name), err}
	}
	return &openError{name, "cannot capture: " + err.Error(), err}
}

// interfaceList is "; there are eth0, lo", or nothing if that is unknown.
func interfaceList() string {
	var names []string
	all, err := Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range all {
		if i.Up {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}

// Next returns the next frame, ErrIdle after a while without one, and io.EOF
// once Stop has been called and what was captured before it has been returned.
func (l *Live) Next(f *Frame) error {
	if l.out != nil {
		l.out.advance()
		l.out = nil
	}
	for armed := false; ; armed = true {
		t, ended := l.ready()
		if t != nil {
			t.frame(f)
			l.out = t
			return nil
		}
		if ended {
			return io.EOF
		}
		if !armed {
			l.timer.Reset(idleAfter)
		}
		select {
		case b := <-l.full:
			b.tap.add(b)
		case <-l.timer.C:
			*f = Frame{At: l.bound()}
			return ErrIdle
		}
	}
}

// ready returns the interface whose frame is next, if that is certain. ended
// is true when none can have any more.
func (l *Live) ready() (t *tap, ended bool) {
	ended = true
	for _, c := range l.taps {
		if c.head() && (t == nil || c.at() < t.at()) {
			t = c
		}
		ended = ended && c.done
	}
	if t == nil {
		return nil, ended
	}
	if len(t.queue) >= tapBatches-1 { // it would soon stop reading
		return t, false
	}
	for _, c := range l.taps {
		if !c.head() && !c.done && c.bound < t.at() {
			return nil, false
		}
	}
	return t, false
}

// bound is a time before which there are no more frames.
func (l *Live) bound() int64 {
	b := int64(math.MaxInt64)
	for _, t := range l.taps {
		switch {
		case t.head():
			b = min(b, t.at())
		case !t.done:
			b = min(b, t.bound)
		}
	}
	return b
}

// Infos describes the interfaces in the order of their File indexes.
func (l *Live) Infos() []Info {
	var all []Info
	for _, t := range l.taps {
		i := t.info
		if t.last >= t.first {
			i.First, i.Last = t.first, t.last
		}
		i.Drops, i.Counted = t.drops.Load(), true
		all = append(all, i)
	}
	return all
}

// Damaged is how many interfaces have ended by themselves, and none of their
// frames is still to come.
func (l *Live) Damaged() int { return l.gone }

// Stop ends the capture: Next still returns what was captured until now, then
// io.EOF.
func (l *Live) Stop() { l.stopAt.CompareAndSwap(0, time.Now().UnixNano()) }

// Close ends the capture at once. Infos then knows of every packet that was
// dropped while it went on.
func (l *Live) Close() error {
	select {
	case <-l.quit:
		return nil
	default:
	}
	close(l.quit)
	l.wait.Wait()
	for _, t := range l.taps {
		t.countDrops()
		t.handle.Close()
	}
	return nil
}

// LibpcapVersion is libpcap's own description of its version, "" in a build
// without it.
func LibpcapVersion() string { return pcap.Version() }
