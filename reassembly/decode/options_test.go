package decode_test

import (
	"encoding/binary"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// TestOptions gives option bytes, and what a segment with them holds.
func TestOptions(t *testing.T) {
	digest := func(edges ...uint32) uint32 {
		var b []byte
		for _, e := range edges {
			b = binary.BigEndian.AppendUint32(b, e)
		}
		return tcp.DigestSACK(b)
	}
	sack := func(n int) []byte {
		b := []byte{5, byte(2 + 8*n)}
		for i := range n {
			b = concat(b, u32(uint32(100*i)), u32(uint32(100*i+50)))
		}
		return b
	}
	for _, c := range []struct {
		name  string
		bytes []byte // padded with end-of-list to four octets
		want  tcp.Segment
	}{
		{"none", nil, tcp.Segment{}},
		{"padding", []byte{1, 1, 1, 1}, tcp.Segment{Options: tcp.OptAny}},
		{"end of list", []byte{0, 2, 4, 9}, tcp.Segment{Options: tcp.OptAny}},
		{"mss", []byte{2, 4, 5, 0xb4}, tcp.Segment{Options: tcp.OptAny | tcp.OptMSS, MSS: 1460}},
		{"window scale", []byte{1, 3, 3, 7}, tcp.Segment{Options: tcp.OptAny | tcp.OptWindowScale, WScale: 7}},
		{"window scale beyond 14", []byte{1, 3, 3, 200}, tcp.Segment{Options: tcp.OptAny | tcp.OptWindowScale, WScale: 14}},
		{"sack permitted", []byte{1, 1, 4, 2}, tcp.Segment{Options: tcp.OptAny | tcp.OptSACKPermitted}},
		{"timestamps", timestamps, tcp.Segment{Options: tcp.OptAny | tcp.OptTimestamps, TSVal: 1000, TSEcr: 900}},
		{"timestamps, unaligned", concat([]byte{8, 10}, u32(3), u32(4)), tcp.Segment{Options: tcp.OptAny | tcp.OptTimestamps, TSVal: 3, TSEcr: 4}},
		{"linux syn", concat([]byte{2, 4, 5, 0xb4, 4, 2, 8, 10}, u32(3), u32(0), []byte{1, 3, 3, 7}),
			tcp.Segment{Options: tcp.OptAny | tcp.OptMSS | tcp.OptSACKPermitted | tcp.OptTimestamps | tcp.OptWindowScale, MSS: 1460, TSVal: 3, WScale: 7}},
		{"sack, empty", sack(0), tcp.Segment{Options: tcp.OptAny | tcp.OptSACK}},
		{"sack of one", concat([]byte{1, 1}, sack(1)), tcp.Segment{Options: tcp.OptAny | tcp.OptSACK, SACK: digest(0, 50)}},
		{"sack of four", sack(4), tcp.Segment{Options: tcp.OptAny | tcp.OptSACK, SACK: digest(0, 50, 100, 150, 200, 250, 300, 350)}},
		{"sack of three and timestamps", concat(timestamps, sack(3)),
			tcp.Segment{Options: tcp.OptAny | tcp.OptSACK | tcp.OptTimestamps, TSVal: 1000, TSEcr: 900, SACK: digest(0, 50, 100, 150, 200, 250)}},
		{"fast open", []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}, tcp.Segment{Options: tcp.OptAny | tcp.OptFastOpen}},
		{"fast open request", []byte{34, 2}, tcp.Segment{Options: tcp.OptAny | tcp.OptFastOpen}},
		{"fast open, experimental", []byte{254, 4, 0xf9, 0x89}, tcp.Segment{Options: tcp.OptAny | tcp.OptFastOpen}},
		{"another experiment", []byte{254, 4, 0xe2, 0xd4}, tcp.Segment{Options: tcp.OptAny}},
		{"an experiment without magic", []byte{253, 2}, tcp.Segment{Options: tcp.OptAny}},
		{"mptcp", []byte{30, 4, 0, 1}, tcp.Segment{Options: tcp.OptAny | tcp.OptMPTCP}},
		{"unknown", []byte{77, 4, 0, 1}, tcp.Segment{Options: tcp.OptAny}},
		{"mss of the wrong length", []byte{2, 3, 5, 3, 3, 7}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut | tcp.OptWindowScale, WScale: 7}},
		{"window scale of the wrong length", []byte{3, 4, 5, 3}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"sack permitted of the wrong length", []byte{4, 3, 5, 0}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"timestamps of the wrong length", []byte{8, 4, 5, 0}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"sack of the wrong length", []byte{5, 9, 1, 2, 3, 4, 5, 6, 7}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"length 0", []byte{1, 2, 0, 0}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"length 1", []byte{1, 2, 1, 0}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
		{"beyond the header", []byte{2, 4, 5, 0xb4, 1, 3, 30, 7}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut | tcp.OptMSS, MSS: 1460}},
		{"a lone kind", []byte{1, 1, 1, 2}, tcp.Segment{Options: tcp.OptAny | tcp.OptCut}},
	} {
		for len(c.bytes)%4 != 0 {
			c.bytes = append(c.bytes, 0)
		}
		spec := segmentSpec{Seq: 1, Ack: 1, Flags: tcp.ACK, Window: 1, Options: c.bytes, Payload: 3, Src: client4, Dst: server4}
		want := expected(spec, 0)
		want.Options, want.MSS, want.WScale, want.TSVal, want.TSEcr = c.want.Options, c.want.MSS, c.want.WScale, c.want.TSVal, c.want.TSEcr
		want.SACK = c.want.SACK
		if r, got := decodeOne(t, decode.New(decode.Options{}), 101, ipv4(6, spec.bytes())); r != decode.Segment || got != want {
			t.Errorf("%s: %v\n%+v, want\n%+v", c.name, r, got, want)
		}
	}
}

// TestCutOptions: options cut by the snaplen cost themselves and what stands
// behind them, not the segment.
func TestCutOptions(t *testing.T) {
	spec := segmentSpec{Flags: tcp.SYN, Options: concat([]byte{2, 4, 5, 0xb4, 4, 2, 8, 10}, u32(3), u32(0), []byte{1, 3, 3, 7}),
		Src: client4, Dst: server4}
	packet := ipv4(6, spec.bytes())
	for n := 40; n <= len(packet); n++ {
		want := tcp.OptAny
		for _, o := range []struct {
			end int
			set tcp.Options
		}{{44, tcp.OptMSS}, {46, tcp.OptSACKPermitted}, {56, tcp.OptTimestamps}, {60, tcp.OptWindowScale}} {
			if n >= o.end {
				want |= o.set
			}
		}
		if n < len(packet) {
			want |= tcp.OptCut
		}
		var seg tcp.Segment
		d := decode.New(decode.Options{})
		r := d.Decode(101, packet[:n], uint32(len(packet)), 0, 0, &seg)
		if r != decode.Segment || seg.Options != want || seg.Len != 0 || seg.Flags != tcp.SYN {
			t.Errorf("%d octets: %v %+v, want options %b", n, r, seg, want)
		}
	}
}

// TestCutPadding: what was cut behind the end of the list is no option.
func TestCutPadding(t *testing.T) {
	packet := ipv4(6, segmentSpec{Flags: tcp.SYN, Options: []byte{1, 3, 3, 7, 0, 0, 0, 0}, Src: client4, Dst: server4}.bytes())
	var seg tcp.Segment
	r := decode.New(decode.Options{}).Decode(101, packet[:45], uint32(len(packet)), 0, 0, &seg)
	if r != decode.Segment || seg.Options != tcp.OptAny|tcp.OptWindowScale {
		t.Errorf("%v %+v", r, seg)
	}
}
