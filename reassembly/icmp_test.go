package reassembly

import (
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// An ICMP error ends an attempt to connect where it quotes the SYN itself and is
// one at which Linux gives up; whoever forges one must guess the number (RFC 5927
// §4.1).
func TestICMPErrorForSYN(t *testing.T) {
	tests := []struct {
		name       string
		seq        tcp.Seq
		kind, code uint8
		outcome    Outcome
		state      fsm.State
	}{
		{"host unreachable", 1000, 3, 1, Unreachable, fsm.Closed},
		{"time exceeded", 1000, 11, 0, Unreachable, fsm.Closed},
		{"parameter problem", 1000, 12, 0, Unreachable, fsm.Closed},
		{"fragmentation needed", 1000, 3, 4, Unanswered, fsm.SynSent},
		{"source quench", 1000, 4, 0, Unanswered, fsm.SynSent},
		{"another number", 999_999, 3, 1, Unanswered, fsm.SynSent},
	}
	var client, server [16]byte
	client[10], client[11], client[15] = 0xff, 0xff, 1
	server[10], server[11], server[15] = 0xff, 0xff, 2
	tuple, from := tcp.MakeTuple(&client, &server, 40001, 80)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			syn := tcp.Segment{At: 1e18, Ref: tcp.Ref(0, 1), Tuple: tuple, From: from, Kind: tcp.KindTCP,
				Flags: tcp.SYN, Seq: 1000, Window: 64240, TTL: 64}
			quoted := syn
			quoted.At, quoted.Ref, quoted.Kind = 1e18+10e6, tcp.Ref(0, 2), tcp.KindICMP
			quoted.Seq, quoted.ICMPType, quoted.ICMPCode = tt.seq, tt.kind, tt.code
			f := run([]tcp.Segment{syn, quoted}, 10)[0]
			if got := f.Endpoint(f.Client).State; f.Handshake.Outcome != tt.outcome || got != tt.state {
				t.Errorf("%v, client in %v, want %v, %v", f.Handshake.Outcome, got, tt.outcome, tt.state)
			}
		})
	}
}
