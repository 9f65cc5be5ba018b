package check

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// A poorer capture may make a finding vanish or lose its grade. It must not
// make another party look guilty: nothing that is certain or likely in it may
// blame whom the whole capture does not blame.

// blamed is the party of a finding, with its address, so that a client and a
// server that change places in a mid-stream capture stay who they are; "" for
// nobody.
func blamed(d *diagnose.Finding) string {
	switch d.Who {
	case diagnose.ClientApp, diagnose.ClientHost:
		return fmt.Sprintf("%s %s", kind(d.Who), d.Client)
	case diagnose.ServerApp, diagnose.ServerHost:
		return fmt.Sprintf("%s %s", kind(d.Who), d.Service)
	case diagnose.Nobody, diagnose.Unknown:
		return ""
	}
	return d.Who.String()
}

func kind(p diagnose.Party) string {
	if p == diagnose.ClientApp || p == diagnose.ServerApp {
		return "the application at"
	}
	return "the host at"
}

// begun is the variant that lacks the first packets.
const begun = "begun at frame"

// poorer analyses a variant of a scenario's frames and complains of new blame.
func poorer(t *testing.T, s *scenario.Scenario, whole []string, frames []scenario.Frame, how string, arg int) {
	t.Helper()
	p, err := profile(s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Frames(frames, p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Findings {
		d := &r.Findings[i]
		who := blamed(d)
		if who == "" || d.Confidence == diagnose.Possible || slices.Contains(whole, who) {
			continue
		}
		// An RST in a server's name is the server's until its own answer comes.
		if d.Rule == "connection-refused" && slices.Contains(whole, diagnose.Middlebox.String()) {
			continue
		}
		// Without the first of two SYNs, the answer to the second is a repetition.
		if d.Rule == "handshake-ack-lost" && how == begun {
			continue
		}
		t.Errorf("%s, %s %d: %s %s now blames %s: %s", s.Name, how, arg, d.Confidence, d.Rule, who, d.Verdict)
	}
}

// poorerViews bounds the views of a kind that a long scenario is given.
const poorerViews = 64

func TestPoorerCapturesBlameNobodyElse(t *testing.T) {
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		// A capture that lost the answer itself can lose the last sign of it too,
		// and then nothing is left that tells.
		lossy := slices.ContainsFunc(r.Flows, func(f *reassembly.Flow) bool {
			return f.Quality&reassembly.QualityCaptureLoss != 0
		})
		var whole []string
		for i := range r.Findings {
			whole = append(whole, blamed(&r.Findings[i]))
		}
		// Where too little is left for a pattern, what it explained stands for itself.
		for i := range r.Explained {
			whole = append(whole, blamed(&r.Explained[i]))
		}
		twice := make([]scenario.Frame, 0, 2*len(s.Frames))
		step := 1 + len(s.Frames)/poorerViews
		for i, f := range s.Frames {
			twice = append(twice, f)
			f.At += 20_000
			twice = append(twice, f)
			if i%step != 0 {
				continue
			}
			if f.PureACK && !lossy {
				poorer(t, s, whole, slices.Delete(slices.Clone(s.Frames), i, i+1), "without the bare ACK in frame", i+1)
			}
			poorer(t, s, whole, s.Frames[:i+1], "cut after frame", i+1)
			poorer(t, s, whole, s.Frames[i:], begun, i+1)
		}
		poorer(t, s, whole, twice, "every frame captured times", 2)
	}
}

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
