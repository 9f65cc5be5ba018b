package report

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// arrivals are the times at which a client connects, in ns.
type arrivals []int64

// steady adds n connections at a rate per second, beginning at a time.
func (a arrivals) steady(from time.Duration, rate float64, n int) arrivals {
	for i := range n {
		a = append(a, int64(from)+int64(float64(i)/rate*1e9))
	}
	return a
}

// random adds n connections of a Poisson process.
func (a arrivals) random(from time.Duration, rate float64, n int) arrivals {
	rng := rand.New(rand.NewPCG(1, 2))
	at := float64(from)
	for range n {
		at += rng.ExpFloat64() / rate * 1e9
		a = append(a, int64(at))
	}
	return a
}

// reaches is the number of the first connection with which so many ports are
// taken: each for 2MSL after it was closed.
func (a arrivals) reaches(ports int) int {
	const held = 60*second + closedAfter
	for i, k := 0, 0; i < len(a); i++ {
		for ; a[k]+held <= a[i]; k++ {
		}
		if i-k+1 >= ports {
			return i + 1
		}
	}
	return 0
}

// closedAfter is when the client enters TIME_WAIT, and lastsFor when its last
// segment passes, after its SYN.
const closedAfter, lastsFor = 4e6, 5e6

// portsAt is the line of the client's ports in the report on a capture that ends
// when it has made n of its connections, each of which it closes at once.
func portsAt(t *testing.T, capacity int, when arrivals, n int) diagnose.Ports {
	t.Helper()
	p := reassembly.Profiles()[0]
	p.PortLo = 10_000
	p.PortHi = p.PortLo + uint16(capacity) - 1
	client, server := netip.MustParseAddr("192.0.2.1").As16(), netip.MustParseAddr("192.0.2.2").As16()
	var list []tcp.Segment
	const start = 1_800_000_000 * second
	for i, at := range when[:n] {
		tuple, side := tcp.MakeTuple(&client, &server, p.PortLo+uint16(i%capacity), 80)
		for k, s := range []tcp.Segment{
			{From: side, Flags: tcp.SYN, Seq: 1},
			{From: side.Other(), Flags: tcp.SYN | tcp.ACK, Seq: 1, Ack: 2},
			{From: side, Flags: tcp.ACK, Seq: 2, Ack: 2},
			{From: side, Flags: tcp.FIN | tcp.ACK, Seq: 2, Ack: 2},
			{From: side.Other(), Flags: tcp.FIN | tcp.ACK, Seq: 2, Ack: 3},
			{From: side, Flags: tcp.ACK, Seq: 3, Ack: 3},
		} {
			s.Tuple, s.At, s.Window, s.Options = tuple, start+at+int64(k)*1e6, 1000, 0
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b tcp.Segment) int { return int(min(max(a.At-b.At, -1), 1)) })
	a := New(Options{Profile: p, Rules: diagnose.Rules()})
	end := start + when[n-1] + lastsFor
	for i := range list {
		list[i].Ref = tcp.Ref(0, uint64(i+1))
		a.Add(&list[i])
	}
	r, err := a.Finish(end, Input{Packets: uint64(len(list))})
	if err != nil || len(r.Ports) != 1 {
		t.Fatalf("%+v, %v", r.Ports, err)
	}
	return r.Ports[0]
}

// The moment at which a client's ports run out is known when half of them are
// used, for ranges small and large, also where the client was slower before.
func TestPortForecast(t *testing.T) {
	for _, tt := range []struct {
		name     string
		capacity int
		when     arrivals
		within   float64
	}{
		{"small", 400, arrivals{}.steady(0, 20, 400), 0.02},
		{"medium", 3000, arrivals{}.steady(0, 150, 3000), 0.02},
		{"Linux", 28_232, arrivals{}.steady(0, 600, 28_232), 0.02},
		{"large", 55_536, arrivals{}.steady(0, 2000, 55_536), 0.02},
		{"large and slow", 55_536, arrivals{}.steady(0, 1000, 55_536), 0.02},
		{"one before", 3000, arrivals{}.steady(0, 1, 1).steady(8*time.Second, 150, 3500), 0.02},
		{"slower before", 3000, arrivals{}.steady(0, 2, 80).steady(40*time.Second, 150, 3500), 0.1},
		{"slower long before", 28_232, arrivals{}.steady(0, 5, 200).steady(40*time.Second, 700, 30_000), 0.1},
		{"faster after minutes", 28_232, arrivals{}.steady(0, 100, 15_000).steady(150*time.Second, 800, 40_000), 0.02},
		{"at random", 3000, arrivals{}.random(0, 150, 3000), 0.1},
	} {
		half, all := tt.when.reaches(tt.capacity/2), tt.when.reaches(tt.capacity)
		if half == 0 || all == 0 {
			t.Fatalf("%s: the ports do not run out", tt.name)
		}
		p := portsAt(t, tt.capacity, tt.when, half)
		real := tt.when[all-1] - tt.when[half-1]
		off := float64(p.ExhaustedIn-real) / float64(real)
		t.Logf("%s: in %v, and it was %v (%+.1f %%); %d in use", tt.name, time.Duration(p.ExhaustedIn), time.Duration(real), 100*off, p.PeakInUse)
		if off > tt.within || off < -tt.within {
			t.Errorf("%s: %+.1f %% off", tt.name, 100*off)
		}
		if d := int(p.PeakInUse) - tt.capacity/2; d < -tt.capacity/100 || d > tt.capacity/100 {
			t.Errorf("%s: %d in use and not %d", tt.name, p.PeakInUse, tt.capacity/2)
		}
	}
}
