package decode_test

import (
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// benchFrames are frames as captures are full of them, with and without the
// headers that send them the slow way.
func benchFrames() []struct {
	name string
	link uint16
	data []byte
} {
	syn := segmentSpec{Flags: tcp.SYN, Options: concat([]byte{2, 4, 5, 180, 4, 2, 8, 10}, u32(1), u32(0), []byte{1, 3, 3, 7}),
		Src: client4, Dst: server4}
	full := spec4
	full.Payload = 1448
	return []struct {
		name string
		link uint16
		data []byte
	}{
		{"ethernet-ipv4", 1, ether(0x0800, ipv4(6, full.bytes()))},
		{"ethernet-ipv4-syn", 1, ether(0x0800, ipv4(6, syn.bytes()))},
		{"vlan-ipv4", 1, ether(0x8100, concat(u16(7), u16(0x0800), packet4()))},
		{"ethernet-ipv6", 1, ether(0x86dd, packet6())},
		{"sll2-ipv4", 276, concat(u16(0x0800), make([]byte, 18), packet4())},
		{"mpls-ipv4", 1, ether(0x8847, concat(u32(16<<12|0x100|64), packet4()))},
		{"vxlan-ipv4", 1, ether(0x0800, outer(17, udp(9, 4789, concat(u32(0x08000000), u32(5<<8), ether(0x0800, packet4())))))},
		{"udp", 1, ether(0x0800, ipv4(17, udp(53, 5353, make([]byte, 60))))},
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchFrames() {
		b.Run(c.name, func(b *testing.B) {
			d := decode.New(decode.Options{})
			var seg tcp.Segment
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(c.link, c.data, uint32(len(c.data)), 1, 1, &seg)
			}
		})
		b.Run(c.name+"-slow", func(b *testing.B) {
			d := decode.New(decode.Options{})
			var seg tcp.Segment
			b.ReportAllocs()
			for b.Loop() {
				d.Slow(c.link, c.data, uint32(len(c.data)), 1, 1, &seg)
			}
		})
	}
}
