//go:build linux

package judge

import (
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// mostDiffer is by how much, as a part of all sockets, a state may differ
// between lastack's tables and the kernels'.
const mostDiffer = 0.01

// tableDiff adds up, over instants, how many sockets there were in each state and by
// how many the tables differ.
type tableDiff struct{ kernel, own, differ [fsm.States]int }

// compare adds the two tables of an instant.
func (g *tableDiff) compare(kernel, own *[fsm.States]int) {
	for st := range kernel {
		g.kernel[st] += kernel[st]
		g.own[st] += own[st]
		g.differ[st] += max(kernel[st]-own[st], own[st]-kernel[st])
	}
}

func (g *tableDiff) plus(o *tableDiff) {
	for st := range g.kernel {
		g.kernel[st] += o.kernel[st]
		g.own[st] += o.own[st]
		g.differ[st] += o.differ[st]
	}
}

// part is the mean absolute difference of a state over the mean number of
// sockets.
func (g *tableDiff) part(st fsm.State) float64 {
	all := 0
	for _, n := range g.kernel {
		all += n
	}
	return float64(g.differ[st]) / float64(max(1, all))
}

// worst is the largest part.
func (g *tableDiff) worst() (worst float64) {
	for st := range g.kernel {
		worst = max(worst, g.part(fsm.State(st)))
	}
	return worst
}

// Tables is how far the tables are apart in which lastack says how many sockets
// a host holds in each state, and those that its kernel listed.
type Tables struct {
	Hosts    []HostTables
	Failures []string // what must hold and does not, in words

	crowd *lab.Crowd
}

// HostTables are those of one host, seen from its own interface.
type HostTables struct {
	Host     string
	Compared int // tables
	Long     int // listings that took too long to be one instant's
	Checked  int // tables that were compared with the report's own
	Most     int // sockets in one table
	Raw      tableDiff
	Ruled    tableDiff      // without the differences that allowances explain
	Allowed  map[string]int // sockets in tables, by the allowance that explains their difference
	Differ   []string       // the first sockets that no allowance explains
	differs  int
}

const (
	// longestListing is how long a listing may take to be one instant's, and
	// mostLong how many of a hundred may take longer.
	longestListing = int64(50 * time.Millisecond)
	mostLong       = 20
	// checkEvery is how many tables lie between two that are compared with the
	// report's.
	checkEvery = 10
)

// allowance is a known difference between a kernel's table and what passes its
// interface, and when a socket shows it.
type allowance struct {
	kind, reason string
	applies      func(d *tableSocket) bool
}

// allowances is the whole list. Neither what the kernel shows ESTABLISHED before
// an application accepts it is among them, nor what it closes on behalf of one
// that is gone, nor what it holds in SYN_RECV because the accept queue is full:
// the segments tell all of these.
var allowances = []allowance{
	{"moved-meanwhile", "a listing takes a while, and the socket moved in it: it had the listed state at its beginning, its end or between",
		func(d *tableSocket) bool { return d.during&(1<<d.kernel.State) != 0 }},
	{"timer-late", "the kernel's timer of TIME_WAIT has run out, by its own word, and ends the socket up to 2.9 s later, as the grain of its timers has it",
		func(d *tableSocket) bool {
			last, ok := d.account.before(d.from)
			return d.kernel.State == fsm.TimeWait && d.kernel.Due && d.during == 1<<fsm.Closed && ok && last.State == fsm.TimeWait
		}},
	{"orphan-expired", "the kernel gave up an orphan in FIN_WAIT_2 after tcp_fin_timeout; shutdown(2) looks the same on the wire and has no such timer",
		func(d *tableSocket) bool {
			last, ok := d.account.before(d.from)
			return d.kernel.State == fsm.Closed && d.during == 1<<fsm.FinWait2 && ok && last.State == fsm.FinWait2 && d.from-last.From >= int64(d.finWait2)
		}},
}

// tableSocket is a socket in a kernel's table, or in lastack's alone.
type tableSocket struct {
	account  account
	kernel   lab.TableSocket // CLOSED: not listed
	own      fsm.State       // at the middle of the listing
	during   uint16          // bits of the states that it had during the listing
	from     int64           // when the listing began
	finWait2 time.Duration
}

// portPair names a socket of a host.
type portPair struct{ local, remote uint16 }

// account is where lastack sees a socket: all connections of its two ends, in
// order of time.
type account []reassembly.Stay

// before is the stay that began last before t.
func (a account) before(t int64) (x reassembly.Stay, ok bool) {
	for _, s := range a {
		if s.From < t {
			x, ok = s, true
		}
	}
	return x, ok
}

// during has the bits of the states between two times.
func (a account) during(from, to int64) (set uint16) {
	at := from
	for _, s := range a {
		if s.To <= from || s.From > to {
			continue
		}
		if s.From > at {
			set |= 1 << fsm.Closed
		}
		set |= 1 << s.State
		at = s.To
	}
	if at <= to {
		set |= 1 << fsm.Closed
	}
	return set
}

// at is the state at a time.
func (a account) at(t int64) fsm.State { return fsm.State(bits.TrailingZeros16(a.during(t, t))) }

// JudgeCrowd compares the tables of a crowd.
func JudgeCrowd(c *lab.Crowd) (*Tables, error) {
	t := &Tables{crowd: c}
	for _, at := range []Vantage{AtClient, AtServer} {
		if err := t.host(at); err != nil {
			return nil, err
		}
	}
	t.judge()
	return t, nil
}

// host compares those of one host.
func (t *Tables) host(v Vantage) error {
	addr := t.crowd.Client
	if v == AtServer {
		addr = t.crowd.Server
	}
	p := reassembly.Profiles()[0]
	in := &Reading{segments: map[tcp.Tuple][]tcp.Segment{}}
	var segments []tcp.Segment
	err := pass(t.crowd.Path+v.ending(), p, func(_ *report.Analysis, s *tcp.Segment) {
		if s != nil {
			segments = append(segments, *s)
		}
	}, in)
	if err != nil {
		return err
	}
	h := HostTables{Host: v.String(), Allowed: map[string]int{}}
	accounts := accountsOf(in.Flows, addr)
	for i := range t.crowd.Tables {
		k := &t.crowd.Tables[i]
		switch {
		case k.Host != h.Host:
			continue
		case k.After-k.Before > longestListing:
			h.Long++
			continue
		}
		own := h.compare(k, accounts, p.FinWait2)
		if h.Compared%checkEvery == 0 {
			h.Checked++
			if said := reported(segments, p, addr, middle(k), t.crowd.End); said != own {
				t.Failures = append(t.Failures, fmt.Sprintf("%s: at %d the report says %v, and its flows %v", h.Host, middle(k), said, own))
			}
		}
		h.Compared++
	}
	t.Hosts = append(t.Hosts, h)
	return nil
}

func middle(k *lab.Table) int64 { return k.Before + (k.After-k.Before)/2 }

// accountsOf are the accounts of a host's sockets.
func accountsOf(flows []*reassembly.Flow, host netip.Addr) map[portPair]account {
	out := map[portPair]account{}
	for _, f := range flows {
		for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
			if f.Addr(side).Addr() != host {
				continue
			}
			e := portPair{f.Addr(side).Port(), f.Addr(side.Other()).Port()}
			f.Stays(side, func(x reassembly.Stay) bool {
				out[e] = append(out[e], x)
				return true
			})
		}
	}
	return out
}

// reported is the table that a report prints when it is asked for an instant.
func reported(segments []tcp.Segment, p reassembly.Profile, host netip.Addr, at, end int64) (out [fsm.States]int) {
	a := report.New(report.Options{Profile: p})
	a.StatesAt(at, 0)
	for i := range segments {
		a.Add(&segments[i])
	}
	r, err := a.Finish(end, report.Input{Packets: uint64(len(segments))})
	if err != nil {
		return out // which equals no table
	}
	for i := range r.States {
		if s := &r.States[i]; s.Host == host {
			for st := fsm.SynSent; st <= fsm.TimeWait; st++ {
				out[st] = int(s.Counts[st])
			}
		}
	}
	return out
}

// compare compares one table, and returns lastack's.
func (h *HostTables) compare(k *lab.Table, accounts map[portPair]account, finWait2 time.Duration) (own [fsm.States]int) {
	var kernel, ruled [fsm.States]int
	one := func(s lab.TableSocket, a account) {
		d := tableSocket{account: a, kernel: s, own: a.at(middle(k)), during: a.during(k.Before, k.After), from: k.Before, finWait2: finWait2}
		kernel[s.State]++
		own[d.own]++
		ruled[h.rule(&d, k)]++
	}
	listed := make(map[portPair]bool, len(k.Sockets))
	for _, s := range k.Sockets {
		e := portPair{s.Local, s.Remote}
		listed[e] = true
		one(s, accounts[e])
	}
	for e, a := range accounts {
		if !listed[e] {
			one(lab.TableSocket{Local: e.local, Remote: e.remote, State: fsm.Closed}, a)
		}
	}
	for _, t := range []*[fsm.States]int{&kernel, &own, &ruled} {
		t[fsm.Closed], t[fsm.Listen] = 0, 0 // no sockets, or not asked for
	}
	h.Most = max(h.Most, len(k.Sockets))
	h.Raw.compare(&kernel, &own)
	h.Ruled.compare(&kernel, &ruled)
	return own
}

// rule is the state in which a socket is counted where an allowance explains
// what differs: the kernel's; else lastack's.
func (h *HostTables) rule(d *tableSocket, k *lab.Table) fsm.State {
	if d.kernel.State == d.own {
		return d.own
	}
	for _, a := range allowances {
		if a.applies(d) {
			h.Allowed[a.kind]++
			return d.kernel.State
		}
	}
	const shown = 20
	if h.differs++; h.differs <= shown {
		h.Differ = append(h.Differ, fmt.Sprintf("%s, listed from %d in %v: port %d to %d, the kernel %v, lastack %v",
			h.Host, k.Before, time.Duration(k.After-k.Before), d.kernel.Local, d.kernel.Remote, d.kernel.State, d.own))
	}
	return d.own
}

// judge says what must hold and does not.
func (t *Tables) judge() {
	fail := func(format string, args ...any) { t.Failures = append(t.Failures, fmt.Sprintf(format, args...)) }
	if t.crowd.Opened != lab.CrowdSize {
		fail("%d connections were opened and not %d", t.crowd.Opened, lab.CrowdSize)
	}
	if t.crowd.Overflowed == 0 {
		fail("no accept queue was full")
	}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		if 100*h.Long > mostLong*(h.Long+h.Compared) || h.Compared < 100 {
			fail("%s: %d of %d listings took too long to be one instant's", h.Host, h.Long, h.Long+h.Compared)
		}
		if w := h.Ruled.worst(); w > mostDiffer {
			fail("%s: a state differs by %.2f %% of the sockets", h.Host, 100*w)
		}
		for _, st := range []fsm.State{fsm.Established, fsm.FinWait2, fsm.CloseWait, fsm.TimeWait} {
			if h.Raw.kernel[st] < h.Compared {
				fail("%s: the kernel hardly ever had a socket in %v", h.Host, st)
			}
		}
	}
}

// Print writes the tables.
func (t *Tables) Print(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nstate tables, each tenth of a second: %d connections, %d segments sent again, %d times a full accept queue\n",
		t.crowd.Opened, t.crowd.Repeated, t.crowd.Overflowed)
	for i := range t.Hosts {
		t.Hosts[i].print(&b)
	}
	for _, f := range t.Failures {
		fmt.Fprintln(&b, "  not so:", f)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (h *HostTables) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %d tables of up to %d sockets, %d left out whose listing took over %v; %d are the report's own\n",
		h.Host, h.Compared, h.Most, h.Long, time.Duration(longestListing), h.Checked)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "state\tkernel, mean\tlastack, mean\tmean difference\tof all sockets\twithout what is known\t")
	n := float64(max(1, h.Compared))
	for st := fsm.SynSent; st <= fsm.TimeWait; st++ {
		fmt.Fprintf(w, "%v\t%.1f\t%.1f\t%.2f\t%.2f %%\t%.2f %%\t\n", st, float64(h.Raw.kernel[st])/n, float64(h.Raw.own[st])/n,
			float64(h.Raw.differ[st])/n, 100*h.Raw.part(st), 100*h.Ruled.part(st))
	}
	w.Flush()
	w = tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, a := range allowances {
		fmt.Fprintf(w, "  %s\t%d\t%s\n", a.kind, h.Allowed[a.kind], a.reason)
	}
	fmt.Fprintf(w, "  others\t%d\t\n", h.differs)
	w.Flush()
	for _, d := range h.Differ {
		fmt.Fprintln(b, "   ", d)
	}
}
