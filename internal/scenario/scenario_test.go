package scenario

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// segments parses a transcript and decodes its frames with the project's own
// decoder, which verifies checksums.
func segments(t *testing.T, text string) ([]tcp.Segment, []decode.Result, *Scenario) {
	t.Helper()
	s, err := Parse("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	dec := decode.New(decode.Options{})
	out := make([]tcp.Segment, len(s.Frames))
	kinds := make([]decode.Result, len(s.Frames))
	for i, f := range s.Frames {
		kinds[i] = dec.Decode(1, f.Data, uint32(f.Len), f.At, tcp.Ref(0, uint64(i+1)), &out[i])
	}
	return out, kinds, s
}

func TestPacketsAreWhatTheLinesSay(t *testing.T) {
	segs, kinds, s := segments(t, `
# A bit of everything.
# options: C=1000 S=4294967290
0.000      C > S       S    0:0(0)     mss=1200 wscale=3 ttl=57
0.010      S > C       S.   0:0(0)     ack 1
+0.000001  C > S       .    1:1(0)     ack 1 win=77 ipid=9
0.020      C > S       P.   1:101(100) ack 1 sack=3-9,20-30 nots
0.030      S:9 > C:8   R    5:5(0)
0.040      S > C       R.   1:1(0)     ack 101
0.050      C > S       FU.  101:101(0) ack 1 badsum dup
0.060      C2 > S      S    0:0(0)
0.070      S > C2      R.   0:0(0)     ack 1
0.080      R > C2      icmp 3/13
9          end
`)
	want := []struct {
		seq, ack tcp.Seq
		flags    tcp.Flags
		length   uint32
		end      string
	}{
		{1000, 0, tcp.SYN, 0, "192.0.2.1:40001"},
		{4294967290, 1001, tcp.SYN | tcp.ACK, 0, "198.51.100.1:8080"},
		{1001, 4294967291, tcp.ACK, 0, "192.0.2.1:40001"},
		{1001, 4294967291, tcp.PSH | tcp.ACK, 100, "192.0.2.1:40001"},
		{4294967295, 0, tcp.RST, 0, "198.51.100.1:9"},
		{4294967291, 1101, tcp.RST | tcp.ACK, 0, "198.51.100.1:8080"},
		{1101, 4294967291, tcp.FIN | tcp.URG | tcp.ACK, 0, "192.0.2.1:40001"},
		{1101, 4294967291, tcp.FIN | tcp.URG | tcp.ACK, 0, "192.0.2.1:40001"},
	}
	for i, w := range want {
		g := &segs[i]
		if kinds[i] != decode.Segment || g.Seq != w.seq || g.Ack != w.ack || g.Flags != w.flags || g.Len != w.length ||
			g.Tuple.End(g.From).String() != w.end {
			t.Errorf("frame %d is %v %+v from %v, want %+v", i+1, kinds[i], g, g.Tuple.End(g.From), w)
		}
		if bad := g.Quality&tcp.BadChecksum != 0; bad != (i >= 6) {
			t.Errorf("frame %d: bad checksum is %v", i+1, bad)
		}
	}
	const syn = tcp.OptMSS | tcp.OptWindowScale | tcp.OptSACKPermitted | tcp.OptTimestamps | tcp.OptAny
	if g := &segs[0]; g.MSS != 1200 || g.WScale != 3 || g.TTL != 57 || g.Window != 64240 || g.Options != syn {
		t.Errorf("the SYN's options or header fields are lost: %+v", g)
	}
	if g := &segs[2]; g.Window != 77 || g.IPID != 9 || g.At-segs[1].At != 1000 || g.TSEcr != segs[1].TSVal {
		t.Errorf("the third segment's window, ID, time or echo is lost: %+v", g)
	}
	blocks := []byte{0xff, 0xff, 0xff, 0xfd, 0, 0, 0, 3, 0, 0, 0, 14, 0, 0, 0, 24}
	if g := &segs[3]; g.Options&tcp.OptTimestamps != 0 || g.SACK != tcp.DigestSACK(blocks) {
		t.Errorf("SACK blocks or nots are lost: %+v", g)
	}
	if g := &segs[4]; g.Window != 0 || g.IPID != 0 || g.Options != 0 {
		t.Errorf("a passive RST has a live socket's header: %+v", g)
	}
	if g := &segs[5]; g.Window == 0 || g.IPID == 0 || g.Options&tcp.OptTimestamps == 0 {
		t.Errorf("an active RST has a bare header: %+v", g)
	}
	if !bytes.Equal(s.Frames[6].Data, s.Frames[7].Data) || segs[7].At-segs[6].At != 50_000 {
		t.Error("dup is no copy 0.05 ms later")
	}
	if g := &segs[9]; g.Seq != 0 || g.Ack != segs[8].Seq+1 || g.Window != 0 {
		t.Errorf("the refusal is %+v", g)
	}
	if g := &segs[10]; kinds[10] != decode.Quote || g.ICMPType != 3 || g.ICMPCode != 13 || g.Seq != segs[8].Seq {
		t.Errorf("the ICMP error is %v %+v", kinds[10], g)
	}
	if kinds[11] != decode.NotTCP || s.Frames[11].At != (Epoch+9)*1e9 {
		t.Errorf("the end is %v at %d", kinds[11], s.Frames[11].At)
	}
	if !s.Frames[2].PureACK || s.Frames[3].PureACK || s.Frames[1].PureACK {
		t.Error("bare ACKs are not told from the rest")
	}
}

func TestIncarnations(t *testing.T) {
	segs, _, _ := segments(t, `
0.0  C > S  S   0:0(0)
0.1  S > C  S.  0:0(0)    ack 1
0.2  C > S  F.  1:1(0)    ack 1
5.0  C > S  S   0:0(0)    isn=+65537
5.1  S > C  .   1:1(0)    ack 2 oldack
5.2  C > S  R   2:2(0)    oldseq
5.3  S > C  S.  0:0(0)    ack 1 isn=77
5.4  C > S  .   1:1(0)    ack 1
5.5  S > C  .   1:1(0)    ack 1 old
`)
	isn := segs[0].Seq
	for i, w := range map[int][2]tcp.Seq{
		3: {isn + 2 + 65537, 0}, 4: {segs[1].Seq + 1, isn + 2}, 5: {isn + 2, 0},
		6: {77, isn + 2 + 65538}, 7: {isn + 2 + 65538, 78}, 8: {segs[1].Seq + 1, isn + 1},
	} {
		if segs[i].Seq != w[0] || segs[i].Ack != w[1] {
			t.Errorf("frame %d has seq %d ack %d, want %d %d", i+1, segs[i].Seq, segs[i].Ack, w[0], w[1])
		}
	}
}

func TestV6AndSnaplen(t *testing.T) {
	segs, kinds, s := segments(t, `
# options: v6 nots nosack nowscale snap=140
0.0  C > S  S    0:0(0)
0.1  C > S  P.   1:501(500)   ack 1
0.2  C > S  FP.  501:1001(500) ack 1 tso
0.3  R > C  icmp 1/4
`)
	if g := &segs[0]; g.Tuple.Is4() || g.Options != tcp.OptMSS|tcp.OptAny || g.Quality != 0 {
		t.Errorf("the SYN is %+v", g)
	}
	if g := &segs[1]; g.Len != 500 || g.Quality&tcp.Snapped == 0 || len(s.Frames[1].Data) != 140 {
		t.Errorf("the cut segment is %+v", g)
	}
	if g := &segs[2]; g.Len != 500 {
		t.Errorf("the length comes from the frame where the IP header has none: %d", g.Len)
	}
	if kinds[3] != decode.Quote {
		t.Errorf("the ICMPv6 error is %v", kinds[3])
	}
}

func TestClockSteps(t *testing.T) {
	segs, _, _ := segments(t, `
5.0  C > S  .  1:1(0)  ack 1
4.0  C > S  .  1:1(0)  ack 1
6.0  C > S  .  1:1(0)  ack 1
`)
	if segs[1].At >= segs[0].At || segs[1].TSVal != segs[0].TSVal || segs[2].TSVal-segs[1].TSVal != 2000 {
		t.Error("the capture's clock steps back, the hosts' do not")
	}
}

// Another reader takes the capture as it was meant.
func TestPcapIsReadable(t *testing.T) {
	_, _, s := segments(t, "0.000000001  C > S  S  0:0(0)\n1  end\n")
	r, err := pcapgo.NewReader(bytes.NewReader(s.Pcap()))
	if err != nil {
		t.Fatal(err)
	}
	data, info, err := r.ReadPacketData()
	if err != nil || !bytes.Equal(data, s.Frames[0].Data) || info.Timestamp.UnixNano() != Epoch*1e9+1 {
		t.Errorf("first packet: %v, %v", info, err)
	}
	if _, _, err = r.ReadPacketData(); err != nil {
		t.Error(err)
	}
	if _, _, err = r.ReadPacketData(); err != io.EOF {
		t.Errorf("after the last packet: %v", err)
	}
}

func TestExpectations(t *testing.T) {
	s, err := Parse("test", strings.NewReader(`# What it is about: this.
# expect: some-rule who=path evidence=4,5 count=2 states=A/B censored=true flow=3
# expect-not: a b
# not-certain: c
# flow: close=orderly quality=snapped
# flows: 2
# transitions server: flow=3 A>B
`))
	if err != nil {
		t.Fatal(err)
	}
	f := s.Findings[0]
	if f.Rule != "some-rule" || f.Who != "path" || len(f.Evidence) != 2 || f.Count != 2 || f.Censored != "true" ||
		f.Flow.Client != "A" || f.Flow.Server != "B" || f.Flow.First != 3 || f.Line != 2 {
		t.Errorf("finding %+v", f)
	}
	if len(s.Not) != 2 || len(s.NotCertain) != 1 || s.FlowCount != 2 || s.Flows[0].Close != "orderly" ||
		!s.Steps[0].Server || s.Steps[0].First != 3 || len(s.Steps[0].States) != 2 || s.None || s.Quiet {
		t.Errorf("expectations %+v", s.Expect)
	}
	if s.About != "What it is about: this." {
		t.Errorf("about %q", s.About)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"x C > S S 0:0(0)":                     "not a time",
		"-1 C > S S 0:0(0)":                    "not a time",
		"0.0000000001 C > S S 0:0(0)":          "not a time",
		"0 C S":                                "want TIME SRC > DST",
		"0 D > S S 0:0(0)":                     "no host",
		"0 C0 > S S 0:0(0)":                    "no host",
		"0 C > S:x S 0:0(0)":                   "port",
		"0 C > S Q 0:0(0)":                     "unknown flag",
		"0 C > S S 0:5(4)":                     "the end is not",
		"0 C > S S 0:0(0) colour=red":          "unknown word",
		"0 C > S . 1:1(0)":                     "needs \"ack N\"",
		"0 C > S . 1:1(0) ack one":             "not a number",
		"0 C > S S 0:0(0) isn=x":               "isn",
		"0 C > S S 0:0(0) ts=5":                "ts=VALUE,ECHO",
		"0 C > S . 1:1(0) ack 1 sack=5":        "sack=",
		"0 C > S S 0:0(0) dup=x":               "dup=",
		"0 R > C icmp":                         "icmp without",
		"0 R > C icmp x":                       "icmp TYPE/CODE",
		"0 R > C icmp 3/1":                     "no frame to quote",
		"# options: nonsense":                  "unknown option",
		"# options: snap=big":                  "not a number",
		"# expect:":                            "expect what",
		"# expect: rule colour=red":            "unknown key",
		"# expect: rule states=A":              "CLIENT/SERVER",
		"# expect: rule evidence=one":          "list of frames",
		"# flow: close":                        "key=value",
		"# flows: many":                        "invalid syntax",
		"# transitions client: A>B C>D E":      "STATE>STATE",
		"# transitions client: frame=3 A>B":    "flow=FRAME",
		"0 C > S S 0:0(0)\n0 C > S S 1:0(999)": "test:2:",
	} {
		_, err := Parse("test", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "test:") {
			t.Errorf("%q: error %v, want %q with the line", text, err, want)
		}
	}
}

func TestParseAll(t *testing.T) {
	all, err := ParseAll(os.DirFS("../../testdata/scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		if i > 0 && s.Name <= all[i-1].Name {
			t.Errorf("%s is out of order", s.Name)
		}
		if len(s.Frames) == 0 {
			t.Errorf("%s has no packets", s.Name)
		}
	}
}

// Parse takes any text without falling over.
func FuzzParse(f *testing.F) {
	all, err := ParseAll(os.DirFS("../../testdata/scenarios"))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range all[:10] {
		text, err := os.ReadFile("../../testdata/scenarios/" + s.Name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse("fuzz", strings.NewReader(text)); err == nil {
			s.Pcap()
		}
	})
}
