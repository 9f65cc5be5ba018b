package report

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// opened is a flow that began at a time with these initial sequence numbers.
func opened(at int64, client, server string, isn [2]uint32, id uint64) *reassembly.Flow {
	c, s := netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)
	a, b := c.Addr().As16(), s.Addr().As16()
	f := &reassembly.Flow{Start: at, ID: tcp.Ref(0, id)}
	f.Tuple, f.Client = tcp.MakeTuple(&a, &b, c.Port(), s.Port())
	f.Endpoint(f.Client).ISS, f.Endpoint(f.Server()).ISS = tcp.Seq(isn[0]), tcp.Seq(isn[1])
	f.Handshake.FirstSYNRef, f.Handshake.SYNACKRef = f.ID, f.ID
	return f
}

// A connection is known again behind an address translation, however the flows
// were divided; others are not taken for it.
func TestSeenTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var flows []*reassembly.Flow
	add := func(at int64, client, server string, isn [2]uint32) {
		flows = append(flows, opened(at, client, server, isn, uint64(len(flows)+1)))
	}
	add(0, "10.0.0.1:4000", "192.0.2.1:80", [2]uint32{1, 2})
	add(200_000, "203.0.113.9:6000", "192.0.2.1:80", [2]uint32{1, 2})
	add(0, "10.0.0.1:4000", "192.0.2.1:80", [2]uint32{7, 8})        // the same four-tuple in another VLAN
	add(second, "10.0.0.1:4001", "192.0.2.1:80", [2]uint32{1, 3})   // one number is nothing
	add(9*second, "10.0.0.2:4000", "192.0.2.1:80", [2]uint32{1, 2}) // long after
	flows[2].Tuple.Tag = 5
	add(0, "10.0.0.1:4000", "192.0.2.1:80", [2]uint32{7, 8})
	for range 100 {
		add(0, "10.0.0.1:4001", "192.0.2.1:80", [2]uint32{rng.Uint32() | 1<<31, rng.Uint32()})
	}
	for range 20 {
		rng.Shuffle(len(flows), func(i, k int) { flows[i], flows[k] = flows[k], flows[i] })
		parts := make([]twice, 16)
		for _, f := range flows {
			parts[rng.IntN(len(parts))].add(f, &blame{})
		}
		var all twice
		for i := range parts {
			all.plus(&parts[i])
		}
		want := "1 connection was captured on both sides of an address translation and counts as 2 flows: " +
			"10.0.0.1:4000 to 192.0.2.1:80 is also 203.0.113.9:6000 to 192.0.2.1:80"
		if got := all.words(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	// What is kept is bounded, and the same in any order.
	var full twice
	for i := range uint32(100_000) {
		full.add(opened(0, "10.0.0.1:4000", "192.0.2.1:80", [2]uint32{i, i}, uint64(i+1)), &blame{})
	}
	if len(full.kept) != keptPairs {
		t.Errorf("%d pairs are kept", len(full.kept))
	}
	if s := full.words(); s != "" {
		t.Error(s)
	}
}

// Three tuples are one connection, and of more connections than are kept their
// number is estimated, alike however they were divided.
func TestSeenTwiceCounts(t *testing.T) {
	tuples := [...][2]string{{"10.0.0.1:4000", "192.0.2.1:80"}, {"203.0.113.9:6000", "192.0.2.1:80"}, {"203.0.113.9:6000", "10.9.0.1:8080"}}
	of := func(n, parts int) aliased {
		judges := make([]twice, parts)
		id := uint64(0)
		for i := range uint32(n) {
			for k, tuple := range tuples {
				id++
				judges[(int(i)+k)%parts].add(opened(int64(k), tuple[0], tuple[1], [2]uint32{i + 1, i + 2}, id), &blame{})
			}
		}
		var all twice
		for i := range judges {
			all.plus(&judges[i])
		}
		return all.found()
	}
	if x := of(300, 4); x.connections != 300 || x.flows != 900 {
		t.Errorf("300 connections are %d as %d", x.connections, x.flows)
	}
	const n = 40_000
	one := of(n, 1)
	if x := one; x.connections < n*9/10 || x.connections > n*11/10 || x.flows < 3*n*9/10 || x.flows > 3*n*11/10 {
		t.Errorf("%d connections are about %d as %d", n, x.connections, x.flows)
	}
	if x := of(n, 16); x != one {
		t.Errorf("%+v in one part, %+v in 16", one, x)
	}
}

// Those kept are the ones with the smallest hashes, in whatever order they come.
func TestKeptPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var w twice
	var all []isnPair
	for i := range 5 * keptPairs {
		p := isnPair{hash: rng.Uint64N(3 * keptPairs), flow: tcp.Ref(0, uint64(i+1))}
		all = append(all, p)
		w.keep(&p)
	}
	order := func(p, q isnPair) int { return p.compare(&q) }
	slices.SortFunc(all, order)
	slices.SortFunc(w.kept, order)
	if !w.more || !slices.Equal(w.kept, all[:keptPairs]) {
		t.Errorf("%d kept, which are not the smallest", len(w.kept))
	}
}
