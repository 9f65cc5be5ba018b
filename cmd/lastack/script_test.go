package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
)

func TestMain(m *testing.M) {
	playPart()
	testscript.Main(m, map[string]func(){"lastack": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pcap": writePcap, "exits": exits, "chop": chop, "unpack": unpack,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "libpcap" {
				return capture.LibpcapVersion() != "", nil
			}
			return false, errors.New("unknown condition")
		},
	})
}

// exits CODE ARGS...: runs lastack, which must return that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE [lastack's arguments]")
	}
	code := 0
	var exit *exec.ExitError
	switch err := ts.Exec("lastack", args[1:]...); {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// pcap FILE TRANSCRIPT [FROM-TO]: writes the transcript as a capture, or only
// some of its frames.
func writePcap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pcap FILE TRANSCRIPT [FROM-TO]")
	}
	s, err := scenario.Parse(args[1], strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	if len(args) > 2 {
		from, to, _ := strings.Cut(args[2], "-")
		a, err := strconv.Atoi(from)
		ts.Check(err)
		b, err := strconv.Atoi(to)
		ts.Check(err)
		s.Frames = s.Frames[a-1 : b]
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), s.Pcap(), 0o666))
}

// chop FILE N: takes N bytes off the end of a file.
func chop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: chop FILE N")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), st.Size()-n))
}

// unpack FROM TO: decompresses a file named .gz or .zst.
func unpack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unpack FROM TO")
	}
	b, err := unpacking(args[0], strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o666))
}

// unpacking decompresses as a name says, and returns what it got before an error.
func unpacking(name string, r io.Reader) ([]byte, error) {
	if strings.HasSuffix(name, ".zst") {
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
