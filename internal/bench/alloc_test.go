package bench_test

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/lastack/lastack/internal/bench/traffic"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Packets of connections that are open cost no allocation, from the frame to
// the flow table.
func TestNoAllocationPerPacket(t *testing.T) {
	m := prepare(t, "bulk", 0.02)
	from := len(m.frames) / 4 // by then all handshakes are over
	const each = 3000
	dec, table := decode.New(decode.Options{}), newTable(func(*reassembly.Flow) {})
	var s tcp.Segment
	at := 0
	step := func() {
		f := &m.frames[at]
		if !decodeFrame(dec, f, &s) {
			t.Fatalf("frame %d is no segment", f.Number)
		}
		table.Step(&s)
		at++
	}
	for at < from {
		step()
	}
	// AllocsPerRun calls its function once more than it is told.
	const runs = 3
	if at+(runs+1)*each > len(m.frames) {
		t.Fatalf("%d frames are too few", len(m.frames))
	}
	n := testing.AllocsPerRun(runs, func() {
		for range each {
			step()
		}
	})
	if n != 0 {
		t.Errorf("%v allocations in %d packets", n, each)
	}
}

// maxPerThousand is how many allocations a thousand connections may cost, once
// as many flows are held as there will be: what grows is grown by then. What
// remains is three strings of a flow that ends, two of its Community ID and its
// history.
const maxPerThousand = 3000

// A table that has held as many flows as it does now allocates next to nothing
// for further connections.
func TestConnectionsDoNotAllocate(t *testing.T) {
	// Flows are kept for 120 s after they end; the load is even all the time.
	cfg := traffic.Config{Shape: traffic.Web, Format: traffic.Pcap, Connections: 24_000, Seconds: 960, Snaplen: 96, Seed: 1}
	m := prepareConfig(t, cfg)
	ended := 0
	table := newTable(func(*reassembly.Flow) { ended++ })
	warm := 0
	for warm < len(m.segments) && m.segments[warm].At-m.segments[0].At < 480e9 {
		warm++
	}
	track(table, m.segments[:warm])
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var before, after runtime.MemStats
	flows := table.Counters().Flows
	runtime.ReadMemStats(&before)
	track(table, m.segments[warm:])
	runtime.ReadMemStats(&after)
	flows = table.Counters().Flows - flows
	if flows < 10_000 || ended < 10_000 {
		t.Fatalf("%d connections in the measured half, %d ended: too few", flows, ended)
	}
	mallocs := after.Mallocs - before.Mallocs
	t.Logf("%d allocations in %d connections, %d octets", mallocs, flows, after.TotalAlloc-before.TotalAlloc)
	if 1000*mallocs > maxPerThousand*flows {
		t.Errorf("%d allocations in %d connections, more than %d in a thousand", mallocs, flows, maxPerThousand)
	}
}
