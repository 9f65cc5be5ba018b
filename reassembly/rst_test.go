package reassembly

import (
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// The named sender of an RST that goes on after it did not send it, whatever
// timestamp the RST bears; what it had sent before, by its timestamps, may come
// late and proves nothing.
func TestDeniedRST(t *testing.T) {
	const ms = int64(1e6)
	var a, b [16]byte
	a[15], b[15] = 1, 2
	toServer, client := tcp.MakeTuple(&a, &b, 40000, 80)
	toClient, server := tcp.MakeTuple(&b, &a, 80, 40000)
	n := uint64(0)
	segment := func(from tcp.Side, at int64, flags tcp.Flags, seq, ack tcp.Seq, length, stamp uint32) tcp.Segment {
		n++
		tuple := toServer
		if from == server {
			tuple = toClient
		}
		return tcp.Segment{At: 1e18 + at*ms, Ref: tcp.Ref(0, n), Tuple: tuple, From: from, Kind: tcp.KindTCP, Flags: flags,
			Seq: seq, Ack: ack, Len: length, Window: 500, TTL: 64, IPID: uint16(n),
			Options: tcp.OptAny | tcp.OptTimestamps, TSVal: stamp}
	}
	tests := []struct {
		name       string
		rst, later uint32 // timestamps of the RST and of what follows
		at         int64  // when that comes, ms
		denied     bool
	}{
		{"goes on", 2000, 5000, 5000, true},
		{"sent before", 2000, 1990, 2500, false},
		{"sent with what went before", 2000, 1000, 2500, false},
		{"invented timestamp", 900_000_000, 5000, 5000, true},
		{"the other host's timestamp", 3_000_000_000, 5000, 5000, true},
		{"nothing takes so long", 2000, 1990, 30_000, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := run([]tcp.Segment{
				segment(client, 0, tcp.SYN, 99, 0, 0, 1), segment(server, 10, tcp.SYN|tcp.ACK, 499, 100, 0, 10),
				segment(client, 10, tcp.ACK, 100, 500, 0, 11), segment(client, 990, tcp.ACK|tcp.PSH, 100, 500, 50, 990),
				segment(server, 1000, tcp.ACK|tcp.PSH, 500, 150, 200, 1000), segment(client, 1010, tcp.ACK, 150, 700, 0, 1010),
				segment(server, 2000, tcp.RST|tcp.ACK, 700, 150, 0, tt.rst),
				segment(server, tt.at, tcp.ACK|tcp.PSH, 700, 150, 100, tt.later),
			}, 10)[0]
			if got := f.Denied.Ref != 0; got != tt.denied {
				t.Errorf("denied %v, want %v", got, tt.denied)
			}
		})
	}
}
