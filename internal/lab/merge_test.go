//go:build linux

package lab

import (
	"encoding/binary"
	"testing"

	"github.com/lastack/lastack/reassembly/tcp"
)

// What a network card cuts and another puts together again is the same segment.
func TestMergeUndoesCut(t *testing.T) {
	for _, raw := range forged(t, ToServer, Forged{Flags: tcp.PSH | tcp.ACK, Seq: 0xfffffc00, Ack: 7, Len: 5000}) {
		f := parseFrame(ToServer, raw)
		for i := range payloadOf(&f) {
			payloadOf(&f)[i] = byte(i * 7)
		}
		parts, err := cut(raw, 1448)
		if err != nil || len(parts) != 4 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		m := newMerged(ToServer, parts[0])
		for i, p := range parts[1:] {
			if !m.take(p) {
				t.Fatalf("part %d does not fit", i+2)
			}
		}
		if m.take(parts[1]) {
			t.Error("a segment behind PSH was taken")
		}
		whole, size := m.frame()
		g := parseFrame(ToServer, whole)
		if size != 1448 || g.Len != 5000 || g.Flags != tcp.PSH|tcp.ACK || g.Seq != f.Seq || string(payloadOf(&g)) != string(payloadOf(&f)) {
			t.Errorf("%d octets of %d, %+v", g.Len, size, g.Flags)
		}
		// Whoever finishes the checksum finds that of the whole.
		got := fold(sum(0, whole[g.tcp:]))
		checksum(whole, &g)
		if want := binary.BigEndian.Uint16(whole[g.tcp+16:]); got != want {
			t.Errorf("checksum %#x, want %#x", got, want)
		}
	}
}

func TestMergeKeepsApart(t *testing.T) {
	base := Forged{Flags: tcp.ACK, Seq: 1000, Ack: 7, Len: 100}
	for name, next := range map[string]Forged{
		"a gap":                {Flags: tcp.ACK, Seq: 1101, Ack: 7, Len: 100},
		"another ack":          {Flags: tcp.ACK, Seq: 1100, Ack: 8, Len: 100},
		"a longer one":         {Flags: tcp.ACK, Seq: 1100, Ack: 7, Len: 101},
		"a FIN":                {Flags: tcp.ACK | tcp.FIN, Seq: 1100, Ack: 7, Len: 100},
		"no payload":           {Flags: tcp.ACK, Seq: 1100, Ack: 7},
		"a SYN":                {Flags: tcp.SYN, Seq: 1100},
		"another set of flags": {Flags: tcp.ACK | tcp.RST, Seq: 1100, Ack: 7, Len: 100},
	} {
		for i, raw := range forged(t, ToServer, base) {
			m := newMerged(ToServer, raw)
			if m.take(forged(t, ToServer, next)[i]) {
				t.Errorf("%s was taken", name)
			}
			if _, size := m.frame(); size != 0 {
				t.Errorf("%s: a single segment has a size", name)
			}
		}
	}
}
