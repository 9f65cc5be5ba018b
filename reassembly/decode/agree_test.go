package decode_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// reference decodes a frame with gopacket's layers alone. It knows Ethernet,
// VLAN, cooked, loopback and raw links, IP and TCP; whole says that gopacket
// accepted all headers, options included. It says nothing about lengths that
// the captured octets do not show.
type reference struct {
	eth  layers.Ethernet
	tag  layers.Dot1Q
	sll  layers.LinuxSLL
	loop layers.Loopback
	ip4  layers.IPv4
	ip6  layers.IPv6
	tcp  layers.TCP
}

func (r *reference) decode(link uint16, data []byte) (seg tcp.Segment, found, whole bool) {
	next, rest := layers.EthernetType(0), data
	df := gopacket.NilDecodeFeedback
	switch link {
	case 1:
		if r.eth.DecodeFromBytes(rest, df) != nil {
			return
		}
		next, rest = r.eth.EthernetType, r.eth.Payload
		for next == layers.EthernetTypeDot1Q || next == layers.EthernetTypeQinQ {
			if r.tag.DecodeFromBytes(rest, df) != nil {
				return
			}
			next, rest = r.tag.Type, r.tag.Payload
		}
	case 113:
		if len(rest) < 16 || rest[4] != 0 || rest[5] > 8 || r.sll.DecodeFromBytes(rest, df) != nil || r.sll.AddrType > 768 {
			return
		}
		next, rest = r.sll.EthernetType, r.sll.Payload
	case 0:
		if r.loop.DecodeFromBytes(rest, df) != nil || r.loop.Family != layers.ProtocolFamilyIPv4 {
			return
		}
		next, rest = layers.EthernetTypeIPv4, r.loop.Payload
	case 101:
		if len(rest) == 0 {
			return
		}
		next = map[byte]layers.EthernetType{4: layers.EthernetTypeIPv4, 6: layers.EthernetTypeIPv6}[rest[0]>>4]
	default:
		return
	}
	var payload, src, dst []byte
	var protocol layers.IPProtocol
	switch next {
	case layers.EthernetTypeIPv4:
		if r.ip4.DecodeFromBytes(rest, df) != nil || r.ip4.Version != 4 || r.ip4.Flags&layers.IPv4MoreFragments != 0 || r.ip4.FragOffset != 0 {
			return
		}
		for _, o := range r.ip4.Options {
			if o.OptionType == 131 || o.OptionType == 137 {
				return // source routes: not gopacket's
			}
		}
		payload, src, dst, protocol = r.ip4.Payload, r.ip4.SrcIP.To16(), r.ip4.DstIP.To16(), r.ip4.Protocol
		seg.IPID, seg.TTL = r.ip4.Id, r.ip4.TTL
	case layers.EthernetTypeIPv6:
		if r.ip6.DecodeFromBytes(rest, df) != nil || r.ip6.Version != 6 || r.ip6.HopByHop != nil {
			return
		}
		payload, src, dst, protocol = r.ip6.Payload, r.ip6.SrcIP, r.ip6.DstIP, r.ip6.NextHeader
		seg.TTL = r.ip6.HopLimit
	default:
		return
	}
	if protocol != layers.IPProtocolTCP || len(payload) < 20 {
		return
	}
	err := r.tcp.DecodeFromBytes(payload, df)
	if r.tcp.DataOffset < 5 {
		return
	}
	r.fill(&seg, src, dst)
	return seg, true, err == nil
}

// fill copies the TCP layer.
func (r *reference) fill(seg *tcp.Segment, src, dst []byte) {
	t := &r.tcp
	s, d := [16]byte(src), [16]byte(dst)
	seg.Tuple, seg.From = tcp.MakeTuple(&s, &d, uint16(t.SrcPort), uint16(t.DstPort))
	seg.Seq, seg.Ack, seg.Window = tcp.Seq(t.Seq), tcp.Seq(t.Ack), t.Window
	for i, set := range []bool{t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG, t.ECE, t.CWR, t.NS} {
		if set {
			seg.Flags |= 1 << i
		}
	}
	for _, o := range t.Options {
		v := o.OptionData
		switch {
		case o.OptionType == layers.TCPOptionKindMSS && len(v) == 2:
			seg.Options |= tcp.OptMSS
			seg.MSS = uint16(v[0])<<8 | uint16(v[1])
		case o.OptionType == layers.TCPOptionKindWindowScale && len(v) == 1:
			seg.Options |= tcp.OptWindowScale
			seg.WScale = min(v[0], 14)
		case o.OptionType == layers.TCPOptionKindSACKPermitted && len(v) == 0:
			seg.Options |= tcp.OptSACKPermitted
		case o.OptionType == layers.TCPOptionKindTimestamps && len(v) == 8:
			seg.Options |= tcp.OptTimestamps
			seg.TSVal, seg.TSEcr = u32At(v, 0), u32At(v, 4)
		case o.OptionType == layers.TCPOptionKindSACK && len(v)%8 == 0 && len(v) <= 32:
			seg.Options |= tcp.OptSACK
			seg.SACK = tcp.DigestSACK(v)
		}
	}
}

func u32At(b []byte, at int) uint32 {
	return uint32(b[at])<<24 | uint32(b[at+1])<<16 | uint32(b[at+2])<<8 | uint32(b[at+3])
}

// agreement holds the fast path, the slow path and gopacket against each
// other, and counts what it could compare.
type agreement struct {
	ref         reference
	quick, slow *decode.Decoder

	// Frames that took the fast path, that gopacket decoded, and those of the
	// latter with options that it accepted.
	fast, gopacket, whole int
}

func newAgreement() *agreement {
	return &agreement{quick: decode.New(decode.Options{}), slow: decode.New(decode.Options{})}
}

const opts = tcp.OptMSS | tcp.OptWindowScale | tcp.OptSACKPermitted | tcp.OptTimestamps | tcp.OptSACK

// check returns what disagrees, in words; empty if nothing does.
func (a *agreement) check(link uint16, data []byte, wire uint32) string {
	var quick, slow tcp.Segment
	fast := a.quick.Fast(link, data, wire, 3, 4, &quick)
	r := a.slow.Slow(link, data, wire, 3, 4, &slow)
	if fast {
		a.fast++
		if r != decode.Segment || quick != slow {
			return "the fast path does not agree with the slow one"
		}
	}
	want, found, whole := a.ref.decode(link, data)
	if !found {
		return ""
	}
	a.gopacket++
	if r != decode.Segment {
		return "gopacket has a segment, the slow path " + r.String()
	}
	got := slow
	if got.Tuple != want.Tuple || got.From != want.From || got.Seq != want.Seq || got.Ack != want.Ack ||
		got.Flags != want.Flags || got.Window != want.Window || got.TTL != want.TTL || got.IPID != want.IPID {
		return "the slow path does not agree with gopacket"
	}
	if got.Quality&tcp.Snapped == 0 && int(got.Len) != len(a.ref.tcp.Payload) {
		return "the lengths do not agree"
	}
	if !whole {
		return ""
	}
	a.whole++
	if got.Options&opts != want.Options || got.MSS != want.MSS || got.WScale != want.WScale ||
		got.TSVal != want.TSVal || got.TSEcr != want.TSEcr || got.SACK != want.SACK {
		return "the options do not agree"
	}
	return ""
}

// TestAgreeOnCorpus compares all three on every frame of the real captures, on
// shortened copies and on copies with damaged octets.
func TestAgreeOnCorpus(t *testing.T) {
	dir := corpus(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	a, damaged := newAgreement(), newAgreement()
	random := rand.New(rand.NewPCG(3, 4))
	for _, name := range files {
		if ext := filepath.Ext(name); ext == ".md" || ext == ".jsonl" {
			continue
		}
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
		frames(t, name, func(f *capture.Frame) {
			if bad := a.check(f.LinkType, f.Data, f.WireLen); bad != "" {
				t.Errorf("%s, frame %d: %s", filepath.Base(name), f.Number, bad)
			}
			for range 3 {
				b := mutate(random, f.Data)
				if bad := damaged.check(f.LinkType, b, f.WireLen); bad != "" {
					t.Errorf("%s, frame %d damaged: %s: link %d, %x", filepath.Base(name), f.Number, bad, f.LinkType, b)
				}
			}
		})
	}
	for _, a := range []*agreement{a, damaged} {
		if a.fast < 20000 || a.gopacket < 20000 || a.whole < 20000 {
			t.Errorf("compared too little: %d on the fast path, %d with gopacket, %d with options", a.fast, a.gopacket, a.whole)
		}
	}
}

// mutate changes an octet of the headers, or cuts the frame, or neither.
func mutate(random *rand.Rand, data []byte) []byte {
	b := bytes.Clone(data)
	if len(b) == 0 {
		return b
	}
	switch random.IntN(4) {
	case 0:
		return b[:random.IntN(len(b))]
	default:
		b[random.IntN(min(len(b), 90))] = byte(random.Uint32())
	}
	return b
}

// TestAgreeOnGenerated compares all three on generated packets.
func TestAgreeOnGenerated(t *testing.T) {
	a := newAgreement()
	rapid.Check(t, func(t *rapid.T) {
		spec := segmentSpec{
			Seq: rapid.Uint32().Draw(t, "seq"), Ack: rapid.Uint32().Draw(t, "ack"),
			Flags:   tcp.Flags(rapid.IntRange(0, 511).Draw(t, "flags")),
			Window:  rapid.Uint16().Draw(t, "window"),
			Payload: rapid.IntRange(0, 100).Draw(t, "payload"),
			Src:     client4, Dst: server4,
		}
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			spec.Options = append(spec.Options, rapid.SampledFrom([][]byte{
				timestamps, {2, 4, 5, 180}, {1, 3, 3, 9}, {4, 2, 1, 1}, {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, {0, 0, 0, 0}, {2, 3, 1, 1}, {8, 1, 1, 1}, {3, 9, 9, 9},
			}).Draw(t, "option")...)
		}
		v6 := rapid.Bool().Draw(t, "ipv6")
		etherType, packet := uint16(0x0800), ipv4(6, spec.bytes())
		if v6 {
			spec.Src, spec.Dst = client6, server6
			etherType, packet = 0x86dd, ipv6(6, spec.bytes())
		}
		link := rapid.SampledFrom([]uint16{1, 113, 0, 101}).Draw(t, "link")
		data := packet
		switch link {
		case 1:
			for range rapid.IntRange(0, 3).Draw(t, "tags") {
				data = concat(u16(rapid.Uint16().Draw(t, "tag")), u16(etherType), data)
				etherType = rapid.SampledFrom([]uint16{0x8100, 0x88a8}).Draw(t, "tag type")
			}
			data = concat(ether(etherType, data), make([]byte, rapid.IntRange(0, 9).Draw(t, "padding")))
		case 113:
			data = concat(u16(0), u16(1), u16(6), make([]byte, 8), u16(etherType), data)
		case 0:
			data = concat(le32(2), data)
		}
		wire := uint32(len(data))
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "octet")
		}
		if rapid.Bool().Draw(t, "cut") {
			data = data[:rapid.IntRange(0, len(data)).Draw(t, "length")]
		}
		if bad := a.check(link, data, wire); bad != "" {
			t.Fatalf("%s: link %d, %x", bad, link, data)
		}
	})
	if a.fast == 0 || a.whole == 0 {
		t.Errorf("compared nothing: %+v", a)
	}
}

// TestCommonFramesAreFast: what most captures hold must not fall off the fast
// path.
func TestCommonFramesAreFast(t *testing.T) {
	common := map[string]bool{
		"ethernet": true, "ethernet ipv6": true, "ethernet, padded": true, "null, little-endian": true, "null, big-endian": true,
		"loop": true, "raw": true, "raw ipv6": true, "raw as 12": true, "raw as 14": true, "ipv4": true, "ipv6": true,
		"sll": true, "sll ipv6": true, "sll2": true, "sll2 ipv6": true, "VLAN": true, "VLAN ipv6": true, "802.1ad": true,
	}
	n := 0
	for _, w := range allWrappings() {
		var seg tcp.Segment
		if fast := decode.New(decode.Options{}).Fast(w.link, w.data, uint32(len(w.data)), 0, 0, &seg); fast != common[w.name] {
			t.Errorf("%s: fast %v", w.name, fast)
		} else if fast {
			n++
		}
	}
	if n != len(common) {
		t.Errorf("only %d of %d common frames are there", n, len(common))
	}
}

// TestNoAllocations: decoding allocates nothing, on either path.
func TestNoAllocations(t *testing.T) {
	d := decode.New(decode.Options{SeparateVLAN: true, SeparateTunnel: true})
	var seg tcp.Segment
	for _, w := range allWrappings() {
		if n := testing.AllocsPerRun(10, func() { d.Decode(w.link, w.data, uint32(len(w.data)), 0, 0, &seg) }); n != 0 {
			t.Errorf("%s: %v allocations", w.name, n)
		}
	}
	pieces := cutUp(7, 6, spec4.bytes(), 16)
	if n := testing.AllocsPerRun(10, func() {
		for _, p := range pieces {
			d.Decode(101, p, uint32(len(p)), 0, 0, &seg)
		}
	}); n != 0 {
		t.Errorf("fragments: %v allocations", n)
	}
}
