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
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A recording is three files whose names begin with a scenario and a family,
// such as "refused-v4", and end so.
const (
	ClientCapture = ".client.pcap"
	ServerCapture = ".server.pcap"
	TruthFile     = ".truth.jsonl" // lines of About, then Labels, then Transitions in order of time
)

// About describes a recording.
type About struct {
	Scenario string `json:"scenario"`
	Family   string `json:"family"`
	Does     string `json:"does"`
	Client   string `json:"client"`           // address
	Server   string `json:"server"`           // address
	Router   string `json:"router,omitempty"` // address, where there is one
	OneWayNS int64  `json:"one_way_ns"`
	Kernel   string `json:"kernel"` // release
	// End is when the captures ended: a frame that is not TCP marks it.
	End int64 `json:"end_ns"`
}

const (
	labSnaplen  = 256
	atOnce      = 32                     // recordings under way
	sampleEvery = 200 * time.Millisecond // of sock_diag
	settle      = 300 * time.Millisecond // until the trace of what happened is read
)

// Record plays scenarios, several at a time, and writes a recording of each in
// each of its families into a folder, replacing what it finds of that name. It
// needs root and tracefs. Scenarios that fail are in the error and leave no
// recording; the others are written.
func Record(dir string, scenarios []Scenario) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t, err := NewTracer()
	if err != nil {
		return err
	}
	type job struct {
		s Scenario
		f Family
		n byte
	}
	var jobs []job
	for _, s := range scenarios {
		for _, f := range s.families() {
			jobs = append(jobs, job{s, f, byte(len(jobs))})
		}
	}
	if len(jobs) > 256 {
		return errors.Join(fmt.Errorf("%d recordings, and addresses for 256", len(jobs)), t.Close())
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.s.Tail, a.s.Tail) })
	errs := make([]error, len(jobs))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, j := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			name := j.s.Name + "-" + j.f.String()
			if err := recordOne(t, filepath.Join(dir, name), j.s, j.f, j.n); err != nil {
				errs[i] = fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, t.Close())...)
}

// recordOne plays one scenario on the n-th network of the run, into files
// whose names begin with a path.
func recordOne(t *Tracer, path string, s Scenario, f Family, n byte) (err error) {
	defer func() {
		if err != nil {
			for _, end := range []string{ClientCapture, ServerCapture, TruthFile} {
				_ = os.Remove(path + end) // it may not have come so far
			}
		}
	}()
	config := NetworkConfig{Client: subnet(t.Number, n, 0), OneWay: cmp.Or(s.OneWay, defaultOneWay)}
	if s.Router {
		config.Server = subnet(t.Number, n, 1)
	}
	network, err := NewNetwork(config)
	if err != nil {
		return err
	}
	b := &Bench{Network: network, Scenario: s, Family: f, port: firstPort()}
	about, err := b.record(t, path)
	err = errors.Join(err, network.Close())
	if err = errors.Join(err, release(b.held)); err != nil {
		return err
	}
	return b.write(path, about)
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

// subnet is one of the two subnets of the n-th network of a run.
func subnet(run, n, half byte) Subnet {
	return Subnet{
		V4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, run, n, half << 7}), 25),
		V6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, run, n, 0, half}), 64),
	}
}

// record runs the scenario with captures and truth going.
func (b *Bench) record(t *Tracer, path string) (About, error) {
	about := About{Scenario: b.Scenario.Name, Family: b.Family.String(), Does: b.Scenario.Does,
		Client: b.Client.Addr(b.Family).String(), Server: b.Server.Addr(b.Family).String(),
		OneWayNS: int64(b.Wire.oneWay)}
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
	if b.truth, err = watch(t, b.Network, b.Family); err != nil {
		return about, err
	}
	err = b.play()
	time.Sleep(cmp.Or(b.Scenario.Tail, defaultTail))
	about.End = time.Now().UnixNano()
	err = errors.Join(err, b.mark())
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
	b.Scenario.Play(b)
	return nil
}

// truthLine is one line of a truth file: one of these.
type truthLine struct {
	About      *About      `json:"about,omitempty"`
	Label      *Label      `json:"label,omitempty"`
	Transition *Transition `json:"transition,omitempty"`
}

func (b *Bench) write(path string, about About) error {
	transitions, err := b.truth.transitions()
	if err != nil {
		return err
	}
	lines := []truthLine{{About: &about}}
	for _, l := range b.labels {
		lines = append(lines, truthLine{Label: &l})
	}
	for _, t := range transitions {
		lines = append(lines, truthLine{Transition: &t})
	}
	return writeLines(path+TruthFile, lines)
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
	lines, err := readLines[truthLine](path + TruthFile)
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
	if r.About == (About{}) {
		return r, fmt.Errorf("%s: does not say what was recorded", path+TruthFile)
	}
	return r, nil
}
