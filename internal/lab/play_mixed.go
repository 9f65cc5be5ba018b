//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// mixes are hundreds of connections at once, of all behaviours, on a wire that
// loses, repeats and reorders.
func mixes() []Scenario {
	var out []Scenario
	for _, loss := range []int{0, 5, 15} {
		name, does := "mixed", "Hundreds of connections of all behaviours at once."
		if loss > 0 {
			name = fmt.Sprintf("mixed-loss-%d", loss)
			does = fmt.Sprintf("As mixed; of each hundred segments the wire loses %d, and repeats and delays as many.", loss)
		}
		out = append(out, Scenario{Name: name, Does: does, Tail: 12 * time.Second, Play: playMixed(loss)})
	}
	return out
}

const (
	mixedFirstPort = 20_001
	mixedEach      = 16 // connections of each behaviour
	mixedRamp      = 4 * time.Second
	mixedPatience  = 15 * time.Second
	reorderBy      = 15 * time.Millisecond // at most
)

// lossy are the rules whose cause a lossy wire brings.
var lossy = []string{"syn-retransmitted", "syn-unanswered", "handshake-ack-lost", "last-ack-lost", "ack-of-fin-lost",
	"fin-unacked", "fin-answered-late", "retransmission-timeout", "late-duplicate", "tuple-reuse-rejected",
	"accept-queue-overflow", // which says "or the path drops what follows the handshake"
	"idle-timeout-close"}    // the applications' patience is a timer

// hurried are those whose cause a busy machine brings: a FIN that is repeated
// because its acknowledgement was slow.
var hurried = []string{"last-ack-lost", "ack-of-fin-lost", "time-wait-assassinated", "fin-answered-late"}

func playMixed(loss int) func(*Bench) {
	return func(b *Bench) {
		if loss > 0 {
			b.Wire.Add(hazard(uint64(loss), loss))
		}
		m := &mix{Bench: b, lossy: loss > 0, parts: map[netip.AddrPort]*part{}}
		list := mixture()
		var all []mixed
		for range mixedEach {
			all = append(all, list...)
		}
		m.play(all, mixedRamp, uint64(loss), b.Listen(-1))
		labels := len(b.labels)
		b.labels = slices.DeleteFunc(b.labels, func(l Label) bool { return m.parts[l.Client].gaveUp })
		b.unlabelled = labels - len(b.labels)
	}
}

// play begins the parts one after the other, in an order that the seed decides,
// and returns when all are over. The listeners are closed then.
func (m *mix) play(all []mixed, ramp time.Duration, seed uint64, listeners ...*Listener) {
	var wg, serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() { m.serve(l) })
	}
	for i, k := range rand.New(rand.NewPCG(1, seed)).Perm(len(all)) {
		p := &part{mix: m, mixed: all[k], port: mixedFirstPort + uint16(k)}
		wg.Go(func() {
			time.Sleep(ramp * time.Duration(i) / time.Duration(len(all)))
			p.client(p)
		})
	}
	wg.Wait()
	for _, l := range listeners {
		m.Must(l.Close())
	}
	serving.Wait()
}

// hazard loses that many segments of a hundred, repeats as many, and delays as
// many so that others overtake them. The fate of the n-th segment that a port
// sends in a direction depends on nothing else.
func hazard(seed uint64, percent int) Rule {
	count := map[flowDir]uint64{}
	return func(f *Frame) Fate {
		if !f.IsTCP() {
			return Fate{}
		}
		d := flowDir{f.Dir, f.Src.Port(), f.Dst.Port()}
		count[d]++
		rng := rand.New(rand.NewPCG(seed<<40|uint64(d.dir)<<32|uint64(d.client)<<16|uint64(d.server), count[d]))
		switch n := rng.IntN(100); {
		case n < percent:
			return Fate{Drop: true}
		case n < 2*percent:
			return Fate{Copies: 1}
		case n < 3*percent:
			return Fate{Delay: time.Duration(1 + rng.Int64N(int64(reorderBy)))}
		}
		return Fate{}
	}
}

// mix is a run of playMixed.
type mix struct {
	*Bench
	lossy bool

	mu    sync.Mutex
	parts map[netip.AddrPort]*part // by the client's end
}

// part is one four-tuple's share in the mix. Its verbs do not mind failures,
// which a lossy wire brings about; but a connection on which an application lost
// patience, and did something else than its behaviour says, has no label.
type part struct {
	*mix
	mixed
	port   uint16
	gaveUp bool // guarded by mix.mu
}

// try notes an application's loss of patience. It is false after a failure.
func (p *part) try(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		p.mu.Lock()
		p.gaveUp = true
		p.mu.Unlock()
	}
	return err == nil
}

// mixed is one behaviour: what either application does.
type mixed struct {
	name   string
	does   string
	expect []string
	// kernel is a move that is made when the applications' timing came out as it
	// is meant, as in Scenario.Kernel: else the connection has no label.
	kernel string
	client func(p *part)
	server func(p *part, c *net.TCPConn) // nil: echo, and close when the client has
	// underLoss are rules that may name it besides when segments are lost,
	// doubtful those that may do so as no more than possible.
	underLoss, doubtful []string
}

// serve hands each connection to its behaviour.
func (m *mix) serve(l *Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return // the mix is over
		}
		m.mu.Lock()
		p := m.parts[c.RemoteAddr().(*net.TCPAddr).AddrPort()]
		m.held = append(m.held, c)
		m.mu.Unlock()
		wg.Go(func() {
			if p.server != nil {
				p.server(p, c)
				return
			}
			p.answer(c, -1)
			p.pause(200)
			c.Close()
		})
	}
}

// open connects to a port of the server and labels the connection; nil when it
// failed.
func (p *part) open(port uint16) *net.TCPConn {
	to := netip.AddrPortFrom(p.Service().Addr(), port)
	l := Label{Behaviour: p.Scenario.Name + "/" + p.name, Did: p.does, Client: p.At(p.port), Server: to, Expect: p.expect, Possible: hurried, Kernel: p.kernel}
	if p.lossy {
		l.Expect, l.Possible, l.Doubtful = nil, slices.Concat(p.expect, p.underLoss, hurried, lossy), p.doubtful
	}
	p.mu.Lock()
	p.parts[p.At(p.port)] = p
	p.labels = append(p.labels, l)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), mixedPatience)
	defer cancel()
	c, err := p.Client.Dial(ctx, p.port, to)
	if !p.try(err) {
		return nil
	}
	p.mu.Lock()
	p.held = append(p.held, c)
	p.mu.Unlock()
	_ = c.SetDeadline(time.Now().Add(mixedPatience))
	return c
}

// pause sleeps for up to some milliseconds, by the port.
func (p *part) pause(ms int) {
	time.Sleep(time.Duration(int(p.port)*7919%ms) * time.Millisecond)
}

// ask sends questions and reads their answers; false when that failed.
func (p *part) ask(c *net.TCPConn, times int) bool {
	for range times {
		if !p.write(c, question) || !p.read(c, answer) {
			return false
		}
		p.pause(50)
	}
	return true
}

const question, answer = 100, 300

// answer answers so many questions, or all if it is negative. It is false when
// the client ended or failed before.
func (p *part) answer(c *net.TCPConn, times int) bool {
	_ = c.SetDeadline(time.Now().Add(mixedPatience))
	for i := 0; i != times; i++ {
		if !p.read(c, question) || !p.write(c, answer) {
			return false
		}
	}
	return true
}

func (p *part) write(c *net.TCPConn, n int) bool {
	_, err := c.Write(make([]byte, n))
	return p.try(err)
}

func (p *part) read(c *net.TCPConn, n int) bool {
	_, err := io.ReadFull(c, make([]byte, n))
	return p.try(err)
}

// drain reads to the end.
func (p *part) drain(c *net.TCPConn) bool {
	_, err := io.Copy(io.Discard, c)
	return p.try(err)
}
