package reassembly

import (
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// A connection may send more than its sequence space holds, and live longer
// than its timestamps take to wrap around (35 minutes at a tick each
// microsecond, as Linux can be told to): nothing of it is a stranger.
func TestLongConnection(t *testing.T) {
	for _, sequenced := range []bool{true, false} { // or every segment on the whole path
		const chunk, chunks = uint64(1 << 20), 5000
		var a, c [16]byte
		a[15], c[15] = 1, 2
		at, frame := int64(1e18), uint64(0)
		var segments []tcp.Segment
		send := func(client bool, flags tcp.Flags, seq, ack tcp.Seq, n uint32) {
			tuple, from := tcp.MakeTuple(&a, &c, 40000, 80)
			if !client {
				tuple, from = tcp.MakeTuple(&c, &a, 80, 40000)
			}
			at += 500e6
			frame++
			options := tcp.OptTimestamps | tcp.OptAny
			if flags&tcp.SYN != 0 {
				options |= tcp.OptWindowScale
			}
			segments = append(segments, tcp.Segment{At: at, Ref: tcp.Ref(0, frame), Tuple: tuple, From: from,
				Kind: tcp.KindTCP, Flags: flags, Seq: seq, Ack: ack, Len: n, Window: 60000, WScale: 10, TTL: 64,
				Options: options, TSVal: uint32(at / 1000), IPID: uint16(frame)})
		}
		const iss, irs = tcp.Seq(1000), tcp.Seq(5000)
		send(true, tcp.SYN, iss, 0, 0)
		send(false, tcp.SYN|tcp.ACK, irs, iss+1, 0)
		send(true, tcp.ACK, iss+1, irs+1, 0)
		if !sequenced {
			send(false, tcp.ACK, irs, iss+1, 1) // a keepalive keeps the flow off the short way
		}
		next := iss + 1
		for range chunks {
			send(true, tcp.ACK|tcp.PSH, next, irs+1, uint32(chunk))
			next = next.Add(uint32(chunk))
			send(false, tcp.ACK, irs+1, next, 0)
		}
		send(true, tcp.FIN|tcp.ACK, next, irs+1, 0)
		send(false, tcp.FIN|tcp.ACK, irs+1, next+1, 0)
		send(true, tcp.ACK, next+1, irs+2, 0)
		flows := run(segments, 16)
		if len(flows) != 1 {
			t.Fatalf("%d flows", len(flows))
		}
		f := flows[0]
		if got := f.Endpoint(f.Client).PayloadBytes; got != chunk*chunks || f.Close != CloseOrderly {
			t.Errorf("%d octets and %s, want %d and orderly", got, f.Close, chunk*chunks)
		}
		for _, m := range f.Marks {
			if m.Kind != KeepaliveProbe {
				t.Errorf("a mark: %v at frame %d", m.Kind, m.Ref.Frame())
				break
			}
		}
	}
}
