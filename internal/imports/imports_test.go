// Package imports holds the program to its architecture: which package may
// import which, what each foreign module is for, and what only the edges of the
// program may touch. Whoever needs more writes it down here.
package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lastack/lastack"

// own lists what a package of this program may import of this program, tests
// aside. A package that is not listed must not exist, but for those under
// internal: tests, benchmarks, the lab. They import what they need, and no stage
// imports them.
var own = map[string][]string{
	"fsm":                {},
	"reassembly/tcp":     {},
	"reassembly/compat":  {"reassembly/tcp"},
	"reassembly/capture": {},
	"reassembly/decode":  {"reassembly/tcp"},
	"reassembly":         {"fsm", "reassembly/compat", "reassembly/tcp"},
	"report/diagnose":    {"fsm", "reassembly", "reassembly/tcp"},
	"report":             {"fsm", "reassembly", "reassembly/tcp", "report/diagnose"},
	"report/text":        renderer,
	"report/jsonl":       renderer,
	"report/md":          renderer,
	"report/csv":         renderer,
	"report/prom":        renderer,
	"cmd/lastack": {
		"reassembly", "reassembly/capture", "reassembly/decode", "reassembly/tcp",
		"report", "report/csv", "report/diagnose", "report/jsonl", "report/md", "report/prom", "report/text",
	},
}

var renderer = []string{"fsm", "reassembly", "reassembly/tcp", "report", "report/diagnose"}

// foreign is what a module is for and which packages may use it.
type foreign struct {
	purpose string
	users   []string // "test" is any test
}

var modules = map[string]foreign{
	"github.com/google/gopacket": {"link layers and tunnels, libpcap for live capture and filters, writing captures in the lab",
		[]string{"reassembly/capture", "reassembly/decode", "internal/lab", "test"}},
	"github.com/klauspost/compress": {"gzip and zstd, faster than the standard library's",
		[]string{"reassembly/capture", "cmd/lastack", "test"}},
	"github.com/therootcompany/xz": {"reading xz within a bound of memory, and as far as cut data goes", []string{"reassembly/capture"}},
	"github.com/ulikunitz/xz":      {"writing xz", []string{"test"}},
	"github.com/spf13/pflag": {"flags as people know them: -r FILE, --read=FILE, in any order",
		[]string{"cmd/lastack", "internal/lab/cmd/lastack-lab", "internal/bench/cmd/lastack-bench"}},
	"github.com/schollz/progressbar/v3":        {"how far it is, on a terminal", []string{"cmd/lastack"}},
	"github.com/prometheus/client_golang":      {"metrics as Prometheus wants them", []string{"report/prom"}},
	"github.com/prometheus/common":             {"the text format of its metrics", []string{"report/prom", "test"}},
	"golang.org/x/term":                        {"whether there is a terminal", []string{"cmd/lastack"}},
	"golang.org/x/sys":                         {"network namespaces and sockets of the lab", []string{"internal/lab", "test"}},
	"github.com/google/go-cmp":                 {"differences that can be read", []string{"test"}},
	"github.com/rogpeppe/go-internal":          {"scripts that run the program", []string{"test"}},
	"github.com/invopop/jsonschema":            {"the schema of the JSON lines from their types", []string{"test"}},
	"github.com/santhosh-tekuri/jsonschema/v6": {"that the lines are as the schema says", []string{"test"}},
	"pgregory.net/rapid":                       {"properties that hold for any input", []string{"test"}},
}

// pure packages touch neither files nor the network nor a log, and do not know
// the time of day.
var pure = []string{
	"fsm", "reassembly", "reassembly/tcp", "reassembly/compat", "reassembly/decode",
	"report", "report/diagnose", "report/text", "report/jsonl", "report/md", "report/csv", "report/prom",
}

var impure = []string{"os", "os/exec", "os/signal", "net", "net/http", "log", "log/slog", "syscall", "embed", "plugin", "C"}

// source is one Go file.
type source struct {
	name, pkg string
	test      bool
	file      *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		out = append(out, source{name, filepath.ToSlash(rel), strings.HasSuffix(name, "_test.go"), f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d files were found", len(out))
	}
	return out
}

func (s *source) imports() []string {
	var out []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		out = append(out, p)
	}
	return out
}

func TestOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.pkg] = true
		if strings.HasPrefix(s.pkg, "internal/") {
			continue
		}
		allowed, known := own[s.pkg]
		if !known {
			t.Errorf("%s: package %s is not in the list", s.name, s.pkg)
			continue
		}
		for _, p := range s.imports() {
			rel, ours := strings.CutPrefix(p, module+"/")
			if !ours || s.test || slices.Contains(allowed, rel) {
				continue
			}
			t.Errorf("%s: %s must not import %s", s.name, s.pkg, rel)
		}
	}
	for p := range maps.Keys(own) {
		if !seen[p] {
			t.Errorf("package %s is listed and does not exist", p)
		}
	}
}

func TestForeign(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, p := range s.imports() {
			first, _, _ := strings.Cut(p, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(p, module) {
				continue
			}
			m := moduleOf(p)
			used[m] = true
			who := s.pkg
			if s.test {
				who = "test"
			}
			if f, ok := modules[m]; !ok || f.purpose == "" {
				t.Errorf("%s: nobody has said what %s is for", s.name, p)
			} else if !slices.Contains(f.users, who) && !slices.Contains(f.users, s.pkg) {
				t.Errorf("%s: %s must not import %s, which is for %s", s.name, s.pkg, p, f.purpose)
			}
		}
	}
	for m := range modules {
		if !used[m] {
			t.Errorf("%s is listed and not used", m)
		}
	}
}

// moduleOf is the listed module that a package belongs to, or the package
// itself.
func moduleOf(p string) string {
	for m := p; m != "."; m = path.Dir(m) {
		if _, ok := modules[m]; ok {
			return m
		}
	}
	return p
}

// libpcap is linked in one place only.
func TestLibpcap(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg != "reassembly/capture" && slices.Contains(s.imports(), "github.com/google/gopacket/pcap") {
			t.Errorf("%s imports libpcap's binding", s.name)
		}
	}
}

func TestPure(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.pkg) {
			continue
		}
		for _, p := range s.imports() {
			if slices.Contains(impure, p) {
				t.Errorf("%s: %s must not import %s", s.name, s.pkg, p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"}, sel.Sel.Name) {
				t.Errorf("%s: %s must not ask for the time of day", s.name, s.pkg)
			}
			return true
		})
	}
}
