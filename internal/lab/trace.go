//go:build linux

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/fsm"
)

// tracefs is where the kernel's tracing is mounted.
const tracefs = "/sys/kernel/tracing"

// stateEvent is the tracepoint of tcp_set_state and its kin. It sees every
// full socket. It does not see the small ones that stand for TIME_WAIT, for an
// abandoned FIN_WAIT_2 and for a connection request.
const stateEvent = "inet_sock_set_state"

// traceEvent is one move of a full socket, as the tracepoint tells it.
type traceEvent struct {
	at            int64 // CLOCK_MONOTONIC in the trace, CLOCK_REALTIME after it was dispatched; ns
	local, remote netip.AddrPort
	from, to      fsm.State
}

var kernelStates = map[string]fsm.State{
	"TCP_ESTABLISHED": fsm.Established, "TCP_SYN_SENT": fsm.SynSent, "TCP_SYN_RECV": fsm.SynRcvd,
	"TCP_FIN_WAIT1": fsm.FinWait1, "TCP_FIN_WAIT2": fsm.FinWait2, "TCP_TIME_WAIT": fsm.TimeWait,
	"TCP_CLOSE": fsm.Closed, "TCP_CLOSE_WAIT": fsm.CloseWait, "TCP_LAST_ACK": fsm.LastAck,
	"TCP_LISTEN": fsm.Listen, "TCP_CLOSING": fsm.Closing, "TCP_NEW_SYN_RECV": fsm.SynRcvd,
}

// errLost says that the trace buffer was too small: what follows in the trace
// cannot be believed.
var errLost = errors.New("the kernel lost trace events")

// parseTraceLine reads one line of trace_pipe. It is false for lines that are
// no move of a TCP socket, and errLost where the kernel says that it lost any.
//
//	curl-7098 [001] ..s2. 1188.998022: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=…
func parseTraceLine(line string) (e traceEvent, ok bool, err error) {
	if strings.Contains(line, "[LOST ") {
		return e, false, errLost
	}
	head, tail, found := strings.Cut(line, ": "+stateEvent+": ")
	if !found {
		return e, false, nil
	}
	fields := map[string]string{}
	for _, f := range strings.Fields(tail) {
		if k, v, ok := strings.Cut(f, "="); ok {
			fields[k] = v
		}
	}
	if fields["protocol"] != "IPPROTO_TCP" {
		return e, false, nil
	}
	if e.at, err = parseTraceTime(head[strings.LastIndexByte(head, ' ')+1:]); err != nil {
		return e, false, fmt.Errorf("trace line %q: %w", line, err)
	}
	src, dst := fields["saddr"], fields["daddr"]
	if fields["family"] == "AF_INET6" {
		src, dst = fields["saddrv6"], fields["daddrv6"]
	}
	var errs [4]error
	e.local, errs[0] = parseEnd(src, fields["sport"])
	e.remote, errs[1] = parseEnd(dst, fields["dport"])
	e.from, errs[2] = parseState(fields["oldstate"])
	e.to, errs[3] = parseState(fields["newstate"])
	if err := errors.Join(errs[:]...); err != nil {
		return e, false, fmt.Errorf("trace line %q: %w", line, err)
	}
	return e, true, nil
}

// parseTraceTime reads "1188.998022", seconds and microseconds, as nanoseconds.
func parseTraceTime(s string) (int64, error) {
	sec, frac, ok := strings.Cut(s, ".")
	if !ok || len(frac) != 6 {
		return 0, fmt.Errorf("time %q", s)
	}
	us, err := strconv.ParseInt(sec+frac, 10, 64)
	return us * int64(time.Microsecond), err
}

func parseEnd(addr, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(a, uint16(p)), err
}

func parseState(name string) (fsm.State, error) {
	s, ok := kernelStates[name]
	if !ok {
		return 0, fmt.Errorf("state %q", name)
	}
	return s, nil
}

// Tracer reads the kernel's state changes in an instance of tracefs of its
// own. The trace does not say in which namespace a socket is, so the tracer
// owns a number from which all addresses of a run are made: no other run on
// this machine has the same.
type Tracer struct {
	Number byte

	lock    net.Listener
	mounted bool // tracefs, by this tracer
	dir     string
	pipe    *os.File
	offset  int64 // from CLOCK_MONOTONIC to CLOCK_REALTIME, ns
	done    chan error

	mu   sync.Mutex
	subs map[netip.Addr]func(traceEvent)
}

// Missing says what this machine lacks to record; "" when it lacks nothing.
func Missing() string {
	if os.Geteuid() != 0 {
		return "it needs root, to make network namespaces"
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !slices.Contains(strings.Fields(string(known)), "tracefs") {
		return "it needs the kernel's tracing (tracefs)"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Sprintf("it needs TAP interfaces (%v)", err)
	}
	return ""
}

// mount mounts tracefs where machines have it, if this one has not.
func (t *Tracer) mount() error {
	event := filepath.Join(tracefs, "events/sock", stateEvent)
	if _, err := os.Stat(event); err == nil {
		return nil
	}
	if err := unix.Mount("nodev", tracefs, "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mounting tracefs: %w", err)
	}
	t.mounted = true
	_, err := os.Stat(event)
	return err
}

// unmount takes tracefs away again, unless another run reads it by now.
func (t *Tracer) unmount() error {
	if !t.mounted {
		return nil
	}
	if err := unix.Unmount(tracefs, 0); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("unmounting tracefs: %w", err)
	}
	return nil
}

// NewTracer claims a number and begins to trace. It needs root and tracefs.
func NewTracer() (*Tracer, error) {
	if why := Missing(); why != "" {
		return nil, errors.New(why)
	}
	t := &Tracer{subs: map[netip.Addr]func(traceEvent){}, done: make(chan error, 1)}
	if err := t.mount(); err != nil {
		return nil, errors.Join(err, t.unmount())
	}
	if err := t.claim(); err != nil {
		return nil, errors.Join(err, t.unmount())
	}
	if err := t.start(); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	go func() { t.done <- t.loop() }()
	return t, nil
}

// claim takes a number that no other run holds, a random one, because sockets
// of an earlier run may still be dying in namespaces that nobody sees any
// more. What holds it is an abstract socket, which the kernel frees when its
// owner ends, however it ends; so an instance that bears a free number was
// left behind.
func (t *Tracer) claim() error {
	for _, i := range rand.Perm(254) {
		n := i + 1
		l, err := net.Listen("unix", fmt.Sprintf("@lastack-lab-%d", n))
		if err != nil {
			continue
		}
		t.lock, t.Number = l, byte(n)
		t.dir = filepath.Join(tracefs, "instances", fmt.Sprintf("lastack-lab-%d", n))
		if err := os.Remove(t.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return errors.Join(fmt.Errorf("removing an old trace instance: %w", err), l.Close())
		}
		if err := os.Mkdir(t.dir, 0o700); err != nil {
			return errors.Join(fmt.Errorf("making a trace instance: %w", err), l.Close())
		}
		return nil
	}
	return errors.New("254 runs of the lab are under way on this machine")
}

func (t *Tracer) start() error {
	for _, s := range [][2]string{
		{"trace_clock", "mono"},
		{"buffer_size_kb", "4096"},
		{"events/sock/" + stateEvent + "/enable", "1"},
	} {
		if err := os.WriteFile(filepath.Join(t.dir, s[0]), []byte(s[1]), 0); err != nil {
			return fmt.Errorf("setting up the trace: %w", err)
		}
	}
	var err error
	if t.offset, err = clockOffset(); err != nil {
		return err
	}
	if t.pipe, err = os.Open(filepath.Join(t.dir, "trace_pipe")); err != nil {
		return fmt.Errorf("reading the trace: %w", err)
	}
	return nil
}

// clockOffset is CLOCK_REALTIME, the clock of captures, minus CLOCK_MONOTONIC,
// the clock of the trace, in ns: the tightest of some pairs of readings.
func clockOffset() (int64, error) {
	best, offset := int64(1<<62), int64(0)
	for range 100 {
		var before, wall, after unix.Timespec
		err := errors.Join(
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &before),
			unix.ClockGettime(unix.CLOCK_REALTIME, &wall),
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &after),
		)
		if err != nil {
			return 0, fmt.Errorf("reading the clocks: %w", err)
		}
		if gap := after.Nano() - before.Nano(); gap < best {
			best, offset = gap, wall.Nano()-before.Nano()-gap/2
		}
	}
	return offset, nil
}

func (t *Tracer) loop() error {
	r := bufio.NewScanner(t.pipe)
	for r.Scan() {
		e, ok, err := parseTraceLine(r.Text())
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		e.at += t.offset
		t.mu.Lock()
		f := t.subs[e.local.Addr()]
		t.mu.Unlock()
		if f != nil {
			f(e)
		}
	}
	if err := r.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("reading the trace: %w", err)
	}
	return nil
}

// subscribe has f called with every move of a socket at a local address, in
// the order of the trace.
func (t *Tracer) subscribe(a netip.Addr, f func(traceEvent)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs[a] = f
}

func (t *Tracer) unsubscribe(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subs, a)
}

// Close ends the trace. It is an error when events were lost, or when the
// wall clock was set meanwhile: then trace and captures do not fit together.
func (t *Tracer) Close() error {
	offset, err := clockOffset()
	if d := time.Duration(offset - t.offset).Abs(); err == nil && d > time.Millisecond {
		err = fmt.Errorf("the clock was set by %v during the recording", d)
	}
	cerr := t.pipe.Close()
	return errors.Join(err, cerr, <-t.done, t.remove())
}

func (t *Tracer) remove() error {
	return errors.Join(os.Remove(t.dir), t.lock.Close(), t.unmount())
}
