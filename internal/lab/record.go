//go:build linux

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A recording is three files whose names begin with Take.Name and end so.
const (
	ClientCapture = ".client.pcap"
	ServerCapture = ".server.pcap"
	TruthFile     = ".truth.jsonl" // lines of About, then Labels, then Transitions in order of time
)

// About describes a recording.
type About struct {
	Scenario string `json:"scenario"`
	Class    string `json:"class"`
	Family   string `json:"family"`
	Does     string `json:"does"`
	Client   string `json:"client"`           // address
	Server   string `json:"server"`           // address
	Router   string `json:"router,omitempty"` // address, where there is one
	OneWayNS int64  `json:"one_way_ns"`
	Bare     bool   `json:"bare,omitempty"`
	Offload  bool   `json:"offload,omitempty"`
	// Tuned are the parameters that are not the kernel's defaults, the last
	// value that each had.
	Tuned  []Tuning `json:"tuned,omitempty"`
	Kernel string   `json:"kernel"` // release
	// Unlabelled are the connections of a mix whose applications, on a busy
	// machine or a lossy wire, did something else than they were to do.
	Unlabelled int `json:"unlabelled,omitempty"`
	// Repeated are the segments that the hosts' kernels retransmitted.
	Repeated int `json:"repeated,omitempty"`
	// End is when the captures ended: a frame that is not TCP marks it.
	End int64 `json:"end_ns"`
}

// Tuning is a parameter of a host's TCP, net.ipv4.NAME.
type Tuning struct {
	Host  string `json:"host"` // "client" or "server"
	Name  string `json:"name"`
	Value string `json:"value"`
}

const (
	labSnaplen  = 256
	atOnce      = 64                     // recordings under way, by weight
	threads     = 16                     // that run Go code at once
	sampleEvery = 200 * time.Millisecond // of sock_diag
	settle      = 300 * time.Millisecond // until the trace of what happened is read
)

// Record plays scenarios, several at a time, and writes a recording of each
// take into a folder, replacing what it finds of that name. It needs root and
// tracefs.
//
// A take is played again, up to attempts times in all, when the kernels did not
// do what its scenario is about, and once when a verb failed: the machine may
// have been too busy for its applications. Again lists those, with the reason.
// Takes that fail all the same are in the error and leave no recording; the
// others are written.
func Record(dir string, takes []Take) (again []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t, err := NewTracer()
	if err != nil {
		return nil, err
	}
	if len(takes)+attempts > maxNetworks {
		return nil, errors.Join(fmt.Errorf("%d recordings, and addresses for %d", len(takes), maxNetworks), t.Close())
	}
	// Threads that wait in the kernel are not to hold up the wires.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	takes = slices.Clone(takes)
	slices.SortStableFunc(takes, func(a, b Take) int { return cmp.Compare(b.Scenario.Tail, a.Scenario.Tail) })
	errs, replays := make([]error, len(takes)), make([][]string, len(takes))
	run := &session{Tracer: t, builders: make(chan struct{}, 2)}
	defer run.stalls.watch()()
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, take := range takes {
		for range take.weight() {
			slots <- struct{}{}
		}
		wg.Go(func() {
			defer func() {
				for range take.weight() {
					<-slots
				}
			}()
			replays[i], errs[i] = run.persist(filepath.Join(dir, take.Name()), take)
		})
	}
	wg.Wait()
	return slices.Concat(replays...), errors.Join(append(errs, t.Close())...)
}

// attempts is how often a take may be played.
const attempts = 4

// persist plays one take until it is what its label says.
func (s *session) persist(path string, take Take) (again []string, err error) {
	for n := range attempts {
		if err = s.recordOne(path, take, n == attempts-1); err == nil {
			return again, nil
		}
		err = fmt.Errorf("%s: %w", take.Name(), err)
		if !errors.As(err, new(missed)) && n > 0 {
			break
		}
		again = append(again, err.Error())
	}
	return again, err
}

// recordOne plays one take on a network of its own, into files whose names begin
// with a path, for the last time or not.
func (s *session) recordOne(path string, take Take, last bool) (err error) {
	defer func() {
		if err != nil {
			for _, end := range []string{ClientCapture, ServerCapture, TruthFile} {
				_ = os.Remove(path + end) // it may not have come so far
			}
		}
	}()
	network, err := s.network(take)
	if err != nil {
		return err
	}
	b := &Bench{Network: network, Take: take, last: last, stalls: &s.stalls, port: firstPort()}
	about, err := About{}, network.furtherClients(take.Scenario.Hosts-1)
	if err == nil {
		about, err = b.record(s.Tracer, path)
	}
	err = errors.Join(err, network.Close())
	if err = errors.Join(err, release(b.held)); err != nil {
		return err
	}
	return b.write(path, about)
}

// session is one run of Record.
type session struct {
	*Tracer
	stalls
	networks atomic.Int32 // that were made
	// builders bounds the networks that are made at a time: the kernel makes
	// namespaces one after the other, and each thread that waits for that keeps
	// wires from running.
	builders chan struct{}
}

// network makes the next network.
func (s *session) network(t Take) (*Network, error) {
	n := s.networks.Add(1) - 1
	if n >= maxNetworks {
		return nil, errors.New("no addresses are left")
	}
	c := NetworkConfig{Client: subnet(s.Number, uint16(n), 0), OneWay: cmp.Or(t.Scenario.OneWay, defaultOneWay), Offload: t.Offload}
	if t.Scenario.Router {
		c.Server = subnet(s.Number, uint16(n), 1)
	}
	s.builders <- struct{}{}
	defer func() { <-s.builders }()
	return NewNetwork(c)
}

// release closes what applications held after their network is gone. Sockets
// are aborted, so that they do not linger as orphans that repeat their FIN.
func release(held []io.Closer) error {
	var errs []error
	for _, h := range held {
		if c, ok := h.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // fails when it is closed already
		}
		if err := h.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// maxNetworks is how many networks of a run have addresses of their own. None
// is used twice, for the reason for which Tracer.Number is random.
const maxNetworks = 256 * 8

// subnet is one of the two subnets of the n-th network of a run.
func subnet(run byte, n uint16, half byte) Subnet {
	return Subnet{
		V4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, run, byte(n >> 3), byte(n&7)<<5 | half<<4}), 28),
		V6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, run, byte(n >> 8), byte(n), half}), 64),
	}
}

// record runs the scenario with captures and truth going.
func (b *Bench) record(t *Tracer, path string) (About, error) {
	about := About{Scenario: b.Scenario.Name, Class: b.Scenario.Class, Family: b.Family.String(), Does: b.Scenario.Does,
		Client: b.Client.Addr(b.Family).String(), Server: b.Server.Addr(b.Family).String(),
		OneWayNS: int64(b.Wire.oneWay), Bare: b.Bare, Offload: b.Offload}
	if b.Scenario.Router {
		about.Router = b.router.Addr(b.Family).String()
	}
	var err error
	var name unix.Utsname
	if err = unix.Uname(&name); err != nil {
		return about, err
	}
	about.Kernel = unix.ByteSliceToString(name.Release[:])
	if err := errors.Join(b.Capture(b.Client, path+ClientCapture, labSnaplen),
		b.Capture(b.Server, path+ServerCapture, labSnaplen)); err != nil {
		return about, err
	}
	if b.truth, err = watch(t, b.Network, b.Family, max(1, b.Scenario.Hosts)); err != nil {
		return about, err
	}
	begin := time.Now()
	err = b.play()
	if d := b.stalls.since(begin); err == nil && d > longestStall && !b.last && b.Scenario.Class != Mixed {
		err = missed{fmt.Errorf("this process stood still for %v meanwhile", d.Round(time.Millisecond))}
	}
	about.Tuned = b.tuned
	time.Sleep(cmp.Or(b.Scenario.Tail, defaultTail))
	about.End = time.Now().UnixNano()
	err = errors.Join(err, b.mark(), b.repetitions(&about))
	time.Sleep(settle)
	return about, errors.Join(err, b.truth.stop())
}

// play runs the script and turns the failure of a verb into an error.
func (b *Bench) play() (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.error
		default:
			panic(r)
		}
	}()
	if b.Bare {
		b.Must(errors.Join(b.Client.Sysctl("net.ipv4.tcp_timestamps", "0"), b.Server.Sysctl("net.ipv4.tcp_timestamps", "0")))
	}
	b.Scenario.Play(b)
	return nil
}

// repetitions counts what the kernels retransmitted. Where the scenario gives
// them no cause the machine was too busy, and it is played again; the last time
// it stands as it is.
func (b *Bench) repetitions(about *About) error {
	for _, h := range []*Host{b.Client, b.Server} {
		n, err := h.counter("snmp", "Tcp", "RetransSegs")
		if err != nil {
			return err
		}
		about.Repeated += n
	}
	if about.Repeated > 0 && !b.Scenario.Repeats && !b.last {
		return missed{fmt.Errorf("%d segments were retransmitted though none was lost", about.Repeated)}
	}
	return nil
}

// reached checks that the kernels made the moves that the scenario is about, on
// a connection that bears its label.
func (b *Bench) reached(made []Transition) error {
	for _, want := range b.Scenario.Kernel {
		if !slices.ContainsFunc(made, func(t Transition) bool { return t.is(want) && b.labelled(t.Local, t.Remote) }) {
			return missed{fmt.Errorf("no %s", want)}
		}
	}
	return nil
}

// labelled reports whether a connection is one that the scenario is about, and
// not one that only plays a part.
func (b *Bench) labelled(local, remote netip.AddrPort) bool {
	return slices.ContainsFunc(b.labels, func(l Label) bool {
		return l.Behaviour == b.Scenario.Name && l.of(local, remote)
	})
}

// truthLine is one line of a truth file: one of these.
type truthLine struct {
	About      *About      `json:"about,omitempty"`
	Label      *Label      `json:"label,omitempty"`
	Transition *Transition `json:"transition,omitempty"`
}

func (b *Bench) write(path string, about About) error {
	transitions, err := b.truth.transitions()
	if err == nil {
		err = b.reached(transitions)
	}
	if err != nil {
		return err
	}
	all := len(b.labels)
	b.labels = slices.DeleteFunc(b.labels, func(l Label) bool {
		return l.Kernel != "" && !slices.ContainsFunc(transitions, func(t Transition) bool { return t.is(l.Kernel) && l.of(t.Local, t.Remote) })
	})
	about.Unlabelled = b.unlabelled + all - len(b.labels)
	lines := []truthLine{{About: &about}}
	for _, l := range b.labels {
		lines = append(lines, truthLine{Label: &l})
	}
	for _, t := range transitions {
		lines = append(lines, truthLine{Transition: &t})
	}
	return writeLines(path+TruthFile, lines)
}

// Found is the name of a file of a recording as it is there: plain, or
// compressed by gzip.
func Found(name string) (string, error) {
	_, err := os.Stat(name)
	if err == nil {
		return name, nil
	}
	if _, zerr := os.Stat(name + ".gz"); zerr == nil {
		return name + ".gz", nil
	}
	return "", err
}

// Recording is what is known of a recording besides its packets.
type Recording struct {
	About       About
	Labels      []Label
	Transitions []Transition
}

// ReadRecording reads the truth file of a recording, given the path of its
// files without their endings.
func ReadRecording(path string) (Recording, error) {
	name, err := Found(path + TruthFile)
	if err != nil {
		return Recording{}, err
	}
	lines, err := readLines[truthLine](name)
	if err != nil {
		return Recording{}, err
	}
	var r Recording
	for i, l := range lines {
		switch {
		case l.About != nil:
			r.About = *l.About
		case l.Label != nil:
			r.Labels = append(r.Labels, *l.Label)
		case l.Transition != nil:
			r.Transitions = append(r.Transitions, *l.Transition)
		default:
			return r, fmt.Errorf("%s: object %d is nothing that is known", path+TruthFile, i+1)
		}
	}
	if r.About.Scenario == "" {
		return r, fmt.Errorf("%s: does not say what was recorded", path+TruthFile)
	}
	return r, nil
}
