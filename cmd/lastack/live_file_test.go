package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLiveEqualsFile captures the same traffic twice in a network namespace,
// with tcpdump to a file and live: every connection and every finding must be
// the same.
func TestLiveEqualsFile(t *testing.T) {
	for _, program := range []string{"tcpdump", "taskset"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	ns := namespace(t)

	dir := t.TempDir()
	file, live := filepath.Join(dir, "lo.pcap"), filepath.Join(dir, "live.jsonl")
	dump := inside(ns, "", "tcpdump", "-i", "lo", "-U", "-s", "256", "-Z", "root", "--time-stamp-precision=nano", "-w", file, "tcp or icmp or icmp6")
	program := inside(ns, "program", os.Args[0], "-i", "lo", "--jsonl", live)
	for _, c := range []*exec.Cmd{dump, program} {
		startIn(t, c).await(t, "listening on lo")
	}
	if out, err := inside(ns, "traffic", "taskset", "-c", firstCPU(t), os.Args[0]).CombinedOutput(); err != nil {
		t.Fatalf("traffic: %v: %s", err, out)
	}
	endIn(t, program)
	fromLive, err := os.ReadFile(live)
	if err != nil {
		t.Fatal(err)
	}
	fromFile := untilAsMany(t, file, packets(t, fromLive))
	endIn(t, dump)

	want, got := comparable(t, fromFile), comparable(t, fromLive)
	if len(want) < 5 {
		t.Fatalf("only %d lines to compare", len(want))
	}
	var a, b []int64
	for i := range want {
		takeTimes("", want[i], &a)
	}
	for i := range got {
		takeTimes("", got[i], &b)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-file +live:\n%s", diff)
	}
	sameTimes(t, a, b)
}

// firstCPU is one that the test may use. Traffic that stays on it passes both taps
// packet by packet. Of two CPUs each hands its own packet from tap to tap, so that
// two packets can pass the one tap in this order and the other in that.
func firstCPU(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, list, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	return strings.FieldsFunc(list, func(r rune) bool { return r < '0' || r > '9' })[0]
}

// packets is how many a report is on. Nothing can be compared when the kernel
// dropped some.
func packets(t *testing.T, out []byte) int {
	t.Helper()
	for line := range bytes.Lines(out) {
		var health struct {
			Type        string
			Packets     int
			KernelDrops int `json:"kernel_drops"`
		}
		if json.Unmarshal(line, &health) == nil && health.Type == "health" {
			if health.KernelDrops > 0 {
				t.Fatalf("the kernel dropped %d packets beside %d", health.KernelDrops, health.Packets)
			}
			return health.Packets
		}
	}
	t.Fatalf("no packets are counted in\n%s", out)
	return 0
}

// untilAsMany is the report on a file that is being written, once it holds so many
// packets: an interrupt would let tcpdump forget what it has not read, and the
// kernel hands that over a second late.
func untilAsMany(t *testing.T, file string, n int) []byte {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var out bytes.Buffer
		if code := Main([]string{"-q", "--jsonl", "-", file}, nil, &out, os.Stderr); code != exitOK {
			t.Fatalf("exit %d on tcpdump's file", code)
		}
		switch m := packets(t, out.Bytes()); {
		case m == n:
			return out.Bytes()
		case m > n || time.Now().After(deadline):
			t.Fatalf("%d packets live, and %d in tcpdump's file", n, m)
		}
	}
}

// takeTimes takes the times and the spans of time (whose names end in _ns) out of
// what JSON holds.
func takeTimes(name string, v any, to *[]int64) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			v[key] = takeTimes(key, v[key], to)
		}
	case []any:
		for i := range v {
			v[i] = takeTimes(name, v[i], to)
		}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			*to = append(*to, at.UnixNano())
			return "a time"
		}
	case float64:
		if strings.HasSuffix(name, "_ns") {
			*to = append(*to, int64(v))
			return "a span"
		}
	}
	return v
}

// sameTimes compares times. The kernel stamps a packet for each tap, some hundred
// nanoseconds apart; but an interrupt between the two, or a virtual CPU that is
// halted there, makes that any time for this one packet, which shows in up to ten
// of some five hundred times and spans.
func sameTimes(t *testing.T, file, live []int64) {
	t.Helper()
	const (
		ordinarily = time.Millisecond
		halted     = 500 * time.Millisecond
		fewOf      = 20
	)
	more := 0
	for i := range file {
		apart := time.Duration(file[i] - live[i]).Abs()
		if apart > ordinarily {
			more++
		}
		if apart > halted {
			t.Errorf("%d in the file and %d live are %v apart", file[i], live[i], apart)
		}
	}
	if more > len(file)/fewOf {
		t.Errorf("%d of %d times are more than %v apart", more, len(file), ordinarily)
	}
}

// comparable keeps the flows and findings of a report without what depends on
// the moment at which the input ended, which the two do not share.
func comparable(t *testing.T, out []byte) (lines []map[string]any) {
	for line := range bytes.Lines(out) {
		var l map[string]any
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l["type"] != "flow" && l["type"] != "finding" || l["provisional"] == true {
			continue
		}
		for _, key := range []string{"state_ns", "quality", "duration_ns", "verdict", "confidence", "lowered_by"} {
			delete(l, key)
		}
		lines = append(lines, l)
	}
	return lines
}

// playTraffic opens and closes some connections on loopback: ten that close in
// order, two aborts, a refusal, and one whose server never closes.
func playTraffic() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	for n := range 13 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c, "%d\n", n); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 16)); err != nil {
			return err
		}
		if n == 3 || n == 7 {
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	if c, err := net.Dial("tcp", "127.0.0.1:9"); err == nil {
		c.Close()
		return fmt.Errorf("something listens on port 9")
	}
	time.Sleep(300 * time.Millisecond)
	return l.Close()
}

// serve answers one line and closes when the client does, but for the tenth.
func serve(c net.Conn) {
	line := make([]byte, 16)
	n, _ := c.Read(line)
	c.Write([]byte("ok\n"))
	if string(line[:n]) == "10\n" {
		return // forgotten
	}
	c.Read(line)
	c.Close()
}
