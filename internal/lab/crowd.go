//go:build linux

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lastack/lastack/fsm"
)

// Crowd is a run of many connections between two hosts on a wire that loses
// nothing, and what each host's kernel listed of its sockets meanwhile. The
// captures are in files named as those of a recording.
type Crowd struct {
	Path           string // of the captures, without their endings
	Client, Server netip.Addr
	Tables         []Table // of either host, in order of time
	Opened         int     // connections, by the client's kernel
	Repeated       int     // segments that either kernel sent again
	Overflowed     int     // third ACKs and SYNs that a full accept queue had the server's kernel ignore
	End            int64   // when the captures ended
}

// Table is what one host's kernel listed at one time, as ss -tan does (both ask
// sock_diag(7)): between Before and After, ns.
type Table struct {
	Host          string // "client" or "server"
	Before, After int64
	Sockets       []TableSocket // by their ports
}

// TableSocket is one socket that is not listening. Both hosts have one address.
type TableSocket struct {
	Local, Remote uint16
	State         fsm.State
	// Due: its timer has run out, and the kernel has not come round to ending
	// it. Of TIME_WAIT, and FIN_WAIT_2 without a full socket.
	Due bool
}

// Compare orders sockets by their ports.
func (s TableSocket) Compare(o TableSocket) int {
	return cmp.Or(cmp.Compare(s.Local, o.Local), cmp.Compare(s.Remote, o.Remote))
}

const (
	// CrowdSize is how many connections there are.
	CrowdSize = 2000
	// TablesEvery is how often the sockets are listed.
	TablesEvery = 100 * time.Millisecond

	crowdName  = "crowd"
	crowdRamp  = 20 * time.Second
	narrowPort = servicePort + 10 // where the accept queue is too small
	narrowRoom = 15               // connections that it holds, less one
	narrowAt   = crowdRamp        // after the first connection
	narrowWait = 2500 * time.Millisecond
)

// recordCrowd plays a crowd and writes its captures into a folder. Whole goes on
// until TIME_WAIT and FIN_WAIT_2 have ended by their timers.
func recordCrowd(dir string, whole bool) (c *Crowd, err error) {
	n, err := NewNetwork(NetworkConfig{Client: Subnet{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:0:2000::/64")},
		OneWay: defaultOneWay})
	if err != nil {
		return nil, err
	}
	b := &Bench{Network: n, Take: Take{Scenario: Scenario{Name: crowdName, Play: playCrowd}, Family: IPv4}}
	c = &Crowd{Path: filepath.Join(dir, crowdName), Client: n.Client.V4, Server: n.Server.V4}
	tail := defaultTail
	if whole {
		tail = longTail
	}
	err = errors.Join(c.record(b, tail), n.Close())
	return c, errors.Join(err, release(b.held))
}

func (c *Crowd) record(b *Bench, tail time.Duration) error {
	if err := errors.Join(b.Capture(b.Client, c.Path+ClientCapture, labSnaplen), b.Capture(b.Server, c.Path+ServerCapture, labSnaplen)); err != nil {
		return err
	}
	stop, err := c.watch(b)
	if err != nil {
		return err
	}
	if err = b.play(); err == nil {
		time.Sleep(tail)
	}
	c.End = time.Now().UnixNano()
	return errors.Join(err, stop(), b.mark(), c.count(b))
}

// watch lists the sockets of both hosts until stop is called.
func (c *Crowd) watch(b *Bench) (stop func() error, err error) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, h := range []*Host{b.Client, b.Server} {
		d, err := newDiagSocket(h, b.Family)
		if err != nil {
			close(end)
			return nil, err
		}
		wg.Go(func() {
			tables, err := listEvery(d, h.Name, end)
			mu.Lock()
			defer mu.Unlock()
			c.Tables, errs = append(c.Tables, tables...), append(errs, err, d.close())
		})
	}
	return func() error {
		close(end)
		wg.Wait()
		slices.SortStableFunc(c.Tables, func(a, b Table) int { return cmp.Compare(a.Before, b.Before) })
		return errors.Join(errs...)
	}, nil
}

func listEvery(d *diagSocket, host string, end chan struct{}) (out []Table, err error) {
	tick := time.NewTicker(TablesEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return out, nil
		case <-tick.C:
		}
		s, err := d.list()
		if err != nil {
			return out, fmt.Errorf("%s: %w", host, err)
		}
		out = append(out, s.table(host))
	}
}

// table is the sample with no more than a table needs.
func (s *sample) table(host string) Table {
	t := Table{Host: host, Before: s.before, After: s.after}
	for c, st := range s.sockets {
		t.Sockets = append(t.Sockets, TableSocket{c.local.Port(), c.remote.Port(), st.state,
			st.expires != 0 && st.expires <= s.before})
	}
	slices.SortFunc(t.Sockets, TableSocket.Compare)
	return t
}

// count asks the kernels what happened.
func (c *Crowd) count(b *Bench) error {
	var errs [4]error
	var again [2]int
	c.Opened, errs[0] = b.Client.counter("snmp", "Tcp", "ActiveOpens")
	again[0], errs[1] = b.Client.counter("snmp", "Tcp", "RetransSegs")
	again[1], errs[2] = b.Server.counter("snmp", "Tcp", "RetransSegs")
	c.Repeated = again[0] + again[1]
	c.Overflowed, errs[3] = b.Server.counter("netstat", "TcpExt", "ListenOverflows")
	return errors.Join(append(errs[:], roomForTimeWait(b.Client), roomForTimeWait(b.Server))...)
}

// playCrowd opens the connections, a hundred in a second.
func playCrowd(b *Bench) {
	for _, h := range []*Host{b.Client, b.Server} {
		// A namespace's small table would leave room for fewer.
		b.Tune(h, "tcp_max_tw_buckets", "8192")
	}
	// A SYN cookie is a connection of which the server's kernel has no socket.
	b.Tune(b.Server, "tcp_syncookies", "0")
	m := &mix{Bench: b, parts: map[netip.AddrPort]*part{}}
	narrow, err := b.Server.Listen(b.Family, narrowPort, narrowRoom)
	b.Must(err)
	begin := time.Now()
	var all []mixed
	for _, x := range crowd(begin) {
		for range x.share {
			all = append(all, x.mixed)
		}
	}
	if len(all) != CrowdSize {
		b.Fail("%d connections", len(all))
	}
	var late sync.WaitGroup
	late.Go(func() {
		time.Sleep(narrowAt + narrowWait) // its application accepts late
		m.serve(narrow)
	})
	m.play(all, crowdRamp, 0, b.Listen(-1))
	b.Must(narrow.Close())
	late.Wait()
}

// crowd are the behaviours and how many connections show each.
func crowd(begin time.Time) []struct {
	share int
	mixed
} {
	visit := func(questions int) func(*part) { return func(p *part) { p.visit(questions) } }
	toEnd := func(p *part) { p.visitToEnd(p.open(servicePort)) }
	return []struct {
		share int
		mixed
	}{
		{500, mixed{name: "client-closes", does: "asks, and closes", client: visit(2)}},
		{400, mixed{name: "server-closes", does: "asks; the server closes after its answer", client: toEnd, server: closingServer}},
		{100, mixed{name: "health-check", does: "opens and closes without a word", client: visit(0)}},
		{100, mixed{name: "both-close", does: "asks; both close at the same time", client: bothCloseClient, server: bothCloseServer}},
		{100, mixed{name: "half-close", does: "shuts its writing side down, and reads on", client: halfCloseClient, server: halfCloseServer}},
		{200, mixed{name: "late-close", does: "closes; the server closes 2 s later", client: visit(1), server: lateServer}},
		{200, mixed{name: "late-client", does: "asks; the server closes; closes 3 s later", client: lateClient, server: closingServer}},
		{100, mixed{name: "leak", does: "closes; the server never looks again", client: visit(1), server: answerOnce}},
		{60, mixed{name: "client-leak", does: "asks; the server closes; never looks again", client: leftOpen, server: closingServer}},
		{200, mixed{name: "left-open", does: "asks, and leaves the connection open", client: leftOpen, server: answerOnce}},
		{40, mixed{name: "narrow", does: "asks a server that accepts late, and closes", client: func(p *part) { narrowClient(p, begin) }}},
	}
}

func lateClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		p.drain(c)
		time.Sleep(3 * time.Second)
		c.Close()
	}
}

// narrowClient comes with all others of its kind at once.
func narrowClient(p *part, begin time.Time) {
	time.Sleep(time.Until(begin.Add(narrowAt)))
	if c := p.open(narrowPort); c != nil {
		p.ask(c, 1)
		c.Close()
	}
}
