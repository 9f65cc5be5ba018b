package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/bench/traffic"
)

// The test program is also the program itself, which calls itself to generate.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "generate" {
		main()
		return
	}
	os.Exit(m.Run())
}

// output runs f and returns what it wrote to standard output.
func output(t *testing.T, f func() error) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	done := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		done <- string(b)
	}()
	err = f()
	os.Stdout = old
	w.Close()
	out := <-done
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func TestGenerate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.pcap")
	out := output(t, func() error { return run([]string{"generate", "--scale", "0.001", "--out", name, "--totals", "mix"}) })
	var totals traffic.Totals
	if err := json.Unmarshal([]byte(out), &totals); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if totals.Connections != 450 || totals.Bytes != uint64(len(file)) {
		t.Errorf("%+v for a file of %d octets", totals, len(file))
	}
	piped := output(t, func() error { return run([]string{"generate", "--scale", "0.001", "mix"}) })
	if !bytes.Equal(file, []byte(piped)) {
		t.Error("standard output and a file get different captures")
	}
	other := output(t, func() error { return run([]string{"generate", "--scale", "0.001", "--seed", "2", "mix"}) })
	if other == piped {
		t.Error("another seed gives the same capture")
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{"generate", "nothing"}, {"generate", "--totals", "mix"}, {"compare"}, {"--rounds", "0"}, {"--peers", "wireshrak"},
	} {
		if err := run(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

// The whole program on captures that are too small for any figure to mean
// anything: every row is there, and lastack's flows are those generated.
func TestMeasure(t *testing.T) {
	program := filepath.Join(t.TempDir(), "lastack")
	build := exec.Command("go", "build", "-o", program, "github.com/lastack/lastack/cmd/lastack")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("lastack cannot be built here: %v\n%s", err, out)
	}
	dir := t.TempDir()
	table := filepath.Join(dir, "table.md")
	out := output(t, func() error {
		return run([]string{"--lastack", program, "--scale", "0.0005", "--rounds", "2", "--dir", dir,
			"--peers", "C loop", "--only", "mix,flood,bulk", "--markdown", table})
	})
	markdown, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"225 connections", "2500 connections", "lastack, text, 1 thread", "lastack, bounded", "not measured"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, " on mix: ") || strings.Contains(out, " on bulk: ") || strings.Contains(out, " on flood: ") {
		t.Errorf("something failed:\n%s", out)
	}
	if !strings.Contains(string(markdown), "| lastack, 1 thread |") {
		t.Errorf("the table:\n%s", markdown)
	}
	left, err := filepath.Glob(filepath.Join(dir, "lastack-bench-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
