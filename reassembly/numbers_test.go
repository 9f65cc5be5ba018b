package reassembly

import (
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// What a step or a mark says of its packet is what the segment was: above all
// whether the number is a length.
func TestPacketOfRecord(t *testing.T) {
	lengths := 0
	for seed := range uint64(60) {
		segments := map[tcp.PacketRef]tcp.Segment{}
		check := func(ref tcp.PacketRef, side tcp.Side, p Packet) {
			if ref == 0 {
				if p != (Packet{}) || side.Other().Other() != side || side == 0 {
					t.Errorf("seed %d: a timer of side %v with %+v", seed, side, p)
				}
				return
			}
			s := segments[ref]
			want := Packet{From: s.From, Flags: s.Flags & 0xff, Number: uint32(s.Ack)}
			switch {
			case s.Flags.Has(tcp.FIN):
				want.Number = uint32(s.Seq.Add(s.Len))
			case s.Flags.Any(tcp.SYN | tcp.RST):
				want.Number = uint32(s.Seq)
			case s.Len > 0:
				want.Number, want.Payload = s.Len, true
				lengths++
			}
			if p != want || side != tcp.SideA && side != tcp.SideB {
				t.Errorf("seed %d, %v, side %v: %+v, want %+v", seed, ref, side, p, want)
			}
		}
		table := NewTable(Options{MaxFlows: 20}, func(f *Flow) {
			for i := range f.Steps {
				check(f.Steps[i].Ref, f.Steps[i].Side, f.Steps[i].Packet)
			}
			for i := range f.Marks {
				check(f.Marks[i].Ref, f.Marks[i].Side, f.Marks[i].Packet)
			}
		})
		g := newDialogue(seed, 5, 5)
		for range 300 {
			s := g.segment()
			if s.From == 0 {
				continue // a copy of what was before the first one
			}
			segments[s.Ref] = s
			table.Step(&s)
		}
		Together(table).Finish(g.at + 1e9)
	}
	if lengths < 1000 {
		t.Errorf("only %d lengths", lengths)
	}
}

// Where only the server's direction was captured, its SYN-ACK tells the client's
// initial sequence number, wherever in the circle that stands; and an
// acknowledgement of nothing more than the SYN moves nothing.
func TestNumberOfUnseenClient(t *testing.T) {
	for _, isn := range []tcp.Seq{1, 0x70000000, 0x7ffffffe, 0xf0000000, 0xfffffffe} {
		var a, b [16]byte
		a[15], b[15] = 1, 2
		tuple, server := tcp.MakeTuple(&b, &a, 80, 40000)
		var segments []tcp.Segment
		send := func(flags tcp.Flags, seq, ack tcp.Seq) {
			n := uint64(len(segments) + 1)
			segments = append(segments, tcp.Segment{At: int64(1e18 + n*1e6), Ref: tcp.Ref(0, n), Tuple: tuple, From: server,
				Kind: tcp.KindTCP, Flags: flags, Seq: seq, Ack: ack, Window: 1000, TTL: 64, IPID: uint16(n)})
		}
		send(tcp.SYN|tcp.ACK, 5000, isn+1)
		send(tcp.ACK, 5001, isn+1)
		send(tcp.ACK, 5001, isn+101)
		f := run(segments, 16)[0]
		if d := f.Endpoint(f.Client); d.ISS != isn || d.Sent || f.Client == server {
			t.Errorf("client %v: ISS %d, sent %v", f.Client, d.ISS, d.Sent)
		}
		last := f.Steps[len(f.Steps)-1]
		if last.Ref.Frame() != 3 || last.To != fsm.Established || last.Packet.Payload || tcp.Seq(last.Packet.Number)-isn != 101 {
			t.Errorf("ISN %d: last step %+v", isn, last)
		}
	}
}
