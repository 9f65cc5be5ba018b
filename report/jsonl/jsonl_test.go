package jsonl

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// stream is the whole output for one of the canonical inputs.
func stream(t *testing.T, in canonical.Input) []byte {
	t.Helper()
	var b bytes.Buffer
	s := New(&b)
	if err := s.Meta(in.Report.Meta, in.Report.Sources); err != nil {
		t.Fatal(err)
	}
	r, err := in.Analyse(report.Options{ListFindings: true, Flows: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.End(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaOf(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every line of real output is as the schema says, and the kinds come in the
// order of the contract.
func TestLines(t *testing.T) {
	s := schema(t)
	const order = "meta flow finding group states source health summary"
	for _, in := range canonical.Inputs() {
		kinds, last := map[string]int{}, 0
		for line := range bytes.Lines(stream(t, in)) {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatalf("%s: %v in %s", in.Name, err, line)
			}
			if err := s.Validate(v); err != nil {
				t.Fatalf("%s: %s%v", in.Name, line, err)
			}
			if bytes.Contains(line, []byte("null")) {
				t.Errorf("%s: null in %s", in.Name, line)
			}
			kind := v.(map[string]any)["type"].(string)
			kinds[kind]++
			if at := strings.Index(order, kind); at < last {
				t.Fatalf("%s: %s comes too late", in.Name, kind)
			} else {
				last = at
			}
		}
		if kinds["meta"] != 1 || kinds["health"] != 1 || kinds["summary"] != 1 || kinds["states"] == 0 {
			t.Errorf("%s: %v", in.Name, kinds)
		}
		if in.Name == "mixed" && (kinds["flow"] != 15 || kinds["finding"] != 9 || kinds["group"] != 5 || kinds["source"] != 2) {
			t.Errorf("mixed: %v", kinds)
		}
	}
}

// A schema that takes anything would prove nothing.
func TestSchemaRejects(t *testing.T) {
	s := schema(t)
	good := string(stream(t, canonical.Inputs()[0]))
	for _, c := range []struct{ old, new string }{
		{`"role":"syn"`, `"role":"SYN"`},
		{`"CLOSED"`, `"closed"`},
		{`.000000000Z"`, `Z"`},
		{`"midstream":false`, `"midstream":null`},
		{`"close":"orderly",`, ``},
		{`"type":"meta"`, `"type":"mete"`},
		{`"frame":1}`, `"frame":0}`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s does not occur", c.old)
		}
		rejected := false
		for line := range strings.Lines(bad) {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			rejected = rejected || s.Validate(v) != nil
		}
		if !rejected {
			t.Errorf("%s instead of %s is accepted", c.new, c.old)
		}
	}
}

// provisional is how many lines a stream has raised.
func provisional(b *bytes.Buffer) int { return strings.Count(b.String(), `"provisional":true`) }

// A provisional finding is written again when it has become surer or graver, and
// only then.
func TestRaisedAgain(t *testing.T) {
	var b bytes.Buffer
	s := New(&b)
	d := canonical.Reports()["fin-unanswered"].Findings[0]
	for i, step := range []struct {
		sure    diagnose.Confidence
		grave   diagnose.Severity
		unended bool
		lines   int
	}{
		{diagnose.Possible, diagnose.Warning, true, 0},
		{diagnose.Likely, diagnose.Warning, true, 1},
		{diagnose.Likely, diagnose.Warning, true, 1},
		{diagnose.Possible, diagnose.Warning, true, 1},
		{diagnose.Likely, diagnose.Warning, true, 1},
		{diagnose.Certain, diagnose.Warning, true, 2},
		{diagnose.Certain, diagnose.Error, true, 3},
		{diagnose.Certain, diagnose.Error, false, 3},
	} {
		d.Confidence, d.Severity, d.Unended = step.sure, step.grave, step.unended
		if err := s.Raise(&report.Report{Findings: []diagnose.Finding{d}}); err != nil {
			t.Fatal(err)
		}
		if n := provisional(&b); n != step.lines {
			t.Errorf("%d lines after step %d, not %d:\n%s", n, i, step.lines, b.String())
		}
	}
}

// What is possible and no more is raised when nothing can come any more that
// decides it: when its flow has ended, and a pattern's with the input.
func TestRaisedWhenOver(t *testing.T) {
	flow := canonical.Reports()["fin-unanswered"].Findings[0]
	flow.Confidence, flow.Unended = diagnose.Possible, false
	pattern := flow
	pattern.Flow, pattern.Rule = 0, "syn-flood"
	var b bytes.Buffer
	if err := New(&b).Raise(&report.Report{Findings: []diagnose.Finding{pattern, flow}}); err != nil {
		t.Fatal(err)
	}
	if n := provisional(&b); n != 1 || strings.Contains(b.String(), "syn-flood") {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}

// What was raised is remembered for as long as the report lists it, so that a
// stream may go on for ever.
func TestRaisedIsForgotten(t *testing.T) {
	s := New(io.Discard)
	d := canonical.Reports()["fin-unanswered"].Findings[0]
	for n := range 5 {
		var list []diagnose.Finding
		for i := range 3 {
			d.Flow = tcp.Ref(0, uint64(1+2*n+i))
			list = append(list, d)
		}
		if err := s.Raise(&report.Report{Findings: list}); err != nil {
			t.Fatal(err)
		}
		if len(s.raised) != len(list) {
			t.Errorf("%d are remembered of %d", len(s.raised), len(list))
		}
	}
}

// Provisional findings are written once.
func TestRaise(t *testing.T) {
	var b bytes.Buffer
	s := New(&b)
	r := canonical.Reports()["fin-unanswered"]
	for range 2 {
		if err := s.Raise(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := provisional(&b); n != len(r.Findings) || n == 0 {
		t.Errorf("%d provisional lines for %d findings", n, len(r.Findings))
	}
}

// counted counts the writes, and fails from the one after the last good one.
type counted struct {
	bytes.Buffer
	writes, good int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	if c.writes > c.good {
		return 0, io.ErrClosedPipe
	}
	return c.Buffer.Write(p)
}

// Lines are written many at a time, and every method has written all of its own
// when it returns. The first error is kept, and nothing is written after it.
func TestWritten(t *testing.T) {
	r := canonical.Reports()["mixed"]
	whole := counted{good: math.MaxInt}
	s := New(&whole)
	for _, step := range []struct {
		do   func() error
		last string
	}{
		{func() error { return s.Meta(r.Meta, r.Sources) }, "meta"},
		{func() error { return s.Raise(r) }, "finding"},
		{func() error { return s.AsOf(r) }, "summary"},
		{func() error { return s.End(r) }, "summary"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(whole.String(), "\n")
		if last := lines[len(lines)-2]; !strings.HasPrefix(last, `{"type":"`+step.last) || lines[len(lines)-1] != "" {
			t.Errorf("the end is %s%s", last, lines[len(lines)-1])
		}
	}
	if whole.writes != 4 {
		t.Errorf("%d writes for four calls", whole.writes)
	}

	many := *r
	for len(many.Findings) < 2000 {
		many.Findings = append(many.Findings, r.Findings...)
	}
	broken := counted{good: 1}
	s = New(&broken)
	if err := s.End(&many); !errors.Is(err, io.ErrClosedPipe) || broken.writes != 2 {
		t.Errorf("%v after %d writes", err, broken.writes)
	}
	if n := broken.Len(); n < readyBytes || n > 2*readyBytes {
		t.Errorf("%d octets at once", n)
	}
	if _, err := s.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) || broken.writes != 2 {
		t.Errorf("%v, and %d writes", err, broken.writes)
	}
}
