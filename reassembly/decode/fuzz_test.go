package decode_test

import (
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// FuzzDecode feeds one decoder any bytes under any link type: it must not
// panic, must count every frame once, must agree with itself on both paths and
// with gopacket, and must not depend on what a frame before left behind, but
// for fragments.
func FuzzDecode(f *testing.F) {
	for _, w := range allWrappings() {
		f.Add(w.link, w.data, uint32(len(w.data)))
		f.Add(w.link, w.data[:len(w.data)-5], uint32(len(w.data)))
	}
	for _, p := range cutUp(7, 6, spec4.bytes(), 16) {
		f.Add(uint16(101), p, uint32(len(p)))
	}
	for _, p := range cutUp6(7, 6, spec6.bytes(), 16) {
		f.Add(uint16(101), p, uint32(len(p)))
	}
	f.Add(uint16(101), icmp4(3, 1, packet4()), uint32(200))
	f.Add(uint16(101), icmp6(1, 1, packet6()), uint32(200))
	f.Add(uint16(1), ether(0x0800, outer(108, concat([]byte{4, 0, 0, 2}, deflated(packet4())))), uint32(100))

	used := decode.New(decode.Options{SeparateVLAN: true, SeparateTunnel: true})
	agree := newAgreement()
	frames, at := uint64(0), int64(0)
	f.Fuzz(func(t *testing.T, link uint16, data []byte, wire uint32) {
		var seg, again tcp.Segment
		at += 1e6
		frames++
		r := used.Decode(link, data, wire, at, tcp.Ref(0, frames), &seg)
		s := used.Stats()
		if s.Segments+s.Quotes+s.NotTCP+s.Fragments+s.Undecodable != frames {
			t.Fatalf("%d frames, but %+v", frames, s)
		}
		var reasons uint64
		for _, reason := range s.Reasons {
			reasons += reason.Count
			if strings.Contains(reason.Name, "fail") {
				t.Fatal("a panic was caught")
			}
		}
		if reasons != s.Undecodable {
			t.Fatalf("the reasons' counts do not add up: %+v", s)
		}
		if bad := agree.check(link, data, wire); bad != "" {
			t.Fatal(bad)
		}
		if (r == decode.Segment || r == decode.Quote) && seg.Quality&tcp.Reassembled == 0 {
			fresh := decode.New(decode.Options{SeparateVLAN: true, SeparateTunnel: true})
			if r2 := fresh.Decode(link, data, wire, at, tcp.Ref(0, frames), &again); r2 != r || again != seg {
				t.Fatalf("%v %+v\nof a fresh decoder %v %+v", r, seg, r2, again)
			}
			sane(t, r, &seg)
		}
	})
}

// sane checks what holds for every segment.
func sane(t *testing.T, r decode.Result, seg *tcp.Segment) {
	t.Helper()
	if r == decode.Quote != (seg.Kind == tcp.KindICMP) || r == decode.Segment != (seg.Kind == tcp.KindTCP) {
		t.Fatalf("%v of kind %d", r, seg.Kind)
	}
	if seg.From != tcp.SideA && seg.From != tcp.SideB || seg.SACK != 0 && seg.Options&tcp.OptSACK == 0 || seg.WScale > 14 {
		t.Fatalf("%+v", seg)
	}
	if seg.Options != 0 && seg.Options&tcp.OptAny == 0 || seg.Flags > 511 {
		t.Fatalf("%+v", seg)
	}
}
