package decode_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

const second = int64(1e9)

// cutUp makes IPv4 fragments of an IP payload, with size octets in each.
func cutUp(id uint16, protocol byte, payload []byte, size int) [][]byte {
	var out [][]byte
	for at := 0; at < len(payload); at += size {
		end, bits := at+size, uint16(0x2000)
		if end >= len(payload) {
			end, bits = len(payload), 0
		}
		out = append(out, ipv4Full(client4, server4, protocol, id, bits|uint16(at/8), nil, payload[at:end]))
	}
	return out
}

// cutUp6 does the same for IPv6.
func cutUp6(id uint32, next byte, payload []byte, size int) [][]byte {
	var out [][]byte
	for at := 0; at < len(payload); at += size {
		end, more := at+size, uint16(1)
		if end >= len(payload) {
			end, more = len(payload), 0
		}
		out = append(out, ipv6(44, concat([]byte{next, 0}, u16(uint16(at)|more), u32(id), payload[at:end])))
	}
	return out
}

// run decodes raw IP packets, a millisecond and a frame apart, and returns the
// results, with the last segment.
func run(d *decode.Decoder, packets ...[]byte) ([]decode.Result, tcp.Segment) {
	var results []decode.Result
	var seg, last tcp.Segment
	for i, p := range packets {
		r := d.Decode(101, p, uint32(len(p)), int64(i)*1e6, tcp.Ref(0, uint64(i+1)), &seg)
		results = append(results, r)
		if r == decode.Segment {
			last = seg
		}
	}
	return results, last
}

// TestReassembly: a segment in fragments stands in the frame that completes
// it, whatever their order.
func TestReassembly(t *testing.T) {
	spec := segmentSpec{Seq: 5, Ack: 6, Flags: tcp.FIN | tcp.ACK, Window: 7, Options: timestamps, Payload: 5000, Src: client4, Dst: server4}
	spec6 := spec
	spec6.Src, spec6.Dst = client6, server6
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{8, 16, 24, 504, 512, 1400, 4096} {
		for _, v6 := range []bool{false, true} {
			want := expected(spec, tcp.Reassembled)
			pieces := cutUp(0x1234, 6, spec.bytes(), size)
			if v6 {
				pieces = cutUp6(99, 6, spec6.bytes(), size)
				want = expected(spec6, tcp.Reassembled)
			}
			want.Options, want.TSVal, want.TSEcr = tcp.OptAny|tcp.OptTimestamps, 1000, 900
			want.At, want.Ref = int64(len(pieces)-1)*1e6, tcp.Ref(0, uint64(len(pieces)))
			orders := map[string]func(){
				"in order":  func() {},
				"backwards": func() { reverse(pieces) },
				"shuffled":  func() { random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] }) },
			}
			for _, order := range []string{"in order", "backwards", "shuffled"} {
				if order == "shuffled" && len(pieces) > 30 {
					continue // too many separate pieces
				}
				orders[order]()
				d := decode.New(decode.Options{})
				results, got := run(d, pieces...)
				for i, r := range results {
					if last := i == len(pieces)-1; last != (r == decode.Segment) || !last && r != decode.Fragment {
						t.Errorf("size %d, %s: frame %d of %d: %v", size, order, i+1, len(pieces), r)
					}
				}
				if s := d.Stats(); got != want || s.Reassembled != 1 || s.Incomplete != nil || s.Checksums != 0 {
					t.Errorf("size %d, %s: %+v\nwant %+v\n%+v", size, order, got, want, s)
				}
			}
		}
	}
}

func reverse(b [][]byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// TestReassemblyOfTunnels: fragments of the outer packet, of the inner one,
// and of both.
func TestReassemblyOfTunnels(t *testing.T) {
	spec := spec4
	spec.Payload = 1460
	vxlan := func(inner []byte) []byte {
		return udp(9, 4789, concat(u32(0x0800_0000), u32(5<<8), ether(0x0800, inner)))
	}
	check := func(name string, want tcp.Quality, packets ...[]byte) {
		t.Helper()
		d := decode.New(decode.Options{})
		results, got := run(d, packets...)
		if results[len(results)-1] != decode.Segment || got.Len != 1460 || got.Quality != want || got.Seq != 100 || got.TSVal != 1000 {
			t.Errorf("%s: %v %+v, %+v", name, results, got, d.Stats())
		}
	}
	both := tcp.Reassembled | tcp.Tunnelled
	check("outer", both, cutUp(7, 17, vxlan(ipv4(6, spec.bytes())), 1480)...)
	var inner, nested [][]byte
	for i, p := range cutUp(8, 6, spec.bytes(), 1000) {
		inner = append(inner, outer(17, vxlan(p)))
		nested = append(nested, cutUp(uint16(20+i), 17, vxlan(p), 496)...)
	}
	check("inner", both, inner...)
	check("both", both, nested...)
	check("ipv4 in ipv6", both, cutUp6(5, 4, ipv4(6, spec.bytes()), 800)...)
	tiny := cutUp(7, 17, vxlan(ipv4(6, spec.bytes())), 8)
	check("in eights", both, tiny...)
}

// TestSnappedFragments: a snaplen cuts every fragment; the lengths are right
// all the same, and the header is known if the first one holds it.
func TestSnappedFragments(t *testing.T) {
	spec := spec4
	spec.Payload = 3000
	pieces := cutUp(7, 6, spec.bytes(), 1480)
	d := decode.New(decode.Options{})
	var seg tcp.Segment
	var r decode.Result
	for _, p := range pieces {
		r = d.Decode(101, p[:64:64], uint32(len(p)), 0, 1, &seg)
	}
	if r != decode.Segment || seg.Len != 3000 || seg.Quality != tcp.Reassembled|tcp.Snapped || seg.TSVal != 1000 {
		t.Errorf("%v %+v", r, seg)
	}
	for i, p := range pieces { // only the first is cut
		keep := len(p)
		if i == 0 {
			keep = 64
		}
		r = d.Decode(101, p[:keep], uint32(len(p)), 0, 1, &seg)
	}
	if r != decode.Segment || seg.Len != 3000 || seg.Quality != tcp.Reassembled|tcp.Snapped {
		t.Errorf("the first cut: %v %+v", r, seg)
	}
	for _, p := range pieces {
		r = d.Decode(101, p[:28:28], uint32(len(p)), 0, 2, &seg)
	}
	if s := d.Stats(); r != decode.Undecodable || s.Reasons[0].Name != "TCP header cut by the snaplen" {
		t.Errorf("%v %+v", r, s)
	}
}

// TestIncomplete: fragments whose datagram is never completed are counted,
// with the reason and the first of them.
func TestIncomplete(t *testing.T) {
	segment := spec4.bytes() // 42 octets
	pieces := cutUp(7, 6, segment, 16)
	other := cutUp(8, 6, segment, 16)
	changed := cutUp(7, 6, segment, 16)
	changed[1] = append([]byte(nil), changed[1]...)
	changed[1][25]++
	shifted := ipv4Full(client4, server4, 6, 7, 0x2000|1, nil, segment[8:24])
	longer := ipv4Full(client4, server4, 6, 7, 0x2000|3, nil, segment[16:40])
	shorter := ipv4Full(client4, server4, 6, 7, 1, nil, segment[8:16])
	farther := ipv4Full(client4, server4, 6, 7, 6, nil, segment[:10])
	beyond := ipv4Full(client4, server4, 6, 7, 0x2000|10, nil, segment[:8])

	udpPieces := cutUp(7, 17, udp(1, 2, make([]byte, 34)), 16)

	const (
		waiting  = "other fragments of the datagram have not come"
		expired  = "other fragments of the datagram did not come in time"
		overlap  = "fragments of one datagram contradict each other"
		separate = "datagram in too many separate pieces"
	)
	var alternate [][]byte
	for at := 0; at < 33*16; at += 16 {
		alternate = append(alternate, ipv4Full(client4, server4, 6, 7, 0x2000|uint16(at/8), nil, make([]byte, 8)))
	}
	for _, c := range []struct {
		name    string
		packets [][]byte
		want    []decode.Reason
		done    int // datagrams completed
	}{
		{"one missing", [][]byte{pieces[0], pieces[2]}, []decode.Reason{{Name: waiting, Count: 2, First: 1}}, 0},
		{"another datagram", [][]byte{pieces[0], other[1], pieces[2]}, []decode.Reason{{Name: waiting, Count: 3, First: 1}}, 0},
		{"repeated", [][]byte{pieces[0], pieces[0], pieces[1], pieces[0], pieces[1], pieces[2]}, nil, 1},
		{"captured twice", [][]byte{pieces[0], pieces[0], pieces[1], pieces[1], pieces[2], pieces[2]}, []decode.Reason{{Name: waiting, Count: 1, First: 6}}, 1},
		{"repeated otherwise", [][]byte{pieces[0], pieces[1], changed[1], pieces[2]}, []decode.Reason{{Name: overlap, Count: 4, First: 1}}, 0},
		{"overlapping before", [][]byte{pieces[1], shifted, pieces[0], pieces[2]}, []decode.Reason{{Name: overlap, Count: 4, First: 1}}, 0},
		{"overlapping behind", [][]byte{pieces[1], longer, pieces[0], pieces[2]}, []decode.Reason{{Name: overlap, Count: 4, First: 1}}, 0},
		{"two ends", [][]byte{pieces[2], farther, pieces[0], pieces[1]}, []decode.Reason{{Name: overlap, Count: 4, First: 1}}, 0},
		{"beyond the end", [][]byte{pieces[2], pieces[0], beyond}, []decode.Reason{{Name: overlap, Count: 3, First: 1}}, 0},
		{"end before what is there", [][]byte{pieces[1], shorter}, []decode.Reason{{Name: overlap, Count: 2, First: 1}}, 0},
		{"two protocols", [][]byte{pieces[0], udpPieces[0], udpPieces[1], pieces[1], udpPieces[2], pieces[2]}, nil, 1},
		{"too many pieces", append(alternate, pieces[0]), []decode.Reason{{Name: separate, Count: 34, First: 1}}, 0},
	} {
		d := decode.New(decode.Options{})
		run(d, c.packets...)
		s := d.Stats()
		if fmt.Sprint(s.Incomplete) != fmt.Sprint(c.want) || int(s.Segments) != c.done ||
			s.Reassembled != s.Segments+s.NotTCP || int(s.Fragments+s.Reassembled) != len(c.packets) {
			t.Errorf("%s: %+v, want %v", c.name, s, c.want)
		}
	}

	// Time: a datagram waits for 30 s, and a step back by as much ends it too.
	for _, step := range []int64{31 * second, -31 * second} {
		d := decode.New(decode.Options{})
		var seg tcp.Segment
		d.Decode(101, pieces[0], uint32(len(pieces[0])), 100*second, 1, &seg)
		d.Decode(101, pieces[1], uint32(len(pieces[1])), 100*second, 2, &seg)
		if r := d.Decode(101, pieces[2], uint32(len(pieces[2])), 100*second+step, 3, &seg); r != decode.Fragment {
			t.Errorf("after %d ns: %v", step, r)
		}
		want := []decode.Reason{{Name: expired, Count: 2, First: 1}, {Name: waiting, Count: 1, First: 3}}
		if s := d.Stats(); fmt.Sprint(s.Incomplete) != fmt.Sprint(want) {
			t.Errorf("after %d ns: %v", step, s.Incomplete)
		}
	}
	// IPv6 waits for 60 s.
	six := cutUp6(7, 6, spec6.bytes(), 16)
	for age, want := range map[int64]decode.Result{59 * second: decode.Segment, 61 * second: decode.Fragment} {
		d := decode.New(decode.Options{})
		var seg tcp.Segment
		d.Decode(101, six[0], uint32(len(six[0])), 0, 1, &seg)
		d.Decode(101, six[1], uint32(len(six[1])), 0, 2, &seg)
		if r := d.Decode(101, six[2], uint32(len(six[2])), age, 3, &seg); r != want {
			t.Errorf("ipv6 after %d s: %v", age/second, r)
		}
	}
}

// TestFragmentBound: a flood of first fragments costs bounded memory, evicts
// the oldest, and every fragment is counted.
func TestFragmentBound(t *testing.T) {
	d := decode.New(decode.Options{})
	segment := spec4.bytes()
	const flood = 5000
	var seg tcp.Segment
	for i := range flood {
		src := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		p := ipv4Full(src, server4, 6, 1, 0x2000, nil, segment[:16])
		if r := d.Decode(101, p, uint32(len(p)), 0, tcp.Ref(0, uint64(i+1)), &seg); r != decode.Fragment {
			t.Fatal(r)
		}
	}
	const held = 1024
	want := []decode.Reason{
		{Name: "too many incomplete datagrams at once", Count: flood - held, First: 1},
		{Name: "other fragments of the datagram have not come", Count: held, First: tcp.Ref(0, flood-held+1)},
	}
	if s := d.Stats(); fmt.Sprint(s.Incomplete) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", s.Incomplete, want)
	}
	// The newest is still there, the oldest is not.
	last := netip.AddrFrom4([4]byte{10, 0, byte((flood - 1) >> 8), byte((flood - 1) & 255)})
	p := ipv4Full(last, server4, 6, 1, 2, nil, segment[16:])
	if r := d.Decode(101, p, uint32(len(p)), 0, 9, &seg); r != decode.Segment || seg.Len != 10 {
		t.Errorf("the newest: %v", r)
	}
}

// TestFragmentsApart: with --separate, equal datagrams of two VLANs are two.
func TestFragmentsApart(t *testing.T) {
	pieces := cutUp(7, 6, spec4.bytes(), 24)
	tagged := func(id uint16, p []byte) []byte { return ether(0x8100, concat(u16(id), u16(0x0800), p)) }
	for apart, want := range map[bool]decode.Result{true: decode.Fragment, false: decode.Segment} {
		d := decode.New(decode.Options{SeparateVLAN: apart})
		decodeOne(t, d, 1, tagged(1, pieces[0]))
		if r, _ := decodeOne(t, d, 1, tagged(2, pieces[1])); r != want {
			t.Errorf("separate %v: %v", apart, r)
		}
	}
}
