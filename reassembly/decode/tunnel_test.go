package decode_test

import (
	"bytes"
	"compress/flate"
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

func pppoe(payload []byte) []byte {
	return concat([]byte{0x11, 0}, u16(0x77), u16(uint16(len(payload))), payload)
}

func gre(flags, protocol uint16, rest ...[]byte) []byte {
	return concat(u16(flags), u16(protocol), concat(rest...))
}

// udpTunnel is Ethernet, IPv4 and UDP around a tunnel's header.
func udpTunnel(port uint16, rest ...[]byte) []byte {
	return ether(0x0800, outer(17, udp(50000, port, concat(rest...))))
}

func gtp(flags byte, rest ...[]byte) []byte {
	b := concat(rest...)
	return concat([]byte{flags, 255}, u16(uint16(len(b))), u32(0xabcd), b)
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

const inTunnel = tcp.Tunnelled

// Headers between the link layer and IP, and tunnels over Ethernet.
var tunnelWrappings = []wrapping{
	{name: "VLAN", data: ether(0x8100, concat(u16(7), u16(0x0800), packet4()))},
	{name: "VLAN ipv6", data: ether(0x8100, concat(u16(7), u16(0x86dd), packet6())), v6: true},
	{name: "802.1ad", data: ether(0x88a8, concat(u16(7), u16(0x8100), u16(8), u16(0x0800), packet4()))},
	{name: "QinQ of old", data: ether(0x9100, concat(u16(7), u16(0x8100), u16(8), u16(0x0800), packet4()))},
	{name: "three tags", data: ether(0x8100, concat(u16(7), u16(0x8100), u16(8), u16(0x8100), u16(9), u16(0x0800), packet4()))},
	{name: "VLAN with SNAP", data: ether(0x8100, concat(u16(7), u16(uint16(8+len(packet4()))), snap(0x0800, packet4())))},
	{name: "VN-Tag", data: ether(0x8926, concat(u32(1), u16(0x0800), packet4()))},
	{name: "802.1BR", data: ether(0x893f, concat(make([]byte, 6), u16(0x0800), packet4()))},
	{name: "Cisco metadata", data: ether(0x8909, concat([]byte{1, 1, 0, 1, 0, 9}, u16(0x0800), packet4()))},
	{name: "MAC in MAC", data: ether(0x88e7, concat(u32(5), ether(0x0800, packet4())))},
	{name: "MACsec, not encrypted", data: ether(0x88e5, concat([]byte{0x20, 0}, make([]byte, 12), u16(0x0800), packet4(), make([]byte, 16)))},
	{name: "NSH", data: ether(0x894f, concat([]byte{0, 6, 1, 1}, make([]byte, 20), packet4()))},
	{name: "MPLS", data: ether(0x8847, concat(u32(0x1000_0140), packet4()))},
	{name: "MPLS, three labels", data: ether(0x8848, concat(u32(0x1000_0040), u32(0x2000_0040), u32(0x3000_0140), packet6())), v6: true},
	{name: "MPLS pseudowire with control word", data: ether(0x8847, concat(u32(0x1000_0140), u32(5), ether(0x0800, packet4())))},
	{name: "MPLS pseudowire without", data: ether(0x8847, concat(u32(0x1000_0140), ether(0x8100, concat(u16(3), u16(0x0800), packet4()))))},
	{name: "MPLS pseudowire to a MAC address of 4", data: ether(0x8847, concat(u32(0x1000_0140), []byte{0x40, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, u16(0x0800), packet4()))},
	{name: "PPPoE", data: ether(0x8864, pppoe(concat([]byte{0, 0x21}, packet4())))},
	{name: "PPPoE in two VLANs", data: ether(0x8100, concat(u16(1), u16(0x8100), u16(2), u16(0x8864), pppoe(concat([]byte{0, 0x57}, packet6())))), v6: true},

	{name: "IP in IP", data: ether(0x0800, outer(4, packet4())), quality: inTunnel},
	{name: "6in4", data: ether(0x0800, outer(41, packet6())), v6: true, quality: inTunnel},
	{name: "4in6", data: ether(0x86dd, ipv6(4, packet4())), quality: inTunnel},
	{name: "6in6", data: ether(0x86dd, ipv6(41, packet6())), v6: true, quality: inTunnel},
	{name: "EtherIP", data: ether(0x0800, outer(97, concat([]byte{0x30, 0}, ether(0x0800, packet4())))), quality: inTunnel},
	{name: "MPLS in IP", data: ether(0x0800, outer(137, concat(u32(0x1000_0140), packet4()))), quality: inTunnel},
	{name: "Ethernet in IPv6", data: ether(0x86dd, ipv6(143, ether(0x0800, packet4()))), quality: inTunnel},
	{name: "AH", data: ether(0x0800, ipv4(51, concat([]byte{6, 4}, make([]byte, 22), spec4.bytes())))},
	{name: "AH, tunnel", data: ether(0x0800, outer(51, concat([]byte{4, 4}, make([]byte, 22), packet4()))), quality: inTunnel},

	{name: "GRE", data: ether(0x0800, outer(47, gre(0, 0x0800, packet4()))), quality: inTunnel},
	{name: "GRE, every field", data: ether(0x0800, outer(47, gre(0xb000, 0x86dd, u32(0), u32(42), u32(1), packet6()))), v6: true, quality: inTunnel},
	{name: "GRE, Ethernet", data: ether(0x0800, outer(47, gre(0x2000, 0x6558, u32(42), ether(0x0800, packet4())))), quality: inTunnel},
	{name: "GRE, MPLS", data: ether(0x0800, outer(47, gre(0, 0x8847, u32(0x1000_0140), packet4()))), quality: inTunnel},
	{name: "GRE, WCCP", data: ether(0x0800, outer(47, gre(0, 0x883e, u32(0), packet4()))), quality: inTunnel},
	{name: "GRE, WCCP version 1", data: ether(0x0800, outer(47, gre(0, 0x883e, packet4()))), quality: inTunnel},
	{name: "PPTP", data: ether(0x0800, outer(47, gre(0x3081, 0x880b, u16(uint16(4+len(packet4()))), u16(9), u32(1), u32(1),
		[]byte{0xff, 3, 0, 0x21}, packet4()))), quality: inTunnel},
	{name: "ERSPAN I", data: ether(0x0800, outer(47, gre(0, 0x88be, ether(0x0800, packet4())))), quality: inTunnel},
	{name: "ERSPAN II", data: ether(0x0800, outer(47, gre(0x1000, 0x88be, u32(1), []byte{0x10, 5, 0, 7, 0, 0, 0, 0}, ether(0x0800, packet4())))), quality: inTunnel},
	{name: "ERSPAN III", data: ether(0x0800, outer(47, gre(0x1000, 0x22eb, u32(1), []byte{0x20, 5, 0, 7}, make([]byte, 8), ether(0x0800, packet4())))), quality: inTunnel},
	{name: "ERSPAN III with subheader", data: ether(0x0800, outer(47, gre(0x1000, 0x22eb, u32(1), []byte{0x20, 5, 0, 7}, make([]byte, 7), []byte{1}, make([]byte, 8), ether(0x0800, packet4())))), quality: inTunnel},
	{name: "ERSPAN III of IP", data: ether(0x0800, outer(47, gre(0x1000, 0x22eb, u32(1), []byte{0x20, 5, 0, 7}, make([]byte, 6), []byte{0x08, 0}, packet4()))), quality: inTunnel},

	{name: "VXLAN", data: udpTunnel(4789, u32(0x0800_0000), u32(5<<8), ether(0x0800, packet4())), quality: inTunnel},
	{name: "VXLAN of old Linux", data: udpTunnel(8472, u32(0x0800_0000), u32(5<<8), ether(0x86dd, packet6())), v6: true, quality: inTunnel},
	{name: "VXLAN with policy", data: udpTunnel(4789, u32(0x8800_0009), u32(5<<8), ether(0x0800, packet4())), quality: inTunnel},
	{name: "VXLAN-GPE", data: udpTunnel(4790, u32(0x0c00_0001), u32(5<<8), packet4()), quality: inTunnel},
	{name: "VXLAN-GPE, Ethernet", data: udpTunnel(4790, u32(0x0c00_0003), u32(5<<8), ether(0x0800, packet4())), quality: inTunnel},
	{name: "VXLAN-GPE, NSH", data: udpTunnel(4790, u32(0x0c00_0004), u32(5<<8), []byte{0, 2, 2, 3}, u32(0), ether(0x0800, packet4())), quality: inTunnel},
	{name: "Geneve", data: udpTunnel(6081, []byte{2, 0x40, 0x65, 0x58}, u32(7<<8), make([]byte, 8), ether(0x0800, packet4())), quality: inTunnel},
	{name: "Geneve, IPv6", data: udpTunnel(6081, []byte{0, 0, 0x86, 0xdd}, u32(7<<8), packet6()), v6: true, quality: inTunnel},
	{name: "GTP-U", data: udpTunnel(2152, gtp(0x30, packet4())), quality: inTunnel},
	{name: "GTP-U with sequence", data: udpTunnel(2152, gtp(0x32, u32(1<<16), packet6())), v6: true, quality: inTunnel},
	{name: "GTP-U with two extensions", data: udpTunnel(2152, gtp(0x34, []byte{0, 0, 0, 0x85, 1, 0, 9, 0x40, 1, 0, 0, 0}, packet4())), quality: inTunnel},
	{name: "GTP-U, Ethernet", data: udpTunnel(2152, gtp(0x30, ether(0x0800, packet4()))), quality: inTunnel},
	{name: "GTP-U, PPP", data: udpTunnel(2152, gtp(0x30, []byte{0xff, 3, 0, 0x21}, packet4())), quality: inTunnel},
	{name: "Teredo", data: udpTunnel(3544, packet6()), v6: true, quality: inTunnel},
	{name: "Teredo with indications", data: udpTunnel(3544, []byte{0, 1, 2, 1}, make([]byte, 12), make([]byte, 8), packet6()), v6: true, quality: inTunnel},
	{name: "L2TP", data: udpTunnel(1701, u16(2), u16(5), u16(6), []byte{0xff, 3, 0, 0x21}, packet4()), quality: inTunnel},
	{name: "L2TP with every field", data: udpTunnel(1701, u16(0x4a02), u16(uint16(18+len(packet4()))), u16(5), u16(6), u16(1), u16(2), u16(2), u16(0), []byte{0, 0x21}, packet4()), quality: inTunnel},
	{name: "GRE in UDP", data: udpTunnel(4754, gre(0, 0x0800, packet4())), quality: inTunnel},
	{name: "MPLS in UDP", data: udpTunnel(6635, u32(0x1000_0140), packet4()), quality: inTunnel},
	{name: "TZSP", data: udpTunnel(37008, []byte{1, 0, 0, 1, 0, 41, 2, 9, 9, 1}, ether(0x0800, packet4())), quality: inTunnel},
	{name: "TZSP of 802.11", data: udpTunnel(37008, []byte{1, 0, 0, 18, 1}, wifiData(0x0801, 0, snap(0x0800, packet4()))), quality: inTunnel},
	{name: "VXLAN in ERSPAN", data: ether(0x0800, outer(47, gre(0x1000, 0x88be, u32(1), []byte{0x10, 5, 0, 7, 0, 0, 0, 0},
		udpTunnel(4789, u32(0x0800_0000), u32(5<<8), ether(0x0800, packet4()))))), quality: inTunnel},
}

func TestTunnels(t *testing.T) {
	for _, w := range tunnelWrappings {
		w.link = 1
		t.Run(w.name, w.check)
	}
}

// allWrappings are the frames of every table.
func allWrappings() []wrapping {
	all := slices.Concat(linkWrappings, wifiWrappings)
	for _, w := range tunnelWrappings {
		w.link = 1
		all = append(all, w)
	}
	return all
}

// TestVanJacobsonUncompressed: the connection's number stands where IP names
// the protocol.
func TestVanJacobsonUncompressed(t *testing.T) {
	p := packet4()
	p[9] = 3
	wrapping{link: 9, data: concat([]byte{0xff, 3, 0, 0x2f}, p)}.check(t)
}

// TestIPComp: a compressed packet is decompressed as far as its headers go.
// Only the beginning is looked at, so a cut counts where it hides that.
func TestIPComp(t *testing.T) {
	long := spec4
	long.Payload = 1400
	for _, c := range []struct {
		name    string
		spec    segmentSpec
		data    []byte
		quality tcp.Quality
	}{
		{"tunnel", spec4, ether(0x0800, outer(108, concat([]byte{4, 0, 0, 2}, deflated(packet4())))), inTunnel},
		{"transport", long, ether(0x0800, ipv4(108, concat([]byte{6, 0, 0, 2}, deflated(long.bytes())))), 0},
	} {
		d := decode.New(decode.Options{})
		want := expected(c.spec, c.quality)
		want.Options = tcp.OptAny | tcp.OptTimestamps
		want.TSVal, want.TSEcr = 1000, 900
		if r, got := decodeOne(t, d, 1, c.data); r != decode.Segment || got != want {
			t.Errorf("%s: %v %+v\nwant %+v\n%+v", c.name, r, got, want, d.Stats())
		}
	}
	// Twice compressed is nobody's packet.
	twice := ipv4(108, concat([]byte{108, 0, 0, 2}, deflated(concat([]byte{4, 0, 0, 2}, deflated(packet4())))))
	if r, _ := decodeOne(t, decode.New(decode.Options{}), 101, twice); r != decode.Undecodable {
		t.Errorf("compressed twice: %v", r)
	}
}

// TestOrdinaryUDP: what has a tunnel's port but not its form is NotTCP.
func TestOrdinaryUDP(t *testing.T) {
	text := []byte("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\nand some more octets to fill it up")
	zeros, ones := make([]byte, 100), bytes.Repeat([]byte{0xff}, 100)
	for _, port := range []uint16{1701, 2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472, 37008} {
		for _, payload := range [][]byte{nil, text[:1], text[:7], text, zeros, ones} {
			for _, data := range [][]byte{udpTunnel(port, payload), ether(0x0800, outer(17, udp(port, 53, payload)))} {
				d := decode.New(decode.Options{})
				if r, _ := decodeOne(t, d, 1, data); r != decode.NotTCP {
					t.Errorf("port %d, %q: %v, %+v", port, payload, r, d.Stats())
				}
			}
		}
	}
	bad := udpTunnel(4789, u32(0x0800_0000), u32(5<<8), ether(0x0800, packet4()))
	bad[14+20+8+8+14+20+12] = 0x10 // the inner TCP header is 4 octets long
	if r, _ := decodeOne(t, decode.New(decode.Options{}), 1, bad); r != decode.NotTCP {
		t.Errorf("malformed inside VXLAN: %v", r)
	}
	bad[14+20+8+8+14+20+12] = 0xf0 // and 60, more than there is
	if r, _ := decodeOne(t, decode.New(decode.Options{}), 1, bad); r != decode.NotTCP {
		t.Errorf("malformed inside VXLAN: %v", r)
	}
	bad = udpTunnel(4789, u32(0x0800_0000), u32(5<<8), ether(0x0800, packet4()))
	bad[14+20+5] = 4 // UDP length below its header's
	if r, _ := decodeOne(t, decode.New(decode.Options{}), 1, bad); r != decode.NotTCP {
		t.Errorf("UDP length 4: %v", r)
	}
}

// TestTunnelControl: control messages of tunnels carry nothing.
func TestTunnelControl(t *testing.T) {
	for name, data := range map[string][]byte{
		"GTP echo":         udpTunnel(2152, []byte{0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0}),
		"GTP prime":        udpTunnel(2152, []byte{0x0f, 255, 0, 4}, packet4()),
		"GTP longer":       udpTunnel(2152, []byte{0x30, 255, 9, 4, 0, 0, 0, 0}, packet4()),
		"L2TP control":     udpTunnel(1701, u16(0xc802), u16(12), u32(0), u32(0)),
		"L2TP longer":      udpTunnel(1701, u16(0x4002), u16(200), u16(5), u16(6), []byte{0, 0x21}, packet4()),
		"L2TP shorter":     udpTunnel(1701, u16(0x4002), u16(7), u16(5), u16(6), []byte{0, 0x21}, packet4()),
		"L2TP version 3":   udpTunnel(1701, u16(3), u16(0), u32(7), packet4()),
		"Teredo bubble":    udpTunnel(3544, ipv6(59, nil)),
		"GRE routing":      ether(0x0800, outer(47, gre(0x4000, 0x0800, u32(0), packet4()))),
		"GRE version 2":    ether(0x0800, outer(47, gre(2, 0x0800, packet4()))),
		"GRE keepalive":    ether(0x0800, outer(47, gre(0, 0))),
		"PPTP acknowledge": ether(0x0800, outer(47, gre(0x2081, 0x880b, u16(0), u16(9), u32(1)))),
		"VXLAN without id": udpTunnel(4789, u32(0), u32(5<<8), ether(0x0800, packet4())),
		"Geneve version 1": udpTunnel(6081, []byte{0x40, 0, 0x65, 0x58}, u32(7<<8), ether(0x0800, packet4())),
		"TZSP keepalive":   udpTunnel(37008, []byte{1, 4, 0, 0, 1}),
	} {
		d := decode.New(decode.Options{})
		if r, _ := decodeOne(t, d, 1, data); r != decode.NotTCP {
			t.Errorf("%s: %v, %+v", name, r, d.Stats())
		}
	}
}

// TestSeparate: ids of VLANs and tunnels keep equal tuples apart when asked
// to, whichever way the packet goes, and do nothing otherwise.
func TestSeparate(t *testing.T) {
	vlan := func(ids ...uint16) []byte {
		var tags []byte
		for _, id := range ids {
			tags = concat(tags, u16(0x8100), u16(id))
		}
		return concat(make([]byte, 12), tags, u16(0x0800), packet4())
	}
	vxlan := func(vni uint32) []byte {
		return udpTunnel(4789, u32(0x0800_0000), u32(vni<<8), ether(0x0800, packet4()))
	}
	type group struct {
		name   string
		byVLAN bool
		frames [][]byte // each with another tag
	}
	for _, g := range []group{
		{"vlan", true, [][]byte{vlan(1), vlan(2), vlan(1, 2), vlan(2, 1), vlan(1, 2, 3), vlan(3, 2, 1)}},
		{"vxlan", false, [][]byte{vxlan(0), vxlan(1), vxlan(2)}},
		{"kinds", false, [][]byte{
			vxlan(5),
			udpTunnel(6081, []byte{0, 0, 0x65, 0x58}, u32(5<<8), ether(0x0800, packet4())),
			ether(0x0800, outer(47, gre(0x2000, 0x0800, u32(5), packet4()))),
			ether(0x0800, outer(47, gre(0x1000, 0x88be, u32(1), []byte{0x10, 5, 0, 5, 0, 0, 0, 0}, ether(0x0800, packet4())))),
			ether(0x8864, pppoe(concat([]byte{0, 0x21}, packet4()))),
		}},
	} {
		off := decode.New(decode.Options{SeparateVLAN: !g.byVLAN, SeparateTunnel: g.byVLAN})
		on := decode.New(decode.Options{SeparateVLAN: g.byVLAN, SeparateTunnel: !g.byVLAN})
		seen := map[uint32]int{}
		for i, data := range g.frames {
			if r, seg := decodeOne(t, off, 1, data); r != decode.Segment || seg.Tuple.Tag != 0 {
				t.Errorf("%s %d: %v with tag %d although not asked for", g.name, i, r, seg.Tuple.Tag)
			}
			r, seg := decodeOne(t, on, 1, data)
			if other, taken := seen[seg.Tuple.Tag]; r != decode.Segment || seg.Tuple.Tag == 0 || taken {
				t.Errorf("%s %d: %v, tag %d, which is also that of %d", g.name, i, r, seg.Tuple.Tag, other)
			}
			seen[seg.Tuple.Tag] = i
		}
	}
	for i, oneWay := range [][]byte{
		udpTunnel(2152, gtp(0x30, packet4())),
		udpTunnel(1701, u16(2), u16(0), u16(5), []byte{0, 0x21}, packet4()),
		ether(0x8847, concat(u32(0x0000_5140), packet4())),
	} {
		r, seg := decodeOne(t, decode.New(decode.Options{SeparateTunnel: true}), 1, oneWay)
		if r != decode.Segment || seg.Tuple.Tag != 0 {
			t.Errorf("tunnel %d: %v, tag %d from an id that the other direction does not have", i, r, seg.Tuple.Tag)
		}
	}
	for _, priority := range [][]byte{vlan(0), vlan(0, 0, 0)} { // on the fast path and on the slow one
		if _, seg := decodeOne(t, decode.New(decode.Options{SeparateVLAN: true}), 1, priority); seg.Tuple.Tag != 0 {
			t.Error("a priority tag made a VLAN")
		}
	}
}
