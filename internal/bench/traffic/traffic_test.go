package traffic_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/lastack/lastack/internal/bench/traffic"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// scale makes every capture small; bulk has at least one connection.
const scale = 0.004

func write(t *testing.T, c traffic.Config) ([]byte, traffic.Totals) {
	t.Helper()
	var b bytes.Buffer
	totals, err := c.Write(&b)
	if err != nil {
		t.Fatal(err)
	}
	if totals.Bytes != uint64(b.Len()) {
		t.Errorf("%d bytes reported, %d written", totals.Bytes, b.Len())
	}
	return b.Bytes(), totals
}

func named(t *testing.T, name string) traffic.Config {
	t.Helper()
	c, err := traffic.Named(name, scale)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheSeedAloneDecides(t *testing.T) {
	for _, name := range traffic.Names() {
		c := named(t, name)
		first, _ := write(t, c)
		again, _ := write(t, c)
		if sha256.Sum256(first) != sha256.Sum256(again) {
			t.Errorf("%s: the same seed gives two captures", name)
		}
		c.Seed++
		if other, _ := write(t, c); bytes.Equal(first, other) {
			t.Errorf("%s: two seeds give the same capture", name)
		}
	}
}

// frames calls visit with every frame of a capture.
func frames(t *testing.T, file []byte, visit func(f *capture.Frame)) {
	t.Helper()
	src, err := capture.Open("-", capture.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var f capture.Frame
	for {
		err := src.Next(&f)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		visit(&f)
	}
	if d := src.Info().Damage; d != nil {
		t.Fatal(d)
	}
}

// Every frame is a TCP segment in time order, as long as it claims, with a
// right checksum; and the connections end as the generator says.
func TestReadersAgreeWithTheTotals(t *testing.T) {
	for _, name := range traffic.Names() {
		t.Run(name, func(t *testing.T) {
			c := named(t, name)
			file, totals := write(t, c)
			var closes [reassembly.Closes]uint64
			table := reassembly.NewTable(reassembly.Options{MaxFlows: 1 << 20}, func(f *reassembly.Flow) {
				closes[f.Close]++
				if f.Incarnation > 1 {
					t.Fatalf("%v had the four-tuple of another connection", f.ID)
				}
			})
			dec := decode.New(decode.Options{})
			var seg tcp.Segment
			var last int64
			n := uint64(0)
			frames(t, file, func(f *capture.Frame) {
				n++
				if r := dec.Decode(f.LinkType, f.Data, f.WireLen, f.At, tcp.Ref(0, f.Number), &seg); r != decode.Segment {
					t.Fatalf("frame %d: %v", f.Number, r)
				}
				if seg.Quality&tcp.BadChecksum != 0 || f.At < last {
					t.Fatalf("frame %d: quality %v, %d ns before the one before", f.Number, seg.Quality, last-f.At)
				}
				if c.Snaplen > 0 && len(f.Data) > c.Snaplen {
					t.Fatalf("frame %d: %d octets kept", f.Number, len(f.Data))
				}
				last = f.At
				table.Step(&seg)
			})
			reassembly.Together(table).Finish(last)
			if n != totals.Packets {
				t.Errorf("%d frames, want %d", n, totals.Packets)
			}
			want := [reassembly.Closes]uint64{
				reassembly.CloseOrderly: totals.Fates[traffic.Orderly], reassembly.CloseHalf: totals.Fates[traffic.HalfClosed],
				reassembly.CloseReset: totals.Fates[traffic.Reset], reassembly.CloseRefused: totals.Fates[traffic.Refused],
				reassembly.CloseUnanswered: totals.Fates[traffic.Unanswered],
			}
			if closes != want {
				t.Errorf("flows closed %v, want %v", closes, want)
			}
		})
	}
}

// Checksums are only verified of whole segments with SYN, FIN or RST, so all
// others are added up here.
func TestEveryChecksumIsRight(t *testing.T) {
	file, _ := write(t, named(t, "mix"))
	frames(t, file, func(f *capture.Frame) {
		ip := f.Data[14:]
		if f.Data[12] == 0x81 {
			ip = f.Data[18:]
		}
		segment, addresses := ip[20:], ip[12:20]
		if ip[0]>>4 == 6 {
			segment, addresses = ip[40:], ip[8:40]
		} else if s := words(ip[:20]); s != 0xffff {
			t.Fatalf("frame %d: the IP header adds up to %#x", f.Number, s)
		}
		all := append(append([]byte{0, 6, byte(len(segment) >> 8), byte(len(segment))}, addresses...), segment...)
		if s := words(all); s != 0xffff {
			t.Fatalf("frame %d: the segment adds up to %#x", f.Number, s)
		}
	})
}

// words is the sum in ones' complement of words of two octets (RFC 1071).
func words(b []byte) uint32 {
	var s uint32
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
		s = s>>16 + s&0xffff
	}
	return s
}

// A snaplen and a format change what is kept, not what passed.
func TestFormatsHoldTheSameFrames(t *testing.T) {
	c := named(t, "headers")
	var kept []capture.Frame
	whole, _ := write(t, c)
	frames(t, whole, func(f *capture.Frame) {
		g := *f
		g.Data = bytes.Clone(f.Data)
		kept = append(kept, g)
	})
	c.Format = traffic.Pcapng
	other, _ := write(t, c)
	i := 0
	frames(t, other, func(f *capture.Frame) {
		g := &kept[i]
		i++
		if f.At/1000 != g.At/1000 || f.WireLen != g.WireLen || !bytes.Equal(f.Data, g.Data) {
			t.Fatalf("frame %d differs", f.Number)
		}
	})
	if i != len(kept) {
		t.Errorf("%d frames, want %d", i, len(kept))
	}
}

// The mix of the web shapes is what the measurements are described with.
func TestShares(t *testing.T) {
	c, err := traffic.Named("mix", 0.1)
	if err != nil {
		t.Fatal(err)
	}
	totals, err := c.Write(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for fate, percent := range map[traffic.Fate]float64{
		traffic.Unanswered: 1, traffic.Refused: 1, traffic.Reset: 2, traffic.HalfClosed: 5, traffic.Orderly: 91,
	} {
		have := 100 * float64(totals.Fates[fate]) / float64(totals.Connections)
		if have < 0.8*percent || have > 1.2*percent {
			t.Errorf("fate %d: %.2f %% of connections, want about %v", fate, have, percent)
		}
	}
	if mean := float64(totals.Packets) / float64(totals.Connections); mean < 12 || mean > 14 {
		t.Errorf("%.1f packets for each connection, want about 13", mean)
	}
}

func TestWriteTellsWhatIsWrong(t *testing.T) {
	if _, err := (traffic.Config{}).Write(io.Discard); err == nil {
		t.Error("an empty Config was written")
	}
	if _, err := traffic.Named("nothing", 1); err == nil {
		t.Error("there is a capture by the name nothing")
	}
	full := errors.New("disk full")
	if _, err := named(t, "mix").Write(failing{full}); !errors.Is(err, full) {
		t.Errorf("the error is %v, want that of the writer", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
