package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// Expect is what a transcript says of its packets.
type Expect struct {
	Findings   []Finding // "# expect: RULE ..."
	None       bool      // "# expect: none": no finding at all
	Quiet      bool      // "# expect: quiet": none of severity error or warning
	Not        []string  // "# expect-not: RULE": no finding of that rule
	NotCertain []string  // "# not-certain: RULE": none that is certain or likely
	Flows      []Flow    // "# flow: ..."
	FlowCount  int       // "# flows: N"; -1 when not said
	Steps      []Steps   // "# transitions client: ..."
}

// Finding is one expected finding. Empty fields are not compared.
type Finding struct {
	Line       int
	Rule       string
	Who        string
	Confidence string
	Severity   string
	Evidence   []uint64 // frames, in order
	Censored   string   // "true" or "false"
	FlowCount  string   // of a finding over several flows
	Service    string   // its address and port
	Count      int      // findings of this rule on this flow; 1 unless said
	Flow       Flow     // facts of the flow that it is on
}

// Flow is what is expected of one flow. Empty fields are not compared.
type Flow struct {
	Line         int
	First        uint64 // number of its first frame; 0 for the first flow of the capture
	Client       string // state of the client at the end, and of the server
	Server       string
	Close        string
	ActiveCloser string
	Handshake    string
	Role         string
	Incarnation  string
	Midstream    string
	Quality      string // a quality flag that must be set
}

// Steps is the expected list of states of one endpoint.
type Steps struct {
	Line   int
	First  uint64 // as in Flow
	Server bool
	States []string
}

// directive takes one "word: rest" of a comment; known is false for a remark.
func (e *Expect) directive(n int, word, rest string) (known bool, err error) {
	switch word {
	case "expect":
		switch rest {
		case "none":
			e.None = true
		case "quiet":
			e.Quiet = true
		default:
			err = e.finding(n, strings.Fields(rest))
		}
	case "expect-not":
		e.Not = append(e.Not, strings.Fields(rest)...)
	case "not-certain":
		e.NotCertain = append(e.NotCertain, strings.Fields(rest)...)
	case "flow":
		f := Flow{Line: n}
		for _, w := range strings.Fields(rest) {
			if err = f.set(w); err != nil {
				return true, err
			}
		}
		e.Flows = append(e.Flows, f)
	case "flows":
		e.FlowCount, err = strconv.Atoi(rest)
	case "transitions client", "transitions server":
		s := Steps{Line: n, Server: word == "transitions server"}
		words := strings.Fields(rest)
		if len(words) == 2 {
			if s.First, err = flowNumber(words[0]); err != nil {
				return true, err
			}
			words = words[1:]
		}
		if len(words) != 1 {
			return true, fmt.Errorf("want STATE>STATE>..., have %q", rest)
		}
		s.States = strings.Split(words[0], ">")
		e.Steps = append(e.Steps, s)
	default:
		return false, nil
	}
	return true, err
}

// finding takes the words of an "expect: RULE key=value ..." directive.
func (e *Expect) finding(n int, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("expect what?")
	}
	f := Finding{Line: n, Rule: words[0], Count: 1, Flow: Flow{Line: n}}
	for _, w := range words[1:] {
		key, val, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "who":
			f.Who = val
		case "confidence":
			f.Confidence = val
		case "severity":
			f.Severity = val
		case "censored":
			f.Censored = val
		case "flows":
			f.FlowCount = val
		case "service":
			f.Service = val
		case "count":
			f.Count, err = strconv.Atoi(val)
		case "evidence":
			f.Evidence, err = numbers(val)
		default:
			err = f.Flow.set(w)
		}
		if err != nil {
			return err
		}
	}
	e.Findings = append(e.Findings, f)
	return nil
}

// set takes one "key=value" about a flow.
func (f *Flow) set(w string) (err error) {
	key, val, ok := strings.Cut(w, "=")
	if !ok || val == "" {
		return fmt.Errorf("want key=value, have %q", w)
	}
	switch key {
	case "flow":
		f.First, err = flowNumber(w)
	case "states":
		if f.Client, f.Server, ok = strings.Cut(val, "/"); !ok {
			err = fmt.Errorf("want states=CLIENT/SERVER, have %q", w)
		}
	case "close":
		f.Close = val
	case "active_closer":
		f.ActiveCloser = val
	case "handshake":
		f.Handshake = val
	case "role":
		f.Role = val
	case "incarnation":
		f.Incarnation = val
	case "midstream":
		f.Midstream = val
	case "quality":
		f.Quality = val
	default:
		err = fmt.Errorf("unknown key %q", key)
	}
	return err
}

// flowNumber takes "flow=FRAME".
func flowNumber(w string) (uint64, error) {
	val, ok := strings.CutPrefix(w, "flow=")
	if !ok {
		return 0, fmt.Errorf("want flow=FRAME, have %q", w)
	}
	return strconv.ParseUint(val, 10, 64)
}

// numbers takes "4,5,17".
func numbers(list string) ([]uint64, error) {
	var out []uint64
	for _, w := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a list of frames", list)
		}
		out = append(out, n)
	}
	return out, nil
}
