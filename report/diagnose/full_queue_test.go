package diagnose

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// What is found does not depend on how the flows were divided, nor on their order.
func TestFullQueuesMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	const start = int64(1e18)
	on := &Context{service: place{port: 80}}
	on.serviceHosts = on.service.hosts()
	var acts []func(*fullQueues)
	for i := range 60 {
		at, flow := start+10e9+rng.Int64N(30e9), tcp.PacketRef(i+1)
		opened := start + rng.Int64N(10e9)
		x := held{sighting: sighting{flow: flow, at: at, ref: flow, side: clientRole}, from: opened, until: at + rng.Int64N(30e9)}
		x.alive[0] = at
		again := at + 1e9
		acts = append(acts, func(s *fullQueues) {
			c, bit := s.moment(on, at)
			switch i % 3 {
			case 0:
				c, _ = s.moment(on, opened)
				c.hold(x)
			case 1:
				c.dropped |= bit
				c.lastDrop = max(c.lastDrop, at)
				c, bit = s.moment(on, again)
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

// overflow are the flows of a listener whose application accepts nothing: some
// wait for it, and the SYNs of others are ignored.
func overflow(at int64) (out []*reassembly.Flow) {
	for i := range 7 {
		f := flow("192.0.2.200", "192.0.2.201")
		f.ID, f.Start, f.Until = tcp.PacketRef(1+100*i), at, at+60e9
		me, server, h := f.Endpoint(f.Client), f.Endpoint(f.Server()), &f.Handshake
		h.FirstSYN, h.FirstSYNRef = at, f.ID
		if i < 3 { // waits
			h.SYNACK, h.ACK, h.SYNACKRef, h.ACKRef, h.Outcome = at+1e6, at+2e6, f.ID+1, f.ID+2, reassembly.Complete
			me.PayloadBytes, me.LastDataLen, me.LastData, me.LastDataRef = 10, 10, at+4e9, f.ID+3
			server.Ack, server.LastAt, server.Packets = me.ISS.Add(11), at+4e9, 2
		} else { // is ignored
			h.FirstSYN, h.Outcome = at+3e9, reassembly.Unanswered
			for k, after := range []int64{1e9, 3e9} {
				f.Marks = append(f.Marks, reassembly.Mark{Kind: reassembly.SYNAgain, Side: f.Client, At: h.FirstSYN + after, Ref: f.ID + tcp.PacketRef(k) + 1})
			}
			h.LastSYN = h.FirstSYN + 3e9
			me.SYN, me.State, server.State = 3, fsm.SynSent, fsm.Closed
		}
		out = append(out, f)
	}
	return out
}

// A full queue is found however many services there are that have none.
func TestFullQueueAmongMany(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		flows := plainFlows(rng, 20_000)
		for _, f := range flows {
			f.Tuple.PortA = uint16(1 + rng.IntN(20_000))
			f.Tuple.PortB = f.Tuple.PortA
		}
		for i, f := range overflow(int64(1e18) + 50e9) { // which end in the midst of the others
			at := 5000 + 500*i
			flows = append(flows[:at], append([]*reassembly.Flow{f}, flows[at:]...)...)
		}
		found := 0
		p := NewPatterns(Rules())
		c := &Context{Profile: reassembly.Profiles()[0]}
		for _, f := range flows {
			p.approach(c, f)
			p.add(c, f)
		}
		p.Clone().Findings(c, int64(1e18)+300e9, func(r *Rule, d Finding) {
			if r.ID == "accept-queue-overflow" {
				found++
			}
		})
		if found != 1 {
			t.Errorf("seed %d: found %d times", seed, found)
		}
	}
}
