//go:build linux

package judge

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// sampled is how far apart the instants are at which tables are compared, ns.
const sampled = int64(100e6)

// changes are what happens to a host's number of sockets in a state, by time.
type changes map[int64]*[fsm.States]int

func (c changes) add(at int64, st fsm.State, n int) {
	if c[at] == nil {
		c[at] = new([fsm.States]int)
	}
	if st > fsm.Listen {
		c[at][st] += n
	}
}

// tablesOf are the tables at each instant.
func (c changes) tablesOf(start, end int64) (out [][fsm.States]int) {
	times := make([]int64, 0, len(c))
	for at := range c {
		times = append(times, at)
	}
	slices.Sort(times)
	var sum [fsm.States]int
	k := 0
	for at := start + sampled/2; at <= end; at += sampled {
		for ; k < len(times) && times[k] <= at; k++ {
			for st, n := range c[times[k]] {
				sum[st] += n
			}
		}
		out = append(out, sum)
	}
	return out
}

// kernelChanges are those that a host's kernel told. Of a move that was not seen
// the latest time is taken, when the socket was found there.
func kernelChanges(r *lab.Recording, host string) changes {
	names := map[string]fsm.State{}
	for st := fsm.Closed; st <= fsm.TimeWait; st++ {
		names[st.String()] = st
	}
	out := changes{}
	for i := range r.Transitions {
		t := &r.Transitions[i]
		if t.Host != host {
			continue
		}
		at := max(t.Time, t.Until)
		out.add(at, names[t.From], -1)
		out.add(at, names[t.To], 1)
	}
	return out
}

// ownChanges are those that a capture tells of a host.
func ownChanges(r *Reading, host netip.Addr) changes {
	out := changes{}
	for _, f := range r.Flows {
		for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
			if f.Addr(side).Addr() != host {
				continue
			}
			f.Stays(side, func(x reassembly.Stay) bool {
				out.add(x.From, x.State, 1)
				if x.To != reassembly.OpenEnd {
					out.add(x.To, x.State, -1)
				}
				return true
			})
		}
	}
	return out
}

// compareTables compares the tables of both hosts of a recording, each seen from its
// own interface.
func compareTables(t *testing.T, path string) (sum tableDiff, r lab.Recording) {
	t.Helper()
	r, err := lab.ReadRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	for host, from := range map[string]struct{ capture, addr string }{
		"client": {lab.ClientCapture, r.About.Client}, "server": {lab.ServerCapture, r.About.Server},
	} {
		name, err := lab.Found(path + from.capture)
		if err != nil {
			t.Fatal(err)
		}
		read, err := Read(name, reassembly.Profiles()[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(read.Flows) == 0 {
			continue
		}
		start := slices.MinFunc(read.Flows, func(a, b *reassembly.Flow) int { return int(a.Start - b.Start) }).Start
		kernel := kernelChanges(&r, host).tablesOf(start, read.End)
		own := ownChanges(read, netip.MustParseAddr(from.addr)).tablesOf(start, read.End)
		for i := range kernel {
			sum.compare(&kernel[i], &own[i])
		}
	}
	return sum, r
}

// agreed are the classes of recordings in which hosts do nothing that the wire
// cannot show: there the tables must be the kernels' own. The others are about
// what it cannot show (FIN_WAIT_2 ending by a timer, SYN cookies, a FIN behind a
// zero window, hosts that vanish), or have kernels with other timers.
var agreed = []string{"closing", "forgery", "mixed", "opening"}

// The state tables, each tenth of a second, are those of the kernels.
func TestTablesAreTheKernels(t *testing.T) {
	truths, err := filepath.Glob(filepath.Join(shipped, "*"+lab.TruthFile+"*"))
	if err != nil || len(truths) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	byClass := map[string]*tableDiff{}
	for _, truth := range truths {
		path, _, _ := strings.Cut(truth, lab.TruthFile)
		g, r := compareTables(t, path)
		if byClass[r.About.Class] == nil {
			byClass[r.About.Class] = &tableDiff{}
		}
		byClass[r.About.Class].plus(&g)
	}
	held := 0
	for class, g := range byClass {
		words := ""
		for st := fsm.SynSent; st <= fsm.TimeWait; st++ {
			words += fmt.Sprintf(" %s %.2f %%", st, 100*g.part(st))
		}
		t.Logf("%s, mean difference per state:%s", class, words)
		if !slices.Contains(agreed, class) {
			continue
		}
		if held++; g.worst() > mostDiffer {
			t.Errorf("%s: a state differs by %.2f %% of the sockets", class, 100*g.worst())
		}
	}
	if held != len(agreed) {
		t.Errorf("%d of the classes %q were recorded", held, agreed)
	}
}
