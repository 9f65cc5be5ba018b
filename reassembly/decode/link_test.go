package decode_test

import (
	"encoding/binary"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// wrapping is a frame around a known segment.
type wrapping struct {
	name    string
	link    uint16
	data    []byte
	v6      bool        // holds spec6, otherwise spec4
	quality tcp.Quality // expected
}

// decodeOne decodes one frame that was captured whole.
func decodeOne(t *testing.T, d *decode.Decoder, link uint16, data []byte) (decode.Result, tcp.Segment) {
	t.Helper()
	seg := tcp.Segment{SACK: 3, MSS: 9, Reporter: [16]byte{1}} // leftovers of another frame
	r := d.Decode(link, data, uint32(len(data)), 77, tcp.Ref(1, 5), &seg)
	return r, seg
}

// expected is what decoding spec gives in an IP packet of the builders.
func expected(spec segmentSpec, quality tcp.Quality) tcp.Segment {
	src, dst := spec.Src.As16(), spec.Dst.As16()
	want := tcp.Segment{
		At: 77, Ref: tcp.Ref(1, 5), Kind: tcp.KindTCP,
		Seq: tcp.Seq(spec.Seq), Ack: tcp.Seq(spec.Ack), Flags: spec.Flags, Window: spec.Window,
		Len: uint32(spec.Payload), TTL: 57, Quality: quality,
	}
	if spec.Src.Is4() {
		want.IPID = 0x1234
	}
	want.Tuple, want.From = tcp.MakeTuple(&src, &dst, clientPort, serverPort)
	return want
}

func (w wrapping) check(t *testing.T) {
	t.Helper()
	spec := spec4
	if w.v6 {
		spec = spec6
	}
	want := expected(spec, w.quality)
	want.Options = tcp.OptAny | tcp.OptTimestamps
	want.TSVal, want.TSEcr = 1000, 900
	d := decode.New(decode.Options{})
	r, got := decodeOne(t, d, w.link, w.data)
	if r != decode.Segment || got != want {
		t.Errorf("%v %+v\nwant %+v\n%+v", r, got, want, d.Stats())
	}
	w.checkCuts(t, d)
}

// checkCuts cuts the frame at every octet: no cut may give another segment
// than the whole, but for what was cut; and none may count as another
// protocol, for a snaplen hides nothing.
func (w wrapping) checkCuts(t *testing.T, d *decode.Decoder) {
	t.Helper()
	var whole, seg tcp.Segment
	d.Decode(w.link, w.data, uint32(len(w.data)), 0, 0, &whole)
	for n := range w.data {
		r := d.Decode(w.link, w.data[:n:n], uint32(len(w.data)), 0, 0, &seg)
		switch {
		case t.Failed():
			return
		case r == decode.Undecodable:
		case r != decode.Segment:
			t.Errorf("cut at %d of %d: %v", n, len(w.data), r)
		case seg.Tuple != whole.Tuple || seg.Len != whole.Len || seg.Flags != whole.Flags || seg.Seq != whole.Seq:
			t.Errorf("cut at %d of %d: %+v, whole %+v", n, len(w.data), seg, whole)
		case seg.Quality&tcp.Snapped == 0:
			t.Errorf("cut at %d of %d: not marked as snapped", n, len(w.data))
		}
	}
}

func le16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// wifiData is an 802.11 data frame; head is its first two octets.
func wifiData(head uint16, extra int, body []byte) []byte {
	return concat(u16(head), make([]byte, 22+extra), body)
}

// Link types, each around IPv4 or IPv6.
var linkWrappings = []wrapping{
	{name: "ethernet", link: 1, data: ether(0x0800, packet4())},
	{name: "ethernet ipv6", link: 1, data: ether(0x86dd, packet6()), v6: true},
	{name: "ethernet, padded", link: 1, data: concat(ether(0x0800, packet4()), make([]byte, 9))},
	{name: "802.3 with SNAP", link: 1, data: ether(uint16(8+len(packet4())), snap(0x0800, packet4()))},
	{name: "802.3 with LLC for IP", link: 1, data: ether(uint16(3+len(packet4())), concat([]byte{6, 6, 3}, packet4()))},
	{name: "802.3 with bridge tunnel", link: 1, data: ether(uint16(8+len(packet4())),
		concat([]byte{0xaa, 0xaa, 3, 0, 0, 0xf8}, u16(0x0800), packet4()))},
	{name: "null, little-endian", link: 0, data: concat(le32(2), packet4())},
	{name: "null, big-endian", link: 0, data: concat(u32(2), packet4())},
	{name: "null ipv6 of Linux", link: 0, data: concat(le32(10), packet6()), v6: true},
	{name: "null ipv6 of Windows", link: 0, data: concat(le32(23), packet6()), v6: true},
	{name: "null ipv6 of NetBSD", link: 0, data: concat(u32(24), packet6()), v6: true},
	{name: "null ipv6 of FreeBSD", link: 0, data: concat(le32(28), packet6()), v6: true},
	{name: "null ipv6 of Darwin", link: 0, data: concat(le32(30), packet6()), v6: true},
	{name: "loop", link: 108, data: concat(u32(2), packet4())},
	{name: "loop ipv6", link: 108, data: concat(u32(24), packet6()), v6: true},
	{name: "raw", link: 101, data: packet4()},
	{name: "raw ipv6", link: 101, data: packet6(), v6: true},
	{name: "raw as 12", link: 12, data: packet4()},
	{name: "raw as 14", link: 14, data: packet6(), v6: true},
	{name: "ipv4", link: 228, data: packet4()},
	{name: "ipv6", link: 229, data: packet6(), v6: true},
	{name: "slip", link: 8, data: concat(make([]byte, 16), packet4())},
	{name: "enc", link: 109, data: concat(le32(2), make([]byte, 8), packet4())},
	{name: "ipnet", link: 226, data: concat(make([]byte, 24), packet6()), v6: true},
	{name: "pflog", link: 117, data: concat([]byte{61, 2, 0, 0}, make([]byte, 60), packet4())},
	{name: "sll", link: 113, data: concat(u16(4), u16(1), u16(6), make([]byte, 8), u16(0x0800), packet4())},
	{name: "sll ipv6", link: 113, data: concat(u16(4), u16(772), u16(6), make([]byte, 8), u16(0x86dd), packet6()), v6: true},
	{name: "sll with LLC", link: 113, data: concat(u16(4), u16(1), u16(6), make([]byte, 8), u16(4), snap(0x0800, packet4()))},
	{name: "sll with VLAN", link: 113, data: concat(u16(4), u16(1), u16(6), make([]byte, 8), u16(0x8100), u16(9), u16(0x0800), packet4())},
	{name: "sll of radiotap", link: 113, data: concat(u16(0), u16(803), u16(6), make([]byte, 8), u16(4),
		[]byte{0, 0}, le16(8), le32(0), wifiData(0x0801, 0, snap(0x0800, packet4())))},
	{name: "sll of Frame Relay", link: 113, data: concat(u16(0), u16(770), u16(6), make([]byte, 8), u16(0),
		[]byte{0x18, 0x41, 3, 0xcc}, packet4())},
	{name: "sll2", link: 276, data: concat(u16(0x0800), make([]byte, 18), packet4())},
	{name: "sll2 ipv6", link: 276, data: concat(u16(0x86dd), make([]byte, 18), packet6()), v6: true},
	{name: "ppp, framed", link: 9, data: concat([]byte{0xff, 3, 0, 0x21}, packet4())},
	{name: "ppp, bare", link: 9, data: concat([]byte{0, 0x57}, packet6()), v6: true},
	{name: "ppp, compressed protocol", link: 9, data: concat([]byte{0x21}, packet4())},
	{name: "ppp, MPLS", link: 9, data: concat([]byte{0xff, 3, 2, 0x81}, u32(0x1000_0100), packet4())},
	{name: "ppp hdlc", link: 50, data: concat([]byte{0xff, 3, 0, 0x21}, packet4())},
	{name: "cisco in ppp hdlc", link: 50, data: concat([]byte{0x0f, 0, 8, 0}, packet4())},
	{name: "ppp ether", link: 51, data: pppoe(concat([]byte{0, 0x21}, packet4()))},
	{name: "pppd", link: 166, data: concat([]byte{1, 3, 0, 0x21}, packet4())},
	{name: "ppp with direction", link: 204, data: concat([]byte{1, 0xff, 3, 0, 0x21}, packet4())},
	{name: "cisco hdlc", link: 104, data: concat([]byte{0x0f, 0, 8, 0}, packet4())},
	{name: "cisco hdlc ipv6", link: 104, data: concat([]byte{0x8f, 0, 0x86, 0xdd}, packet6()), v6: true},
	{name: "frame relay", link: 107, data: concat([]byte{0x18, 0x41, 3, 0xcc}, packet4())},
	{name: "frame relay, padded SNAP", link: 107, data: concat([]byte{0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0}, packet4())},
	{name: "frame relay of Cisco", link: 107, data: concat([]byte{0x18, 0x41, 8, 0}, packet4())},
	{name: "frame relay with direction", link: 206, data: concat([]byte{1, 0x18, 0x41, 3, 0xcc}, packet4())},
	{name: "cisco hdlc with direction", link: 205, data: concat([]byte{1, 0x0f, 0, 8, 0}, packet4())},
	{name: "fddi", link: 10, data: concat([]byte{0x50}, make([]byte, 12), snap(0x0800, packet4()))},
	{name: "ATM", link: 100, data: snap(0x86dd, packet6()), v6: true},
	{name: "ATM, bridged", link: 100, data: concat([]byte{0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7, 0, 0}, ether(0x0800, packet4()))},
	{name: "IP over Fibre Channel", link: 122, data: concat(make([]byte, 16), snap(0x0800, packet4()))},
	{name: "FireWire", link: 138, data: concat(make([]byte, 16), u16(0x0800), packet4())},
	{name: "IP over InfiniBand", link: 242, data: concat(make([]byte, 40), u16(0x0800), u16(0), packet4())},
	{name: "netANALYZER", link: 240, data: concat(make([]byte, 4), ether(0x0800, packet4()))},
	{name: "netANALYZER, transparent", link: 241, data: concat(make([]byte, 12), ether(0x0800, packet4()))},
	{name: "Broadcom tag", link: 281, data: concat(make([]byte, 12), u32(1), u16(0x0800), packet4())},
	{name: "Broadcom tag before", link: 282, data: concat(u32(1), ether(0x0800, packet4()))},
	{name: "DSA tag", link: 284, data: concat(make([]byte, 12), u32(1), u16(0x0800), packet4())},
	{name: "EtherType DSA tag", link: 285, data: concat(make([]byte, 12), make([]byte, 8), u16(0x86dd), packet6()), v6: true},
	{name: "token ring", link: 6, data: concat([]byte{0x10, 0x40}, make([]byte, 12), snap(0x0800, packet4()))},
	{name: "token ring, routed", link: 6, data: concat([]byte{0x10, 0x40}, make([]byte, 6), []byte{0x80}, make([]byte, 5),
		[]byte{6, 0, 0, 1, 0, 2}, snap(0x0800, packet4()))},
	{name: "juniper", link: 178, data: concat([]byte("MGC\x81"), u16(3), []byte{3, 1, 1}, ether(0x0800, packet4()))},
	{name: "juniper without frame", link: 178, data: concat([]byte("MGC\x03"), le32(2), packet4())},
	{name: "juniper ppp", link: 179, data: concat([]byte("MGC\x01"), []byte{0xff, 3, 0, 0x21}, packet4())},
	{name: "juniper frame relay", link: 180, data: concat([]byte("MGC\x01"), []byte{0x18, 0x41, 3, 0xcc}, packet4())},
	{name: "juniper hdlc", link: 181, data: concat([]byte("MGC\x01"), []byte{0x0f, 0, 8, 0}, packet4())},
	{name: "erf", link: 197, data: concat(make([]byte, 8), []byte{2, 4}, u16(uint16(32+len(packet4()))), u16(0), u16(uint16(14+len(packet4()))), u16(0), ether(0x0800, packet4()))},
	{name: "erf with two extensions", link: 197, data: concat(make([]byte, 8), []byte{0x82, 4}, u16(uint16(48+len(packet4()))), u16(0), u16(uint16(14+len(packet4()))),
		[]byte{0x83, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8), u16(0), ether(0x0800, packet4()))},
	{name: "erf of ipv6", link: 197, data: concat(make([]byte, 8), []byte{23, 4}, u16(uint16(16+len(packet6()))), u16(0), u16(uint16(len(packet6()))), packet6()), v6: true},
	{name: "nflog", link: 239, data: concat([]byte{2, 0}, u16(0), le16(8), le16(1), make([]byte, 4),
		le16(5), le16(10), []byte{0, 0, 0, 0}, le16(uint16(4+len(packet4()))), le16(9), packet4())},
	{name: "nflog, big-endian", link: 239, data: concat([]byte{2, 0}, u16(0), u16(8), u16(1), make([]byte, 4),
		u16(uint16(4+len(packet4()))), u16(9), packet4())},
	{name: "pktap", link: 258, data: concat(le32(108), le32(1), le32(1), make([]byte, 96), ether(0x0800, packet4()))},
	{name: "ppi with 802.11", link: 192, data: concat([]byte{0, 0}, le16(12), le32(105), make([]byte, 4),
		wifiData(0x0801, 0, snap(0x0800, packet4())))},
	{name: "ppi with Ethernet", link: 192, data: concat([]byte{0, 0}, le16(8), le32(1), ether(0x0800, packet4()))},
}

// 802.11, in its variations.
var wifiWrappings = []wrapping{
	{name: "data", link: 105, data: wifiData(0x0801, 0, snap(0x0800, packet4()))},
	{name: "data with four addresses", link: 105, data: wifiData(0x0803, 6, snap(0x0800, packet4()))},
	{name: "QoS data", link: 105, data: wifiData(0x8802, 2, snap(0x86dd, packet6())), v6: true},
	{name: "QoS data, high throughput", link: 105, data: wifiData(0x8882, 6, snap(0x0800, packet4()))},
	{name: "decrypted", link: 105, data: wifiData(0x0841, 0, snap(0x0800, packet4()))},
	{name: "with check sequence", link: 105, data: concat(wifiData(0x0801, 0, snap(0x0800, packet4())), u32(0xdeadbeef))},
	{name: "aggregate", link: 105, data: concat(wifiData(0x8801, 0, nil), []byte{0x80, 0},
		make([]byte, 12), u16(5), []byte{0x42, 0x42, 3, 0, 0}, make([]byte, 1),
		make([]byte, 12), u16(uint16(8+len(packet4()))), snap(0x0800, packet4()))},
	{name: "radiotap", link: 127, data: concat([]byte{0, 0}, le16(18), le32(0x0000_0003), make([]byte, 8), []byte{0x10}, make([]byte, 1),
		wifiData(0x0801, 0, snap(0x0800, packet4())), u32(0xdeadbeef))},
	{name: "radiotap with two bitmaps, padded frame", link: 127, data: concat([]byte{0, 0}, le16(28), le32(0x8000_0003), le32(0), make([]byte, 4), make([]byte, 8), []byte{0x20, 0, 0, 0},
		wifiData(0x8801, 4, snap(0x0800, packet4())))},
	{name: "prism", link: 119, data: concat(le32(0x44), le32(144), make([]byte, 136), wifiData(0x0801, 0, snap(0x0800, packet4())))},
	{name: "avs", link: 163, data: concat(u32(0x8021_1001), u32(64), make([]byte, 56), wifiData(0x0801, 0, snap(0x0800, packet4())))},
	{name: "avs as prism", link: 119, data: concat(u32(0x8021_1001), u32(64), make([]byte, 56), wifiData(0x0801, 0, snap(0x0800, packet4())))},
}

func TestLinkTypes(t *testing.T) {
	for _, w := range linkWrappings {
		t.Run(w.name, w.check)
	}
}

func TestWiFi(t *testing.T) {
	for _, w := range wifiWrappings {
		t.Run(w.name, w.check)
	}
}

// TestNotTCP lists well-formed frames of other protocols, by link type.
func TestNotTCP(t *testing.T) {
	for _, c := range []struct {
		name string
		link uint16
		data []byte
	}{
		{"arp", 1, ether(0x0806, make([]byte, 28))},
		{"lldp", 1, ether(0x88cc, make([]byte, 28))},
		{"spanning tree", 1, ether(38, concat([]byte{0x42, 0x42, 3}, make([]byte, 43)))},
		{"novell raw", 1, ether(30, concat([]byte{0xff, 0xff}, make([]byte, 44)))},
		{"cdp", 1, ether(30, concat([]byte{0xaa, 0xaa, 3, 0, 0, 12, 0x20, 0}, make([]byte, 22)))},
		{"udp", 1, ether(0x0800, ipv4(17, udp(53, 5353, make([]byte, 20))))},
		{"echo", 1, ether(0x0800, ipv4(1, make([]byte, 16)))},
		{"echo ipv6", 1, ether(0x86dd, ipv6(58, concat([]byte{128, 0}, make([]byte, 14))))},
		{"icmpv6 in ipv4", 1, ether(0x0800, ipv4(58, make([]byte, 16)))},
		{"icmp in ipv6", 1, ether(0x86dd, ipv6(1, make([]byte, 16)))},
		{"sctp", 101, ipv4(132, make([]byte, 40))},
		{"esp", 101, ipv4(50, make([]byte, 40))},
		{"no next header", 101, ipv6(59, nil)},
		{"ipv6 option header in ipv4", 101, ipv4(60, make([]byte, 40))},
		{"fragment header in ipv4", 101, ipv4(44, make([]byte, 40))},
		{"fragment of sctp", 101, ipv4Full(client4, server4, 132, 1, 0x2000, nil, make([]byte, 40))},
		{"raw of version 0", 101, make([]byte, 40)},
		{"null of another family", 0, concat(le32(7), make([]byte, 40))},
		{"sll of netlink", 113, concat(u16(4), u16(824), u16(0), make([]byte, 8), u16(0x0800), packet4())},
		{"lcp", 9, concat([]byte{0xff, 3, 0xc0, 0x21}, make([]byte, 10))},
		{"pppoe discovery", 1, ether(0x8863, make([]byte, 20))},
		{"pppoe session, not data", 1, ether(0x8864, concat([]byte{0x11, 0xa7, 0, 1}, make([]byte, 20)))},
		{"token ring management", 6, make([]byte, 40)},
		{"erf of HDLC", 197, concat(make([]byte, 8), []byte{1, 4}, make([]byte, 40))},
		{"beacon", 105, concat([]byte{0x80, 0}, make([]byte, 40))},
		{"802.11 without data", 105, concat([]byte{0x48, 1}, make([]byte, 40))},
		{"802.11 later fragment", 105, concat([]byte{8, 1}, make([]byte, 20), []byte{1, 0}, snap(0x0800, packet4()))},
		{"nflog without a packet", 239, concat([]byte{2, 0}, u16(0), le16(8), le16(1), make([]byte, 4))},
		{"frame relay lmi", 107, []byte{0, 1, 3, 8, 0, 0x75, 0, 0}},
		{"pseudowire oam", 1, ether(0x8847, concat(u32(0x1000_0100), []byte{0x10, 0, 0, 7}, make([]byte, 20)))},
	} {
		d := decode.New(decode.Options{})
		if r, _ := decodeOne(t, d, c.link, c.data); r != decode.NotTCP {
			t.Errorf("%s: %v, %+v", c.name, r, d.Stats())
		}
	}
}

// TestUndecodable lists frames that cannot be decoded, with the reason that
// Stats gives.
func TestUndecodable(t *testing.T) {
	short := segmentSpec{Flags: tcp.SYN, Src: client4, Dst: server4}.bytes()
	tinyOffset := segmentSpec{Flags: tcp.SYN, Src: client4, Dst: server4}.bytes()
	tinyOffset[12] = 0x40
	badVersion, badLength, badTotal := packet4(), packet4(), packet4()
	badVersion[0], badLength[0] = 0x55, 0x44
	binary.BigEndian.PutUint16(badTotal[2:], 19)
	nested := packet4()
	for range 80 {
		nested = ipv4(4, nested)
	}
	for _, c := range []struct {
		name, reason string
		link         uint16
		data         []byte
	}{
		{"unknown link", "link type 147 is not supported", 147, packet4()},
		{"empty ethernet", "frame too short for its headers", 1, nil},
		{"empty raw", "frame too short for its headers", 101, nil},
		{"ethernet of ten octets", "frame too short for its headers", 1, make([]byte, 10)},
		{"ipv4 of ten octets", "frame too short for its headers", 228, packet4()[:10]},
		{"ipv4 of version 5", "malformed IPv4 header", 1, ether(0x0800, badVersion)},
		{"ipv4 header of 16 octets", "malformed IPv4 header", 1, ether(0x0800, badLength)},
		{"ipv4 total of 19", "malformed IPv4 header", 1, ether(0x0800, badTotal)},
		{"ipv6 of version 4", "malformed IPv6 header", 1, ether(0x86dd, packet4())},
		{"tcp of 16 octets", "malformed TCP header", 101, ipv4(6, short[:16])},
		{"tcp with offset 4", "malformed TCP header", 101, ipv4(6, tinyOffset)},
		{"pppoe version 2", "malformed link-layer header", 1, ether(0x8864, make([]byte, 20))},
		{"radiotap of length 2", "malformed link-layer header", 127, concat([]byte{0, 0}, le16(2), make([]byte, 30))},
		{"prism of length 1 GB", "malformed link-layer header", 119, concat(le32(0x44), le32(1<<30), make([]byte, 200))},
		{"juniper without magic", "malformed link-layer header", 178, ether(0x0800, packet4())},
		{"ppi of length 4", "malformed link-layer header", 192, concat([]byte{0, 0}, le16(4), le32(1), make([]byte, 30))},
		{"nflog attribute of length 2", "malformed link-layer header", 239, concat([]byte{2, 0, 0, 0}, le16(2), le16(9), packet4())},
		{"802.11 encrypted", "encrypted 802.11 frame", 105, wifiData(0x0841, 0, make([]byte, 80))},
		{"macsec encrypted", "encrypted MACsec frame", 1, ether(0x88e5, concat([]byte{0x2c, 0}, make([]byte, 80)))},
		{"van jacobson", "Van Jacobson compressed TCP header", 9, concat([]byte{0xff, 3, 0, 0x2d}, make([]byte, 30))},
		{"80 headers", "too many nested headers", 101, nested},
		{"pktap in pktap", "too many nested headers", 258, pktaps(100)},
		{"fragment not in eights", "malformed IP fragment", 101, ipv4Full(client4, server4, 6, 1, 0x2000, nil, make([]byte, 41))},
		{"fragment beyond 64 KiB", "malformed IP fragment", 101, ipv4Full(client4, server4, 6, 1, 0x1fff, nil, make([]byte, 41))},
		{"ipcomp of nothing", "IPComp payload that cannot be decompressed", 101, ipv4(108, []byte{4, 0, 0, 2, 0xff, 0xff, 0xff})},
	} {
		d := decode.New(decode.Options{})
		r, _ := decodeOne(t, d, c.link, c.data)
		s := d.Stats()
		if r != decode.Undecodable || len(s.Reasons) != 1 || s.Reasons[0] != (decode.Reason{Name: c.reason, Count: 1, First: tcp.Ref(1, 5)}) {
			t.Errorf("%s: %v, %+v", c.name, r, s)
		}
	}
}

func pktaps(n int) []byte {
	b := ether(0x0800, packet4())
	for range n {
		b = concat(le32(12), le32(1), le32(258), b)
	}
	return b
}
