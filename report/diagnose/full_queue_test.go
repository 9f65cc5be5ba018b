package diagnose

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// What is found does not depend on how the flows were divided, nor on their order.
func TestFullQueuesMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	const start = int64(1e18)
	k := place{port: 80}
	var acts []func(*fullQueues)
	for i := range 60 {
		at, flow := start+10e9+rng.Int64N(30e9), tcp.PacketRef(i+1)
		opened := start + rng.Int64N(10e9)
		x := held{sighting: sighting{flow: flow, at: at, ref: flow, side: clientRole}, from: opened, until: at + rng.Int64N(30e9)}
		x.alive[0] = at
		again := at + 1e9
		acts = append(acts, func(s *fullQueues) {
			c, bit := s.moment(k, at)
			switch i % 3 {
			case 0:
				c, _ = s.moment(k, opened)
				c.hold(x)
			case 1:
				c.dropped |= bit
				c.lastDrop = max(c.lastDrop, at)
				c, bit = s.moment(k, again)
				c.dropped |= bit
				c.lastDrop = max(c.lastDrop, again)
				c.silent.add(sighting{flow: flow, at: again, ref: flow + 100, side: clientRole, since: at, sinceRef: flow, sinceBy: clientRole})
			default:
				if i%15 == 2 {
					c.answered |= bit
				}
			}
		})
	}
	run := func(parts int) (out []Finding) {
		rng.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
		all := make([]fullQueues, parts)
		for i, act := range acts {
			act(&all[i%parts])
		}
		for i := range all[1:] {
			all[0].Merge(&all[i+1])
		}
		all[0].Findings(nil, start+120e9, func(d Finding) { out = append(out, d) })
		return out
	}
	want := run(1)
	if len(want) == 0 {
		t.Fatal("nothing found")
	}
	for parts := 1; parts < 8; parts++ {
		if got := run(parts); !reflect.DeepEqual(got, want) {
			t.Errorf("in %d parts: %+v\nwant %+v", parts, got, want)
		}
	}
}
