package decode_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

func ipv4Length(total uint16, payload []byte) []byte {
	b := ipv4(6, payload)
	binary.BigEndian.PutUint16(b[2:], total)
	return b
}

// withSum repairs the checksum of an IPv4 header that a test has changed.
func withSum(b []byte) []byte {
	head := int(b[0]&15) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum16(b[:head])))
	return b
}

func ipv6Length(n uint16, next byte, payload []byte) []byte {
	b := ipv6(next, payload)
	binary.BigEndian.PutUint16(b[4:], n)
	return b
}

// TestLengths: the payload's length is what the IP header says, or where it
// says nothing, what the frame had on the wire.
func TestLengths(t *testing.T) {
	const payload = 1000
	spec := segmentSpec{Seq: 1, Ack: 1, Flags: tcp.ACK, Window: 9, Payload: payload, Src: client4, Dst: server4}
	spec6 := spec
	spec6.Src, spec6.Dst = client6, server6
	data, data6 := spec.bytes(), spec6.bytes()
	jumbo := concat([]byte{6, 0, 0xc2, 4}, u32(uint32(8+len(data6))), data6)
	big := spec6
	big.Payload = 100_000
	for _, c := range []struct {
		name    string
		frame   []byte
		keep    int // captured octets, 0 for all
		cut     int // octets of the frame that its wire length leaves out
		want    uint32
		quality tcp.Quality
	}{
		{name: "whole", frame: ether(0x0800, ipv4(6, data)), want: payload},
		{name: "padded", frame: concat(ether(0x0800, ipv4(6, data[:20])), make([]byte, 6)), want: 0},
		{name: "ipv6 padded", frame: concat(ether(0x86dd, ipv6(6, data6[:20])), make([]byte, 46)), want: 0},
		{name: "snapped at 96", frame: ether(0x0800, ipv4(6, data)), keep: 96, want: payload, quality: tcp.Snapped},
		{name: "ipv6 snapped at 96", frame: ether(0x86dd, ipv6(6, data6)), keep: 96, want: payload, quality: tcp.Snapped},
		{name: "snapped within the header", frame: ether(0x0800, ipv4(6, data)), keep: 48, want: payload, quality: tcp.Snapped},
		{name: "snapped padding", frame: concat(ether(0x0800, ipv4(6, data[:20])), make([]byte, 6)), keep: 54, want: 0, quality: tcp.Snapped},
		{name: "total length 0", frame: ether(0x0800, ipv4Length(0, data)), want: payload},
		{name: "total length 0, snapped", frame: ether(0x0800, ipv4Length(0, data)), keep: 96, want: payload, quality: tcp.Snapped},
		{name: "total length 0 in a tunnel", frame: ether(0x0800, outer(4, ipv4Length(0, data))), want: payload, quality: tcp.Tunnelled},
		{name: "total length 0 in VXLAN, padded", want: payload, quality: tcp.Tunnelled,
			frame: ether(0x0800, outer(17, concat(udp(9, 4789, concat(u32(0x0800_0000), u32(0), ether(0x0800, ipv4Length(0, data)))), make([]byte, 9))))},
		{name: "total length 0 in GTP-U, padded", want: payload, quality: tcp.Tunnelled,
			frame: udpTunnel(2152, gtp(0x30, ipv4Length(0, data)), make([]byte, 9))},
		{name: "total length 0 in PPPoE, padded", want: payload,
			frame: ether(0x8864, concat(pppoe(concat([]byte{0, 0x21}, ipv4Length(0, data))), make([]byte, 9)))},
		{name: "payload length 0", frame: ether(0x86dd, ipv6Length(0, 6, data6)), want: payload},
		{name: "payload length 0, above 64 KiB", frame: ether(0x86dd, ipv6Length(0, 6, big.bytes())), want: 100_000},
		{name: "jumbo option", frame: concat(ether(0x86dd, ipv6Length(0, 0, jumbo)), make([]byte, 9)), want: payload},
		{name: "jumbo option, snapped", frame: ether(0x86dd, ipv6Length(0, 0, jumbo)), keep: 96, want: payload, quality: tcp.Snapped},
		// Converters write the captured length into both fields.
		{name: "cut without a note", frame: ether(0x0800, ipv4(6, data)), keep: 128, cut: 14 + 40 + payload - 128, want: payload, quality: tcp.Snapped},
		{name: "ipv6 cut without a note", frame: ether(0x86dd, ipv6(6, data6)), keep: 128, cut: 14 + 60 + payload - 128, want: payload, quality: tcp.Snapped},
		{name: "damaged total length", frame: ether(0x0800, ipv4Length(0x7334, data)), want: payload},
		{name: "long but right", frame: ether(0x0800, withSum(ipv4Length(0x7334, data))), want: 0x7334 - 40, quality: tcp.Snapped},
	} {
		wire := len(c.frame) - c.cut
		data := c.frame
		if c.keep > 0 {
			data = data[:c.keep:c.keep]
		}
		for _, slow := range []bool{false, true} {
			d := decode.New(decode.Options{})
			var seg tcp.Segment
			r := decode.Segment
			if slow {
				r = d.Slow(1, data, uint32(wire), 0, 0, &seg)
			} else {
				r = d.Decode(1, data, uint32(wire), 0, 0, &seg)
			}
			if r != decode.Segment || seg.Len != c.want || seg.Quality != c.quality {
				t.Errorf("%s (slow: %v): %v, length %d, quality %b; want %d, %b", c.name, slow, r, seg.Len, seg.Quality, c.want, c.quality)
			}
		}
	}
}

// TestCutHeader: a header cut by the snaplen is good for what was captured of
// it, from the control bits on.
func TestCutHeader(t *testing.T) {
	spec := spec6
	spec.Window = 3
	packet := ipv6(6, spec.bytes())
	for n := 40; n < 40+32; n++ {
		d := decode.New(decode.Options{})
		var seg tcp.Segment
		r := d.Decode(101, packet[:n], uint32(len(packet)), 0, 0, &seg)
		s := d.Stats()
		if n < 40+14 {
			if r != decode.Undecodable || s.Reasons[0].Name != "TCP header cut by the snaplen" {
				t.Errorf("%d octets: %v, %+v", n-40, r, s)
			}
			continue
		}
		window := uint16(3)
		if n < 40+16 {
			window = 65535
		}
		if r != decode.Segment || seg.Len != 10 || seg.Flags != spec.Flags || seg.Seq != 100 || seg.Ack != 200 ||
			seg.Window != window || seg.Options != tcp.OptAny|tcp.OptCut || (s.CutHeaders == 1) != (n < 60) {
			t.Errorf("%d octets: %v %+v, %+v", n-40, r, seg, s)
		}
	}
}

// TestOffsetBeyondPayload: a header that is longer than its packet counts, as
// it does for Wireshark, with nothing behind it.
func TestOffsetBeyondPayload(t *testing.T) {
	b := segmentSpec{Flags: tcp.SYN, Src: client4, Dst: server4, Options: make([]byte, 8)}.bytes()
	b[12] = 0xa0
	r, seg := decodeOne(t, decode.New(decode.Options{}), 101, ipv4(6, b))
	if r != decode.Segment || seg.Len != 0 || seg.Flags != tcp.SYN || seg.Quality != tcp.BadChecksum {
		t.Errorf("%v %+v", r, seg)
	}
}

// TestExtensionHeaders: TCP behind IPv6 extension headers.
func TestExtensionHeaders(t *testing.T) {
	segment := spec6.bytes()
	other := netip.MustParseAddr("2001:db8::99")
	routing := func(kind, left byte, addrs ...netip.Addr) []byte {
		b := []byte{6, byte(2 * len(addrs)), kind, left, 0, 0, 0, 0}
		for _, a := range addrs {
			b = concat(b, a.AsSlice())
		}
		return b
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"hop by hop", ipv6(0, concat([]byte{6, 0, 1, 4, 0, 0, 0, 0}, segment))},
		{"destination options of 24", ipv6(60, concat([]byte{6, 2}, make([]byte, 22), segment))},
		{"several", ipv6(0, concat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{51, 0, 4, 0, 0, 0, 0, 0},
			[]byte{60, 4}, make([]byte, 22), []byte{6, 0, 1, 4, 0, 0, 0, 0}, segment))},
		{"atomic fragment", ipv6(44, concat([]byte{6, 0, 0, 0}, u32(7), segment))},
		{"mobility", ipv6(135, concat([]byte{6, 0, 0, 0, 0, 0, 0, 0}, segment))},
		{"routing, used up", ipv6(43, concat(routing(0, 0, other), segment))},
		{"routing type 0", ipv6To(client6, other, 43, concat(routing(0, 2, other, server6), segment))},
		{"routing type 2", ipv6To(client6, other, 43, concat(routing(2, 1, server6), segment))},
		{"segment routing", ipv6To(client6, other, 43, concat(routing(4, 1, server6, other), segment))},
	} {
		wrapping{link: 101, v6: true, data: c.data}.check(t)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

// TestSourceRoute: the flow belongs to the final destination of an IPv4 packet
// that has not come there yet.
func TestSourceRoute(t *testing.T) {
	hop := netip.MustParseAddr("203.0.113.9")
	via := func(dst netip.Addr, options ...[]byte) []byte {
		return ipv4Full(client4, dst, 6, 0x1234, 0x4000, concat(options...), spec4.bytes())
	}
	route := func(kind, pointer byte, addrs ...netip.Addr) []byte {
		b := []byte{kind, byte(3 + 4*len(addrs)), pointer}
		for _, a := range addrs {
			b = concat(b, a.AsSlice())
		}
		return b
	}
	for _, data := range [][]byte{
		via(hop, route(131, 4, server4), []byte{0}),
		via(hop, []byte{1}, route(137, 8, hop, server4)),
		via(server4, route(131, 12, hop, hop), []byte{0}),
		via(server4, []byte{148, 4, 0, 0}),     // router alert
		via(server4, []byte{0, 131, 7, 4}),     // behind the end of options
		via(server4, []byte{131, 3, 4, 0}),     // no address
		via(server4, []byte{131, 200, 4, 0}),   // longer than the header
		via(server4, []byte{131, 1, 4, 0}),     // shorter than itself
		via(server4, []byte{1, 1, 1, 7}),       // cut
		via(server4, route(131, 5), []byte{0}), // no address either
	} {
		wrapping{link: 101, data: data}.check(t)
	}
}

// TestChecksum: it is verified for SYN, FIN and RST that were captured whole,
// over every length, on both paths.
func TestChecksum(t *testing.T) {
	for _, flags := range []tcp.Flags{tcp.SYN, tcp.FIN | tcp.ACK, tcp.RST} {
		for n := range 140 {
			for _, v6 := range []bool{false, true} {
				spec := segmentSpec{Seq: 0xfedcba98, Flags: flags, Window: 0xffff, Payload: n, Src: client4, Dst: server4}
				if v6 {
					spec.Src, spec.Dst = client6, server6
				}
				segment := spec.bytes()
				packet := func(b []byte) []byte {
					if v6 {
						return ipv6(6, b)
					}
					return ipv4(6, b)
				}
				verified(t, packet(segment), 0)
				for _, at := range []int{4, 16, 17, len(segment) - 1} {
					segment[at]++
					verified(t, packet(segment), tcp.BadChecksum)
					segment[at]--
				}
			}
		}
	}
	spec := spec4
	broken := spec.bytes()
	broken[4]++
	verified(t, ipv4(6, broken), 0) // neither SYN, FIN nor RST
}

func verified(t *testing.T, packet []byte, want tcp.Quality) {
	t.Helper()
	d := decode.New(decode.Options{})
	for name, r := range map[string]func(uint16, []byte, uint32, int64, tcp.PacketRef, *tcp.Segment) decode.Result{
		"decode": d.Decode, "slow": d.Slow,
	} {
		var seg tcp.Segment
		if got := r(101, packet, uint32(len(packet)), 0, 0, &seg); got != decode.Segment || seg.Quality != want {
			t.Errorf("%s, %d octets: %v, quality %b, want %b", name, len(packet), got, seg.Quality, want)
		}
	}
	if s := d.Stats(); (s.BadChecksums == 2) != (want == tcp.BadChecksum) || s.BadChecksums > s.Checksums {
		t.Errorf("%d octets: %+v", len(packet), s)
	}
}

// TestChecksumOfCut: what was not captured whole is not verified.
func TestChecksumOfCut(t *testing.T) {
	spec := segmentSpec{Flags: tcp.FIN, Payload: 50, Src: client4, Dst: server4}
	packet := ipv4(6, spec.bytes())
	packet[30]++
	d := decode.New(decode.Options{})
	var seg tcp.Segment
	r := d.Decode(101, packet[:80], uint32(len(packet)), 0, 0, &seg)
	if s := d.Stats(); r != decode.Segment || seg.Quality != tcp.Snapped || s.Checksums != 0 {
		t.Errorf("%v %+v %+v", r, seg, s)
	}
}
