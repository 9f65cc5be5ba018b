package reassembly_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// corpus is the folder of real captures, or the test is skipped.
func corpus(t testing.TB) string {
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Skip("LASTACK_CORPUS is not set: no real captures to read")
	}
	return dir
}

// readFlows runs one capture through reader, decoder and table.
func readFlows(t testing.TB, name string) []*reassembly.Flow {
	src, err := capture.Open(name, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var flows []*reassembly.Flow
	table := reassembly.NewTable(reassembly.Options{MaxFlows: 1 << 20, Compat: true}, func(f *reassembly.Flow) {
		flows = append(flows, f.Clone())
	})
	dec := decode.New(decode.Options{})
	var frame capture.Frame
	var seg tcp.Segment
	var end int64
	for {
		if err := src.Next(&frame); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		end = max(end, frame.At)
		switch dec.Decode(frame.LinkType, frame.Data, frame.WireLen, frame.At, tcp.Ref(0, frame.Number), &seg) {
		case decode.Segment, decode.Quote:
			table.Step(&seg)
		}
		reassembly.Together(table).Sweep(end)
	}
	reassembly.Together(table).Finish(end)
	return flows
}

// stream is one line of tshark's account, reduced to what is compared.
type stream struct {
	File         string `json:"file"`
	Stream       int    `json:"stream"`
	A            netip.Addr
	AP           uint16
	B            netip.Addr
	BP           uint16
	Pkts         [2]uint64 `json:"pkts"`
	SYN          [2]uint64 `json:"syn"`
	SYNACK       [2]uint64 `json:"synack"`
	FIN          [2]uint64 `json:"fin"`
	RST          [2]uint64 `json:"rst"`
	Completeness uint8     `json:"completeness"`
	FirstFrame   uint64    `json:"first_frame"`
}

func readOracle(t *testing.T, dir string) map[string][]stream {
	f, err := os.Open(filepath.Join(dir, "oracle_tshark.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]stream{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var s stream
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out[s.File] = append(out[s.File], s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// tuple names a stream's ends without direction.
type tuple struct{ low, high netip.AddrPort }

func tupleOf(a, b netip.AddrPort) tuple {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return tuple{a, b}
}

func (s *stream) ends() (a, b netip.AddrPort) {
	return netip.AddrPortFrom(s.A, s.AP), netip.AddrPortFrom(s.B, s.BP)
}

// splits says why lastack splits a four-tuple otherwise than tshark does, by
// file and stream; the points are those on which known tools disagree.
var splits = map[string]string{
	"arkime_tcp_handshake_synthetic.pcap 2": "a SYN with another ISN draws a challenge ACK: it stays with the live connection",
	"suricata_bug-76.pcap 0":                "a SYN with another ISN on a live connection is not answered before the capture ends",
	"suricata_transform-base64-7296.pcap 1": "the clock jumps by days between two segments without any flag: the first flow has expired",
	"tcpflow_test5-lines-randomized.pcap 0": "shuffled: the SYN and SYN-ACK stand behind their own connection, which their times and numbers prove",
}

// TestCorpusAgainstTshark compares every stream that both split alike: packets,
// SYN, FIN and RST of each side, and completeness.
func TestCorpusAgainstTshark(t *testing.T) {
	dir := corpus(t)
	same, other := 0, 0
	for file, streams := range readOracle(t, dir) {
		flows := map[tuple][]*reassembly.Flow{}
		for _, f := range readFlows(t, filepath.Join(dir, file)) {
			k := tupleOf(f.Addr(tcp.SideA), f.Addr(tcp.SideB))
			flows[k] = append(flows[k], f)
		}
		theirs := map[tuple][]stream{}
		for _, s := range streams {
			k := tupleOf(s.ends())
			theirs[k] = append(theirs[k], s)
		}
		for k, list := range theirs {
			ours := flows[k]
			delete(flows, k)
			if !alike(ours, list) {
				other++
				key := fmt.Sprintf("%s %d", file, list[0].Stream)
				if splits[key] == "" {
					t.Errorf("%s: %d streams in tshark, %d here, no reason given: %v", key, len(list), len(ours), k)
				}
				continue
			}
			for i := range list {
				same++
				compare(t, &list[i], ours[i])
			}
		}
		for k := range flows {
			t.Errorf("%s: %v is a flow here and no stream in tshark", file, k)
		}
	}
	t.Logf("%d streams equal, %d tuples split otherwise", same, other)
}

// alike reports whether both begin their connections at the same packets.
func alike(ours []*reassembly.Flow, theirs []stream) bool {
	if len(ours) != len(theirs) {
		return false
	}
	starts := map[uint64]int{}
	for i, f := range ours {
		starts[f.ID.Frame()] = i
	}
	sorted := make([]*reassembly.Flow, len(ours))
	for i := range theirs {
		k, ok := starts[theirs[i].FirstFrame]
		if !ok {
			return false
		}
		sorted[i] = ours[k]
	}
	copy(ours, sorted)
	return true
}

func compare(t *testing.T, s *stream, f *reassembly.Flow) {
	t.Helper()
	a, _ := s.ends()
	sides := [2]tcp.Side{tcp.SideA, tcp.SideB}
	if f.Addr(tcp.SideA) != a {
		sides = [2]tcp.Side{tcp.SideB, tcp.SideA}
	}
	for i, side := range sides {
		e := f.Endpoint(side)
		got := [4]uint64{e.Packets, e.SYN, e.FIN, e.RST}
		want := [4]uint64{s.Pkts[i], s.SYN[i] + s.SYNACK[i], s.FIN[i], s.RST[i]}
		if got != want {
			t.Errorf("%s stream %d, %v: packets, SYN, FIN, RST %v, tshark %v", s.File, s.Stream, f.Addr(side), got, want)
		}
	}
	if f.Completeness() != s.Completeness {
		t.Errorf("%s stream %d: completeness %d, tshark %d", s.File, s.Stream, f.Completeness(), s.Completeness)
	}
}
