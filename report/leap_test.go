package report

import (
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Where thousands of flows speak at once, their clocks still tell whether the
// capture's leapt.
func TestLeapInDenseTraffic(t *testing.T) {
	for _, begin := range []int64{0, 1e18} {
		for _, leaps60s := range []bool{true, false} {
			leapInDenseTraffic(t, begin, leaps60s)
		}
	}
}

func leapInDenseTraffic(t *testing.T, begin int64, leaps60s bool) {
	const ms = int64(1e6)
	var l leaps
	stamp, at, found := int64(0), begin, false
	for round := range 20 { // 100 ms each
		stamp, at = stamp+100, at+100*ms
		if round == 9 {
			at += 60_000 * ms
			if !leaps60s {
				stamp += 60_000
			}
		}
		for flow := range uint64(20_000) {
			s := tcp.Segment{At: at + int64(flow), Kind: tcp.KindTCP, Flags: tcp.ACK, Options: tcp.OptTimestamps,
				TSVal: uint32(stamp), From: tcp.SideA}
			s.Tuple.AddrA[15], s.Tuple.PortA = byte(flow), uint16(flow)
			before, leapt := l.see(&s, s.Tuple.Hash(routeSeed))
			if leapt && (round != 9 || before != at-60_100*ms+19_999) {
				t.Errorf("it leapt in round %d, since %d", round, before)
			}
			found = found || leapt
		}
	}
	if found != leaps60s {
		t.Errorf("from %d, the clock leapt: %v, found: %v", begin, leaps60s, found)
	}
}

// That a source broke off is told of it, also where the sources are not described,
// as in a look at a live capture's findings.
func TestBrokeOff(t *testing.T) {
	for _, threads := range []int{1, 2} {
		a := New(Options{Threads: threads})
		a.Advance(1e18, tcp.Ref(1, 1))
		a.BrokeOff(1)
		for _, in := range []Input{{}, {Sources: []Source{{Name: "eth0"}, {Name: "tun0"}}}} {
			r := a.Snapshot(2e18, in)
			if n := len(r.Health.Notes); n != 1 || r.Health.Notes[0].File != 1 {
				t.Errorf("notes %+v", r.Health.Notes)
			} else if s := r.Tell(&r.Health.Notes[0]); len(in.Sources) > 0 && s != "tun0: it broke off while others went on: what was open then may have gone on unseen" {
				t.Errorf("it says %q", s)
			}
		}
		a.Close()
	}
}
