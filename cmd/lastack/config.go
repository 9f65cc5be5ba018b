package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// config is the command line.
type config struct {
	args       []string // as given
	inputs     []string
	interfaces []string
	filter     string
	fileHint   string // a word of the filter that is a file

	count    uint64
	duration time.Duration
	until    instant
	at       instant // of the state table; none when it is not asked for

	snaplen, buffer int
	noPromiscuous   bool
	user            string

	// File names, "-" for standard output, "" for none.
	jsonl, md, csv, prom string

	allFindings bool
	sha256      bool
	time        string
	color       string

	profile        reassembly.Profile
	rules          []diagnose.Rule
	separateVLAN   bool
	separateTunnel bool
	maxFlows       int
	threads        int
	failOn         diagnose.Severity // 0 for none
	strict         bool
	quiet, verbose bool

	help, version, listRules, listInterfaces bool
	explain                                  string

	cpuProfile, memProfile string // hidden flags, see profile.go
}

// raw is what the flags hold before they are checked.
type raw struct {
	read, only, ignore, separate                     []string
	until, at, findings, profile, msl, ports, failOn string
	numeric                                          bool
}

func flagSet(c *config, w *raw) *pflag.FlagSet {
	f := pflag.NewFlagSet("lastack", pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.StringArrayVarP(&w.read, "read", "r", nil, "")
	f.StringArrayVarP(&c.interfaces, "interface", "i", nil, "")
	f.BoolVarP(&c.listInterfaces, "list-interfaces", "D", false, "")
	f.StringVarP(&c.filter, "filter", "f", "", "")
	f.Uint64VarP(&c.count, "count", "c", 0, "")
	f.DurationVar(&c.duration, "for", 0, "")
	f.StringVar(&w.until, "until", "", "")
	f.StringVar(&w.at, "at", "", "")
	f.StringSliceVar(&w.separate, "separate", nil, "")
	f.IntVarP(&c.snaplen, "snaplen", "s", 256, "")
	f.IntVarP(&c.buffer, "buffer", "B", 16384, "")
	f.BoolVarP(&c.noPromiscuous, "no-promiscuous", "p", false, "")
	f.StringVarP(&c.user, "user", "Z", "", "")
	f.BoolVarP(&w.numeric, "numeric", "n", false, "")
	f.StringVar(&c.jsonl, "jsonl", "", "")
	f.StringVar(&c.md, "md", "", "")
	f.StringVar(&c.csv, "csv", "", "")
	f.StringVar(&c.prom, "prom", "", "")
	f.StringVar(&w.findings, "findings", "", "")
	f.BoolVar(&c.sha256, "sha256", false, "")
	f.StringVar(&c.time, "time", "utc", "")
	f.StringVar(&c.color, "color", "auto", "")
	f.StringVar(&w.profile, "profile", "linux", "")
	f.StringVar(&w.msl, "msl", "", "")
	f.StringVar(&w.ports, "ports", "", "")
	f.StringSliceVar(&w.only, "only", nil, "")
	f.StringSliceVar(&w.ignore, "ignore", nil, "")
	f.BoolVar(&c.listRules, "rules", false, "")
	f.StringVar(&c.explain, "explain", "", "")
	f.StringVar(&w.failOn, "fail-on", "", "")
	f.BoolVar(&c.strict, "strict", false, "")
	f.IntVar(&c.maxFlows, "max-flows", report.DefaultMaxFlows, "")
	f.IntVar(&c.threads, "threads", runtime.GOMAXPROCS(0), "")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "")
	f.BoolVar(&c.version, "version", false, "")
	f.BoolVarP(&c.help, "help", "h", false, "")
	f.StringVar(&c.cpuProfile, "cpu-profile", "", "")
	f.StringVar(&c.memProfile, "mem-profile", "", "")
	return f
}

// parse reads and checks the command line. Every error is one of usage.
func parse(args []string) (*config, error) {
	c, w := &config{args: args}, &raw{}
	f := flagSet(c, w)
	once(f)
	if err := f.Parse(args); err != nil {
		return nil, plainly(err)
	}
	if c.help || c.version || c.listRules || c.listInterfaces {
		return c, nil
	}
	return c, errors.Join(
		c.operands(w, f.Args(), f.Changed("filter")),
		c.judgement(w, f),
		c.output(w),
		c.times(w, f),
		c.limits(w, f),
	)
}

// plainly says in words what is wrong with what a flag was given.
func plainly(err error) error {
	var v *pflag.InvalidValueError
	if !errors.As(err, &v) {
		return err
	}
	f := v.GetFlag()
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand
	}
	if s, ok := f.Value.(*single); ok && errors.Is(err, errAgain) {
		return fmt.Errorf("%s is given twice, %q and %q: it takes one", name, s.first, v.GetValue())
	}
	wants := map[string]string{
		"int": "a number", "uint64": "a number", "bool": "true or false", "duration": "a duration such as 90s",
	}[f.Value.Type()]
	if wants == "" {
		return err
	}
	return fmt.Errorf("%s %q is not %s", name, v.GetValue(), wants)
}

// operands tells the words after the flags apart: a filter when the input is
// named by flags, else files.
func (c *config) operands(w *raw, words []string, filtered bool) error {
	c.inputs = w.read
	switch {
	case len(w.read) > 0 && len(c.interfaces) > 0:
		return errors.New("-r and -i cannot be used together")
	case len(w.read) == 0 && len(c.interfaces) == 0:
		if len(words) > 0 && (words[0] == "show" || words[0] == "diff") {
			return fmt.Errorf("%q is reserved; for a file of that name write ./%s", words[0], words[0])
		}
		c.inputs = words
		if err := misplacedFilter(words); err != nil {
			return err
		}
	case len(words) > 0 && filtered:
		return fmt.Errorf("there are two filters: -f %q and %q", c.filter, strings.Join(words, " "))
	case len(words) > 0:
		c.filter = strings.Join(words, " ")
		for _, word := range words {
			if st, err := os.Stat(word); err == nil && st.Mode().IsRegular() {
				c.fileHint = word
				break
			}
		}
	}
	if n := slices.Index(c.inputs, "-"); n >= 0 && slices.Contains(c.inputs[n+1:], "-") {
		return errors.New("standard input can be read only once")
	}
	return nil
}

// judgement is the profile and the rules.
func (c *config) judgement(w *raw, f *pflag.FlagSet) error {
	p, ok := reassembly.ProfileNamed(w.profile)
	if !ok {
		var names []string
		for _, p := range reassembly.Profiles() {
			names = append(names, p.Name)
		}
		return fmt.Errorf("there is no profile %q; there are %s", w.profile, strings.Join(names, ", "))
	}
	if w.msl != "" {
		d, err := positive("--msl", w.msl)
		if err != nil {
			return err
		}
		p.TwoMSL = 2 * d
	}
	if w.ports != "" {
		lo, hi, err := ports(w.ports)
		if err != nil {
			return err
		}
		p.PortLo, p.PortHi = lo, hi
	}
	c.profile = p
	var err error
	if f.Changed("only") && len(w.only) == 0 {
		return errors.New("--only needs the names of rules (--rules lists them)")
	}
	if c.rules, err = diagnose.Select(trimmed(w.only), trimmed(w.ignore)); err != nil {
		return err
	}
	if c.explain != "" {
		if _, ok := diagnose.Named(c.explain); !ok {
			return fmt.Errorf("there is no rule %q (--rules lists them)", c.explain)
		}
	}
	for _, s := range trimmed(w.separate) {
		switch s {
		case "vlan":
			c.separateVLAN = true
		case "tunnel":
			c.separateTunnel = true
		default:
			return fmt.Errorf("--separate %q: it takes vlan, tunnel or both", s)
		}
	}
	return nil
}

// trimmed takes the blanks off the words of a list such as "a, b".
func trimmed(list []string) []string {
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

func positive(flag, s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%s %q is not a duration such as 30s, of a day at most", flag, s)
	}
	return d, nil
}

func ports(s string) (lo, hi uint16, err error) {
	a, b, _ := strings.Cut(s, "-")
	l, errL := strconv.ParseUint(a, 10, 16)
	h, errH := strconv.ParseUint(b, 10, 16)
	if errL != nil || errH != nil || l == 0 || l > h {
		return 0, 0, fmt.Errorf("--ports %q is not a range such as 32768-60999", s)
	}
	return uint16(l), uint16(h), nil
}

// output is where and how to report.
func (c *config) output(w *raw) error {
	outputs := c.outputs()
	for i, a := range outputs {
		if err := packable(a); err != nil {
			return err
		}
		for _, b := range outputs[i+1:] {
			switch {
			case a.name == "-" && b.name == "-":
				return fmt.Errorf("two reports on standard output: only one of %s and %s can be '-'", a.flag, b.flag)
			case filepath.Clean(a.name) == filepath.Clean(b.name):
				return fmt.Errorf("%s and %s both name %s", a.flag, b.flag, b.name)
			}
		}
	}
	if w.findings != "" && w.findings != "all" {
		return fmt.Errorf("--findings %q: it takes all", w.findings)
	}
	c.allFindings = w.findings == "all"
	if err := oneOf("--time", c.time, "utc", "local", "epoch", "relative"); err != nil {
		return err
	}
	if c.quiet && c.verbose {
		return errors.New("-q and -v cannot be used together")
	}
	return oneOf("--color", c.color, "auto", "always", "never")
}

// output is a report that is asked for and where it goes.
type output struct{ flag, name string }

// outputs lists them.
func (c *config) outputs() []output {
	all := []output{{"--jsonl", c.jsonl}, {"--md", c.md}, {"--csv", c.csv}, {"--prom", c.prom}}
	return slices.DeleteFunc(all, func(o output) bool { return o.name == "" })
}

// hashed reports whether a report names the inputs' hashes.
func (c *config) hashed() bool { return c.sha256 || c.md != "" }

// text reports whether standard output gets the report for a terminal.
func (c *config) text() bool {
	return !slices.ContainsFunc(c.outputs(), func(o output) bool { return o.name == "-" })
}

// times are the instants that the flags name.
func (c *config) times(w *raw, f *pflag.FlagSet) (err error) {
	zone := time.UTC
	if c.time == "local" {
		zone = time.Local
	}
	for _, t := range [...]struct {
		flag, given string
		to          *instant
	}{{"until", w.until, &c.until}, {"at", w.at, &c.at}} {
		if t.given == "" && f.Changed(t.flag) {
			return fmt.Errorf("--%s needs a time such as %s", t.flag, timeForms)
		}
		if *t.to, err = parseInstant("--"+t.flag, t.given, zone); err != nil {
			return err
		}
	}
	if live := len(c.interfaces) > 0; live && c.until.kind == absolute && c.until.ns <= time.Now().UnixNano() {
		return fmt.Errorf("--until %s has passed: with -i it is when to stop", w.until)
	}
	return nil
}

func oneOf(flag, s string, words ...string) error {
	if slices.Contains(words, s) {
		return nil
	}
	return fmt.Errorf("%s %q: it takes %s or %s", flag, s, strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
}

// tcpdumpSnaplen is tcpdump's default snap length, for which -s 0 stands there:
// that of whole packets.
const tcpdumpSnaplen = 262144

// limits is when to stop and how much to hold.
func (c *config) limits(w *raw, f *pflag.FlagSet) error {
	switch {
	case f.Changed("count") && c.count == 0:
		return errors.New("-c 0: the count must be at least 1")
	case f.Changed("for") && c.duration <= 0:
		return errors.New("--for needs a duration such as 90s")
	case c.maxFlows < 1:
		return errors.New("--max-flows must be at least 1")
	case c.threads < 1:
		return errors.New("--threads must be at least 1")
	case c.snaplen < 0:
		return errors.New("-s must be at least 1, or 0 for whole packets")
	case c.buffer < 1:
		return errors.New("-B must be at least 1")
	}
	if c.snaplen == 0 {
		c.snaplen = tcpdumpSnaplen
	}
	if len(c.interfaces) == 0 {
		for _, name := range [...]string{"snaplen", "buffer", "no-promiscuous", "user"} {
			if f.Changed(name) {
				return fmt.Errorf("--%s is for live capture, with -i", name)
			}
		}
	}
	switch w.failOn {
	case "":
	case "error":
		c.failOn = diagnose.Error
	case "warning":
		c.failOn = diagnose.Warning
	default:
		return fmt.Errorf("--fail-on %q: it takes error or warning", w.failOn)
	}
	return nil
}
