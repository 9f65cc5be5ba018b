package reassembly

import (
	"encoding/binary"
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// randomSegments turns bytes into segments on two tuples, with numbers close
// enough to each other that they meet.
func randomSegments(data []byte, mirrored bool) []tcp.Segment {
	var out []tcp.Segment
	at := int64(1e18)
	for len(data) >= 8 && len(out) < 400 {
		b := data[:8]
		data = data[8:]
		at += int64(b[0]) * int64(b[1]) * 1e5
		if b[1] == 255 {
			at += 30e9
		}
		var a, c [16]byte
		a[15], c[15] = 1, 2
		a[10], a[11], c[10], c[11] = 0xff, 0xff, 0xff, 0xff
		side := tcp.SideA + tcp.Side(b[2]&1)
		if mirrored {
			a, c = c, a
		}
		t, from := tcp.MakeTuple(&a, &c, 1000+uint16(b[2]>>7), 80)
		if side == tcp.SideB {
			t, from = tcp.MakeTuple(&c, &a, 80, 1000+uint16(b[2]>>7))
		}
		s := tcp.Segment{
			At: at, Ref: tcp.Ref(0, uint64(len(out)+1)), Tuple: t, From: from, Kind: tcp.KindTCP,
			Flags: tcp.Flags(b[3] & 0x17), Seq: tcp.Seq(0xfffffff0).Add(uint32(b[4] & 31)),
			Ack: tcp.Seq(0xfffffff0).Add(uint32(b[5] & 31)), Len: uint32(b[6] & 3), Window: uint16(b[6]&0xf0) << 4,
			IPID: uint16(len(out) + 1), TTL: 64,
		}
		if b[3]&0x40 != 0 {
			s.Flags |= tcp.ACK
		}
		if b[3]&0x20 != 0 {
			s.Flags &^= tcp.SYN | tcp.RST
		}
		if b[7]&3 == 0 {
			s.Options, s.TSVal = tcp.OptTimestamps|tcp.OptAny, uint32(b[7])
		}
		if b[7] == 0x81 {
			s.Kind, s.ICMPType = tcp.KindICMP, 3
		}
		out = append(out, s)
	}
	return out
}

// run works segments through a table and returns its flows.
func run(segments []tcp.Segment, maxFlows int) []*Flow {
	var flows []*Flow
	t := NewTable(Options{MaxFlows: maxFlows, Compat: true}, func(f *Flow) { flows = append(flows, f.Clone()) })
	var end int64
	for i := range segments {
		t.Step(&segments[i])
		end = max(end, segments[i].At)
		if i%16 == 0 {
			Together(t).Sweep(end)
		}
	}
	Together(t).Finish(end + 1e9)
	return flows
}

// checkFlow holds a flow to what must be true of every one.
func checkFlow(t *testing.T, f *Flow) {
	t.Helper()
	for _, side := range [2]tcp.Side{tcp.SideA, tcp.SideB} {
		checkChain(t, f, side)
	}
	for k := range f.Ends {
		e, p := &f.Ends[k], &f.Ends[1-k]
		switch e.State {
		case fsm.FinWait2:
			if !e.FINAcked || e.FINRef == 0 {
				t.Errorf("flow %v: FIN_WAIT_2 without an acknowledged FIN", f.ID)
			}
		case fsm.TimeWait:
			if !e.FINAcked || p.FINRef == 0 {
				t.Errorf("flow %v: TIME_WAIT without both FINs, own acknowledged %v, peer's %v", f.ID, e.FINAcked, p.FINRef)
			}
		case fsm.CloseWait, fsm.LastAck, fsm.Closing:
			if p.FINRef == 0 {
				t.Errorf("flow %v: %v without a FIN of the peer", f.ID, e.State)
			}
		}
		if !e.Sent && e.State != fsm.Closed {
			t.Errorf("flow %v: %v although it sent nothing", f.ID, e.State)
		}
		var sum int64
		for _, ns := range e.StateNS {
			sum += ns
		}
		if sum > f.Until-f.Start {
			t.Errorf("flow %v: %d ns in states, lifetime %d", f.ID, sum, f.Until-f.Start)
		}
	}
	both := f.Ends[0].FINAcked && f.Ends[1].FINAcked
	if orderly := f.Close == CloseOrderly || f.Close == CloseSimultaneous; orderly != both &&
		f.Close != CloseRefused && f.Close != CloseUnanswered {
		t.Errorf("flow %v: close %v, FINs acknowledged %v", f.ID, f.Close, both)
	}
}

// checkChain holds one side's steps to each other: each begins where the one
// before it ended, and the last one leads to the endpoint's state.
func checkChain(t *testing.T, f *Flow, side tcp.Side) {
	t.Helper()
	state := fsm.Closed
	for _, s := range f.Steps {
		if s.Side != side {
			continue
		}
		from := s.From
		if from == fsm.Listen {
			from = fsm.Closed
		}
		if from != state {
			t.Errorf("flow %v side %v: step %v from %v, but the state was %v", f.ID, side, s.On, s.From, state)
		}
		if s.Basis == 0 || s.On == 0 || s.To == s.From {
			t.Errorf("flow %v: step %+v", f.ID, s)
		}
		if (s.Basis == fsm.Timer) != (s.Ref == 0) {
			t.Errorf("flow %v: step %v with basis %v and packet %v", f.ID, s.On, s.Basis, s.Ref)
		}
		state = s.To
	}
	if got := f.Endpoint(side).State; got != state {
		t.Errorf("flow %v side %v: state %v, its steps lead to %v", f.ID, side, got, state)
	}
}

// mirror exchanges the sides of a flow, for the comparison with one whose
// addresses were exchanged.
func sameMirrored(t *testing.T, f, g *Flow) {
	t.Helper()
	if f.ID != g.ID || f.Close != g.Close || len(f.Steps) != len(g.Steps) {
		t.Fatalf("mirrored: flow %v close %v %d steps, %v %v %d", f.ID, f.Close, len(f.Steps), g.ID, g.Close, len(g.Steps))
	}
	for k := range f.Ends {
		if f.Ends[k].State != g.Ends[1-k].State || f.Ends[k].Packets != g.Ends[1-k].Packets {
			t.Errorf("mirrored: flow %v side %d: %v, %v", f.ID, k, f.Ends[k].State, g.Ends[1-k].State)
		}
	}
}

// FuzzTable holds flows made of arbitrary segments to what is true of every
// flow, and to the same story when the addresses are exchanged.
func FuzzTable(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x02\x00\x00\x00\x00\x01\x01\x01\x12\x00\x01\x00\x00\x01\x01\x00\x10\x01\x01\x00\x00\x01\x01\x00\x11\x01\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		segments := randomSegments(data, false)
		flows := run(segments, 100)
		var packets, want uint64
		for _, s := range segments {
			if s.Kind == tcp.KindTCP {
				want++
			}
		}
		for _, fl := range flows {
			checkFlow(t, fl)
			packets += fl.Ends[0].Packets + fl.Ends[1].Packets
		}
		if packets != want {
			t.Errorf("%d segments went in, flows hold %d", want, packets)
		}
		mirrored := run(randomSegments(data, true), 100)
		if len(mirrored) != len(flows) {
			t.Fatalf("%d flows, mirrored %d", len(flows), len(mirrored))
		}
		for i := range flows {
			sameMirrored(t, flows[i], mirrored[i])
		}
		for _, fl := range run(segments, 1) {
			checkFlow(t, fl)
		}
	})
}

// TestRandomFlows is the fuzz target's property on a fixed set of random bytes,
// so that it is held in every run.
func TestRandomFlows(t *testing.T) {
	state := uint64(1)
	for range 3000 {
		data := make([]byte, 8*60)
		for i := 0; i < len(data); i += 8 {
			state = state*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(data[i:], state>>13|state<<51)
		}
		for _, f := range run(randomSegments(data, false), 100) {
			checkFlow(t, f)
		}
		if t.Failed() {
			return
		}
	}
}
