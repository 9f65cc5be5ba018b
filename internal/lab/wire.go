//go:build linux

package lab

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Fate is what becomes of a frame. The zero value lets it pass.
type Fate struct {
	Drop   bool
	Delay  time.Duration // on top of the wire's own; later frames may overtake
	Copies int           // further copies that follow the frame
}

// Rule decides the fate of a frame. Rules run one frame at a time.
type Rule func(f *Frame) Fate

// Wire joins the two hosts: it reads the frames that one sends and, after a
// delay, writes them to the other, unless a rule decides otherwise.
type Wire struct {
	oneWay time.Duration
	ports  map[Dir]*port // where frames of a direction are written
	queues map[Dir]chan delivery
	done   sync.WaitGroup

	mu    sync.Mutex
	rules []Rule
	fins  map[flowDir]tcp.Seq // end of the FIN that went that way
	last  map[Dir]Frame       // the latest TCP segment of each direction
	after map[Dir]func()      // called when a frame was delivered
	err   error
}

type flowDir struct {
	dir            Dir
	client, server uint16
}

type delivery struct {
	due time.Time
	raw []byte
}

// newWire joins two interfaces, by the ends that this process holds, with a
// one-way delay.
func newWire(client, server *port, oneWay time.Duration) *Wire {
	w := &Wire{
		oneWay: oneWay,
		ports:  map[Dir]*port{ToServer: server, ToClient: client},
		queues: map[Dir]chan delivery{},
		fins:   map[flowDir]tcp.Seq{},
		last:   map[Dir]Frame{},
		after:  map[Dir]func(){},
	}
	for d := range w.ports {
		w.queues[d] = make(chan delivery, 1024)
	}
	w.done.Add(4)
	go w.read(ToServer, client)
	go w.read(ToClient, server)
	go w.deliver(ToServer)
	go w.deliver(ToClient)
	return w
}

// Add appends a rule; the first rule with a fate other than the zero value
// decides. It returns a function that takes the rule away.
func (w *Wire) Add(r Rule) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.rules)
	w.rules = append(w.rules, r)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules[i] = func(*Frame) Fate { return Fate{} }
	}
}

// Last is the latest TCP segment that entered the wire in a direction,
// whatever became of it.
func (w *Wire) Last(d Dir) Frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[d]
}

// afterDelivery has f called whenever a frame was given to the host at the
// end of a direction.
func (w *Wire) afterDelivery(d Dir, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after[d] = f
}

// Inject gives a frame to the host at the end of a direction, as if it had
// come along the wire.
func (w *Wire) Inject(d Dir, raw []byte) error {
	err := w.ports[d].write(raw)
	w.delivered(d)
	return err
}

// delivered tells who wants to know that a host was given a frame.
func (w *Wire) delivered(d Dir) {
	w.mu.Lock()
	f := w.after[d]
	w.mu.Unlock()
	if f != nil {
		f()
	}
}

func (w *Wire) read(d Dir, from *port) {
	defer w.done.Done()
	defer close(w.queues[d])
	for {
		frames, err := from.read()
		if err != nil {
			w.end(err)
			return
		}
		for _, raw := range frames {
			w.carry(d, raw)
		}
	}
}

// carry takes one frame along the wire.
func (w *Wire) carry(d Dir, raw []byte) {
	f := parseFrame(d, raw)
	fate := w.judge(&f)
	if fate.Drop {
		return
	}
	if fate.Delay > 0 {
		time.AfterFunc(w.oneWay+fate.Delay, func() { w.write(d, raw) })
		return
	}
	for range 1 + fate.Copies {
		w.queues[d] <- delivery{time.Now().Add(w.oneWay), raw}
	}
}

// judge asks the rules, after it has noted what they may want to know.
func (w *Wire) judge(f *Frame) Fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.IsTCP() {
		w.note(f)
	}
	for _, r := range w.rules {
		if fate := r(f); fate != (Fate{}) {
			return fate
		}
	}
	return Fate{}
}

func (w *Wire) note(f *Frame) {
	here, back := flowDir{f.Dir, f.Src.Port(), f.Dst.Port()}, flowDir{ToClient, f.Src.Port(), f.Dst.Port()}
	if f.Dir == ToClient {
		here.client, here.server = here.server, here.client
		back = here
		back.dir = ToServer
	}
	if f.Flags.Has(tcp.SYN) {
		delete(w.fins, here)
	}
	if fin, ok := w.fins[back]; ok && f.Flags.Has(tcp.ACK) {
		f.AcksFIN = fin.LessEq(f.Ack)
	}
	if f.Flags.Has(tcp.FIN) {
		w.fins[here] = f.End()
	}
	w.last[f.Dir] = *f
}

// deliver takes what has come together to a host with offloads, as its network
// card gathers it before the next interrupt.
func (w *Wire) deliver(d Dir) {
	defer w.done.Done()
	var next *delivery // taken from the queue, and not merged
	for {
		q, ok := delivery{}, true
		if next != nil {
			q, next = *next, nil
		} else if q, ok = <-w.queues[d]; !ok {
			return
		}
		time.Sleep(time.Until(q.due))
		if !w.ports[d].offload {
			w.write(d, q.raw)
			continue
		}
		m := newMerged(d, q.raw)
		for next == nil && len(w.queues[d]) > 0 {
			if more := <-w.queues[d]; time.Until(more.due) > gather || !m.take(more.raw) {
				next = &more
			}
		}
		w.deliverMerged(d, m)
	}
}

// gather is for how long a network card waits for more.
const gather = 50 * time.Microsecond

func (w *Wire) deliverMerged(d Dir, m *merged) {
	if raw, size := m.frame(); size > 0 {
		_ = w.ports[d].writeMerged(raw, m.first.tcp, size) // lost like any other where it fails
		w.delivered(d)
		return
	}
	w.write(d, m.first.Raw)
}

// write is Inject for frames that the wire carries: a host whose interface is
// gone or whose queue is full loses them, as on any network.
func (w *Wire) write(d Dir, raw []byte) { _ = w.Inject(d, raw) }

// end notes why a direction ended, unless its host was closed.
func (w *Wire) end(err error) {
	if errors.Is(err, os.ErrClosed) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// wait returns when both hosts are closed and nothing is under way. The error
// says why the wire broke before.
func (w *Wire) wait() error {
	w.done.Wait()
	return w.err
}

// Blackhole drops every TCP segment of a direction.
func Blackhole(d Dir) Rule {
	return func(f *Frame) Fate { return Fate{Drop: f.IsTCP() && f.Dir == d} }
}

// DropFirst drops the first n frames that match; all of them if n is negative.
func DropFirst(n int, match func(*Frame) bool) Rule {
	return func(f *Frame) Fate {
		if n == 0 || !match(f) {
			return Fate{}
		}
		n--
		return Fate{Drop: true}
	}
}
