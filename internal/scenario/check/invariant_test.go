package check

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
)

func TestPoorerCapturesBlameNobodyElse(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and of one goroutine")
	}
	for _, s := range scenarios(t) {
		p, err := profile(s)
		if err != nil {
			t.Fatal(err)
		}
		wrong, _, err := Poorer(s.Frames, p, poorerViews)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Errorf("%s, %s", s.Name, w)
		}
	}
}

// poorerViews bounds the views of a kind that a long scenario is given.
const poorerViews = 64

// mirrored exchanges the networks of clients and servers, so that what was the
// lower address becomes the higher one. No checksum changes: the sums of the
// addresses stay what they were.
func mirrored(frames []scenario.Frame) []scenario.Frame {
	swap := func(b []byte, x, y []byte) {
		switch {
		case bytes.HasPrefix(b, x):
			copy(b, y)
		case bytes.HasPrefix(b, y):
			copy(b, x)
		}
	}
	out := slices.Clone(frames)
	for i := range out {
		data := slices.Clone(out[i].Data)
		for k := 14; k+6 <= len(data) && k < 110; k++ {
			swap(data[k:], []byte{192, 0, 2}, []byte{198, 51, 100})
			swap(data[k:], []byte{0x20, 0x01, 0x0d, 0xb8, 0, 'C'}, []byte{0x20, 0x01, 0x0d, 0xb8, 0, 'S'})
		}
		out[i].Data = data
	}
	return out
}

// Which end has the lower address is of no consequence.
func TestMirroredFlowsAreJudgedAlike(t *testing.T) {
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		twin := *s
		twin.Frames = mirrored(s.Frames)
		if bytes.Equal(twin.Frames[0].Data, s.Frames[0].Data) {
			t.Fatalf("%s has no mirror image", s.Name)
		}
		m, err := Run(&twin)
		if err != nil {
			t.Fatal(err)
		}
		short := func(r Result) (list []string) {
			for _, d := range r.Findings {
				text := fmt.Sprint(d.Rule, d.Severity, d.Confidence, d.Who, d.Duration, d.Censored)
				for _, e := range d.Evidence {
					text += fmt.Sprint(" ", e.Ref)
				}
				list = append(list, text)
			}
			for _, f := range r.Flows {
				list = append(list, fmt.Sprint(f.ID, f.Close, f.ActiveCloser, f.Handshake.Outcome,
					f.Endpoint(f.Client).State, f.Endpoint(f.Server()).State))
			}
			return list
		}
		if have, want := short(m), short(r); !slices.Equal(have, want) {
			t.Errorf("%s mirrored gives\n%q, want\n%q", s.Name, have, want)
		}
	}
}
