package decode_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

var (
	router4 = netip.MustParseAddr("203.0.113.7")
	router6 = netip.MustParseAddr("2001:db8:ffff::7")
)

// icmp4 is an ICMP error from a router to the client.
func icmp4(kind, code byte, quote []byte) []byte {
	return ipv4To(router4, client4, 1, concat([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quote))
}

func icmp6(kind, code byte, quote []byte) []byte {
	return ipv6To(router6, client6, 58, concat([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quote))
}

// TestQuotes: an ICMP error gives the TCP header that it quotes, as far as it
// does, and who sent it.
func TestQuotes(t *testing.T) {
	syn := segmentSpec{Seq: 7000, Flags: tcp.SYN, Window: 64240, Options: []byte{2, 4, 5, 0xb4}, Src: client4, Dst: server4}
	syn6 := syn
	syn6.Src, syn6.Dst = client6, server6
	quoted, quoted6 := ipv4(6, syn.bytes()), ipv6(6, syn6.bytes())
	padded := concat(quoted, make([]byte, 128-len(quoted)), []byte{0x20, 0, 0, 0}) // RFC 4884
	damaged := ipv4(6, syn.bytes())
	binary.BigEndian.PutUint16(damaged[2:], 5)
	firstFragment := ipv4Full(client4, server4, 6, 0x1234, 0x2000, nil, syn.bytes())
	extended := ipv6(60, concat([]byte{6, 0, 1, 4, 0, 0, 0, 0}, syn6.bytes()))

	for _, c := range []struct {
		name       string
		data       []byte
		kind, code uint8
		whole, v6  bool // the quote reaches to the end of the header
	}{
		{"unreachable, 8 octets", icmp4(3, 1, quoted[:28]), 3, 1, false, false},
		{"unreachable, whole", icmp4(3, 13, quoted), 3, 13, true, false},
		{"unreachable, padded", icmp4(3, 3, padded), 3, 3, true, false},
		{"unreachable, damaged length", icmp4(3, 3, damaged), 3, 3, true, false},
		{"source quench", icmp4(4, 0, quoted[:28]), 4, 0, false, false},
		{"time exceeded", icmp4(11, 0, quoted[:28]), 11, 0, false, false},
		{"parameter problem", icmp4(12, 0, quoted), 12, 0, true, false},
		{"of a first fragment", icmp4(11, 1, firstFragment), 11, 1, true, false},
		{"unreachable ipv6", icmp6(1, 4, quoted6), 1, 4, true, true},
		{"too big", icmp6(2, 0, quoted6), 2, 0, true, true},
		{"hop limit", icmp6(3, 0, quoted6), 3, 0, true, true},
		{"parameter problem ipv6", icmp6(4, 1, extended), 4, 1, true, true},
		{"ipv6, 8 octets", icmp6(1, 0, quoted6[:48]), 1, 0, false, true},
	} {
		spec, reporter := syn, router4.As16()
		if c.v6 {
			spec, reporter = syn6, router6.As16()
		}
		want := expected(spec, 0)
		want.Kind, want.Reporter, want.ICMPType, want.ICMPCode = tcp.KindICMP, reporter, c.kind, c.code
		if c.whole {
			want.Options, want.MSS = tcp.OptAny|tcp.OptMSS, 1460
		} else {
			want.Flags, want.Window = 0, 0
		}
		d := decode.New(decode.Options{})
		if r, got := decodeOne(t, d, 101, c.data); r != decode.Quote || got != want {
			t.Errorf("%s: %v\n%+v, want\n%+v\n%+v", c.name, r, got, want, d.Stats())
		}
		tunnelled := ether(0x0800, outer(4, c.data))
		if c.v6 {
			tunnelled = ether(0x0800, outer(41, c.data))
		}
		want.Quality = tcp.Tunnelled
		if r, got := decodeOne(t, d, 1, tunnelled); r != decode.Quote || got != want {
			t.Errorf("%s in a tunnel: %v\n%+v, want\n%+v", c.name, r, got, want)
		}
	}
}

// TestQuotedLength: the quoted IP header tells the segment's length, although
// the quote is shorter and routers leave its checksum as it was.
func TestQuotedLength(t *testing.T) {
	long := spec4
	long.Payload = 1000
	quoted := ipv4(6, long.bytes())[:60]
	quoted[8]-- // time to live
	r, got := decodeOne(t, decode.New(decode.Options{}), 101, icmp4(11, 0, quoted))
	if r != decode.Quote || got.Len != 1000 || got.TTL != 56 || got.Flags != spec4.Flags {
		t.Errorf("%v %+v", r, got)
	}
}

// TestQuotesOfNothing: what an ICMP message holds that is no TCP header.
func TestQuotesOfNothing(t *testing.T) {
	for name, data := range map[string][]byte{
		"quotes UDP":            icmp4(3, 3, ipv4(17, udp(5, 53, make([]byte, 20)))),
		"quotes a VXLAN packet": icmp4(3, 3, ipv4(17, udp(5, 4789, concat(u32(0x0800_0000), u32(5<<8), ether(0x0800, packet4()))))),
		"quotes IP in IP":       icmp4(3, 3, ipv4(4, packet4())),
		"quotes ICMP":           icmp4(3, 3, icmp4(3, 3, packet4())),
		"quotes a later piece":  icmp4(11, 1, ipv4Full(client4, server4, 6, 1, 0x0010, nil, spec4.bytes())),
		"quotes 7 octets":       icmp4(3, 1, packet4()[:27]),
		"quotes half a header":  icmp4(3, 1, packet4()[:11]),
		"quotes no header":      icmp4(3, 1, nil),
		"quotes version 5":      icmp4(3, 1, concat([]byte{0x55}, packet4()[1:])),
		"quotes a short ipv6":   icmp6(1, 1, packet6()[:44]),
		"redirect":              icmp4(5, 1, packet4()),
		"echo with a packet":    icmp4(8, 0, packet4()),
		"neighbour":             icmp6(135, 0, packet6()),
	} {
		d := decode.New(decode.Options{})
		if r, _ := decodeOne(t, d, 101, data); r != decode.NotTCP {
			t.Errorf("%s: %v, %+v", name, r, d.Stats())
		}
	}
}

// TestCutQuote: a quote cut by the snaplen is not nothing.
func TestCutQuote(t *testing.T) {
	data := icmp4(3, 1, packet4())
	for n := range data {
		d := decode.New(decode.Options{})
		var seg tcp.Segment
		r := d.Decode(101, data[:n], uint32(len(data)), 0, 0, &seg)
		want := decode.Undecodable
		if n >= 20+8+20+8 {
			want = decode.Quote
		}
		if r != want || r == decode.Quote && (seg.Quality != tcp.Snapped || seg.Seq != 100) {
			t.Errorf("%d octets: %v %+v", n, r, seg)
		}
	}
}
