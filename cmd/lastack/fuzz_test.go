package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
)

// FuzzPipeline runs the whole program on arbitrary bytes as standard input: it
// must end by itself with exit 0 or 1, every line must be JSON, every captured
// segment must be in exactly one flow, and every finding must name packets that
// exist.
func FuzzPipeline(f *testing.F) {
	addTranscripts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var out, errs bytes.Buffer
		code := Main([]string{"--threads", "1", "--jsonl", "-", "-"}, bytes.NewReader(data), &out, &errs)
		if code != exitOK && code != exitInput {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		if code == exitInput && errs.Len() == 0 {
			t.Error("exit 1 without a word")
		}
		checkLines(t, out.Bytes())
	})
}

// addTranscripts has the fuzzer begin with every scenario.
func addTranscripts(f *testing.F) {
	files, err := filepath.Glob("../../testdata/scenarios/*/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no transcripts to start from: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		s, err := scenario.Parse(name, bytes.NewReader(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Pcap())
	}
}

// FuzzTables asks for the state tables of arbitrary bytes: the hosts must add up
// to the sum, and the lines of a host be bounded.
func FuzzTables(f *testing.F) {
	addTranscripts(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var out, errs bytes.Buffer
		args := []string{"-q", "--threads", "1", "--at", "+1s", "--csv", "-", "-"}
		switch code := Main(args, bytes.NewReader(data), &out, &errs); {
		case code == exitInput && out.Len() == 0:
			return
		case code != exitOK && code != exitInput:
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string]int{}
		sums := map[string]int{} // by time: of all hosts, and less each host
		for _, row := range rows[1:] {
			lines[row[1]]++
			for i, cell := range row[3:14] {
				n, err := strconv.Atoi(cell)
				if err != nil {
					t.Fatal(err)
				}
				if row[1] != "*" {
					n = -n
				}
				sums[fmt.Sprint(row[0], " ", i)] += n
			}
		}
		for host, n := range lines {
			if n > 2050 || n != lines["*"] {
				t.Errorf("%d lines of %s, %d of all", n, host, lines["*"])
			}
		}
		for where, n := range sums {
			if n != 0 && len(lines) <= 256 {
				t.Errorf("at %s the hosts miss %d", where, n)
			}
		}
	})
}

// fuzzLine is what checkLines reads of any JSON line.
type fuzzLine struct {
	Type        string
	ClientStats struct{ Packets uint64 } `json:"client_stats"`
	ServerStats struct{ Packets uint64 } `json:"server_stats"`
	Evidence    []struct {
		Packet struct {
			File  int
			Frame uint64
		}
	}
	TCPSegments uint64 `json:"tcp_segments"`
	Packets     uint64
}

func checkLines(t *testing.T, out []byte) {
	t.Helper()
	var inFlows, evidence uint64
	for line := range bytes.Lines(out) {
		var l fuzzLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch l.Type {
		case "flow":
			inFlows += l.ClientStats.Packets + l.ServerStats.Packets
		case "finding":
			if len(l.Evidence) == 0 {
				t.Errorf("a finding without evidence: %s", line)
			}
			for _, e := range l.Evidence {
				if e.Packet.Frame == 0 {
					t.Errorf("evidence without a frame: %s", line)
				}
				evidence = max(evidence, e.Packet.Frame)
			}
		case "health":
			if l.TCPSegments != inFlows {
				t.Errorf("%d segments, flows hold %d", l.TCPSegments, inFlows)
			}
			if evidence > l.Packets {
				t.Errorf("evidence in frame %d of %d", evidence, l.Packets)
			}
		}
	}
}
