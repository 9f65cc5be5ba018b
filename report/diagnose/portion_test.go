package diagnose

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// plainFlows are flows of some services that opened, were served and closed,
// over some minutes and not in order.
func plainFlows(rng *rand.Rand, n int) (out []*reassembly.Flow) {
	for i := range n {
		f := flow("192.0.2.9", "192.0.2.1")
		f.ID, f.Tuple.PortA, f.Tuple.PortB = tcp.PacketRef(i+1), uint16(1+rng.IntN(40)), uint16(1+rng.IntN(40))
		f.Start = int64(1e18) + rng.Int64N(200e9)
		h := &f.Handshake
		h.FirstSYN, h.SYNACK, h.ACK = f.Start, f.Start+rng.Int64N(3e9), f.Start+rng.Int64N(30e9)
		h.FirstSYNRef, h.SYNACKRef, h.ACKRef = 1, 2, 3
		s, c := f.Endpoint(f.Server()), f.Endpoint(f.Client)
		s.PayloadBytes, s.LastDataLen, s.LastData, s.TTL = 9, 9, h.ACK+1, uint8(60+rng.IntN(2))
		if rng.IntN(4) == 0 {
			h.Outcome, f.Reset.By, f.Reset.TTL = reassembly.Refused, f.Server(), uint8(62+rng.IntN(4))
		}
		first, second := c, s
		if f.ActiveCloser = reassembly.CloserClient; rng.IntN(3) == 0 {
			f.ActiveCloser, first, second = reassembly.CloserServer, s, c
		}
		first.FIN, first.FINRef, first.FINAt = 1, 4, h.ACK+2
		second.FIN, second.FINRef, second.FINAt, second.FINAcksPeer = 1, 5, first.FINAt+rng.Int64N(40e9), true
		out = append(out, f)
	}
	return out
}

// cellsOf is what the collectors that take portions hold, by place.
func cellsOf(p *Patterns) map[string]map[place]any {
	all := map[string]map[place]any{"answers": {}, "queues": {}, "done": {}, "distances": {}}
	for _, col := range p.collectors {
		switch s := col.(type) {
		case *answers:
			for _, k := range s.cells.places() {
				all["answers"][k] = *s.cells.get(k)
			}
		case *fullQueues:
			for _, k := range s.cells.places() {
				all["queues"][k] = *s.cells.get(k)
			}
		case *distances:
			for _, k := range s.cells.places() {
				all["distances"][k] = *s.cells.get(k)
			}
		case *halfOpens:
			for _, k := range s.done.places() {
				all["done"][k] = *s.done.get(k)
			}
		}
	}
	return all
}

// What comes out is the same with portions as if each flow was counted at once,
// however the flows are divided, and although somebody takes a copy in between.
func TestPortions(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	rules := Rules()
	c := &Context{Profile: reassembly.Profiles()[0]}
	for round := range 5 {
		flows := plainFlows(rng, 200<<round)
		want := NewPatterns(rules)
		for _, f := range flows {
			c.locate(f)
			c.lately = &portion{service: c.service.service, port: c.service.port}
			for _, g := range want.gathering {
				g.(Collector).Add(c, f)
			}
			want.give(c.lately, true)
		}
		parts := []*Patterns{NewPatterns(rules), NewPatterns(rules), NewPatterns(rules)}
		for i, f := range flows {
			parts[i%3].approach(c, f)
			parts[i%3].add(c, f)
			if i == 100 {
				parts[0] = parts[0].Clone()
			}
		}
		got := NewPatterns(rules)
		for range 2 { // merging changes nothing in what is merged
			got = NewPatterns(rules)
			for _, p := range parts {
				got.Merge(p)
			}
		}
		have, all := cellsOf(got), cellsOf(want)
		for name, cells := range all {
			if len(cells) == 0 {
				t.Fatalf("round %d: no %s", round, name)
			}
			if len(cells) < sketchPlaces && !maps.EqualFunc(have[name], cells, reflect.DeepEqual) {
				t.Errorf("round %d: other %s", round, name)
			}
		}
	}
}
