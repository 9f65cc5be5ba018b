package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lastack/lastack/report"
)

// Contender is a program, or one way to run it.
type Contender struct {
	Name     string
	Package  string   // Debian's, for peers
	Captures []string // that it is measured on
	// argv is the command line for a capture; what it writes goes to out.
	argv func(c *Capture, out string) []string
	// check says whether what it wrote is right; nil where nothing is known.
	check func(c *Capture, out string) error
}

func (k *Contender) reads(capture string) bool { return slices.Contains(k.Captures, capture) }

func (k *Contender) installed() bool {
	_, err := exec.LookPath(k.argv(&Capture{}, "")[0])
	return err == nil
}

func (k *Contender) missing() string {
	return fmt.Sprintf("%s: not installed (Debian's %s)", k.Name, k.Package)
}

// version is that of the Debian package, "" where there is none.
func (k *Contender) version() string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", k.Package).Output()
	if k.Package == "" || err != nil {
		return ""
	}
	return string(out)
}

// The ways to run lastack.
const (
	full        = "lastack"
	fullOne     = "lastack, 1 thread"
	text        = "lastack, text"
	textOne     = "lastack, text, 1 thread"
	bounded     = "lastack, bounded"
	plainLoop   = "C loop"
	lingerLoop  = "C loop that keeps flows"
	flowsFile   = "flows.jsonl"
	boundedPart = 5 // of so many connections, two are within the bound
)

// lastacks are the ways in which lastack itself is run. All write the text
// report as well, to nowhere.
func lastacks(program string) []Contender {
	everywhere := []string{"mix", "headers", "headers-ng", "bulk", "concurrent", "flood"}
	small := everywhere[:4]
	run := func(name string, captures []string, threads int, lines bool) Contender {
		k := Contender{Name: name, Captures: captures}
		k.argv = func(c *Capture, out string) []string {
			argv := []string{program, "-q", "--threads", strconv.Itoa(threads)}
			// Twice as many as there are, since partitions fill unevenly.
			if most := 2 * c.Totals.Connections; most > report.DefaultMaxFlows {
				argv = append(argv, "--max-flows", strconv.FormatUint(most, 10))
			}
			if lines {
				argv = append(argv, "--jsonl", filepath.Join(out, flowsFile))
			}
			return append(argv, c.Path)
		}
		if lines {
			k.check = checkFlows
		}
		return k
	}
	few := run(bounded, []string{"flood"}, 2, true)
	few.argv = func(c *Capture, out string) []string {
		return []string{program, "-q", "--threads", "2", "--max-flows", strconv.FormatUint(boundOf(c), 10),
			"--jsonl", filepath.Join(out, flowsFile), c.Path}
	}
	return []Contender{
		run(full, everywhere, 2, true), run(fullOne, small, 1, true),
		run(text, small, 2, false), run(textOne, small, 1, false), few,
	}
}

// boundOf is fewer flows than a flood has, as the default bound is in a flood of
// five million.
func boundOf(c *Capture) uint64 { return max(1, c.Totals.Connections*2/boundedPart) }

// checkFlows compares the number of flows in lastack's summary with what was
// generated.
func checkFlows(c *Capture, out string) error {
	line, err := lastLine(filepath.Join(out, flowsFile))
	if err != nil {
		return err
	}
	var summary struct {
		Type           string
		Packets, Flows uint64
	}
	if err := json.Unmarshal(line, &summary); err != nil {
		return err
	}
	if summary.Type != "summary" || summary.Packets != c.Totals.Packets || summary.Flows != c.Totals.Connections {
		return fmt.Errorf("it saw %d packets and %d flows of %d and %d",
			summary.Packets, summary.Flows, c.Totals.Packets, c.Totals.Connections)
	}
	return nil
}

// lastLine is the last line of a file, if it is shorter than 64 KiB.
func lastLine(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil {
		return nil, err
	}
	b = bytes.TrimSpace(b)
	return b[bytes.LastIndexByte(b, '\n')+1:], nil
}

// Peers are the programs to measure against. loop is what CompileLoop made; the
// one that keeps flows frees them 120 s after they close, as lastack does.
func Peers(loop string) []Contender {
	web := []string{"mix", "headers", "bulk"}
	many := append([]string{"concurrent"}, web...)
	peer := func(name, pkg string, captures []string, argv ...string) Contender {
		return Contender{Name: name, Package: pkg, Captures: captures, argv: func(c *Capture, out string) []string {
			full := slices.Clone(argv)
			for i := range full {
				full[i] = strings.NewReplacer("FILE", c.Path, "OUT", out).Replace(full[i])
			}
			return full
		}}
	}
	return []Contender{
		peer(plainLoop, "gcc", many, loop, "FILE"),
		peer(lingerLoop, "gcc", many, loop, "FILE", "120"),
		peer("tcpdump", "tcpdump", append(web, "headers-ng"), "tcpdump", "-r", "FILE", "-w", "/dev/null"),
		peer("softflowd", "softflowd", many, "softflowd", "-6", "-m", "4000000",
			"-p", "OUT/pid", "-c", "none", "-r", "FILE"),
		peer("argus", "argus-server", many, "argus", "-r", "FILE", "-w", "OUT/argus"),
		peer("nfpcapd", "nfdump", many, "nfpcapd", "-r", "FILE", "-w", "OUT"),
		peer("tcptrace", "tcptrace", many, "tcptrace", "-n", "FILE"),
		peer("tshark", "tshark", []string{"mix"}, "tshark", "-q", "-z", "conv,tcp", "-r", "FILE"),
	}
}
