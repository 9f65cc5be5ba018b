package check

import (
	"fmt"
	"slices"

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

// begun is the view that lacks the first packets.
const begun = "begun at frame"

// views makes poorer views of a capture and compares them with the whole.
type views struct {
	profile reassembly.Profile
	whole   []string // whom it blames
	wrong   []string
	n       int
}

// Poorer analyses frames as they are, and then without each bare ACK, cut after
// each frame, begun at each frame, and with every frame captured twice, at most
// limit views of a kind. It lists in words who is newly blamed, and says how
// many views there were.
func Poorer(frames []scenario.Frame, p reassembly.Profile, limit int) (wrong []string, n int, err error) {
	r, err := Frames(frames, p)
	if err != nil {
		return nil, 0, err
	}
	v := views{profile: p}
	for i := range r.Findings {
		v.whole = append(v.whole, blamed(&r.Findings[i]))
	}
	// Where too little is left for a pattern, what it explained stands for itself.
	for i := range r.Explained {
		v.whole = append(v.whole, blamed(&r.Explained[i]))
	}
	// A capture that lost the answer itself can lose the last sign of it too,
	// and then nothing is left that tells.
	lossy := slices.ContainsFunc(r.Flows, func(f *reassembly.Flow) bool {
		return f.Quality&reassembly.QualityCaptureLoss != 0
	})
	twice := make([]scenario.Frame, 0, 2*len(frames))
	step := 1 + len(frames)/limit
	for i, f := range frames {
		twice = append(twice, f)
		f.At += 20_000
		twice = append(twice, f)
		if i%step != 0 {
			continue
		}
		if f.PureACK && !lossy {
			v.view(slices.Delete(slices.Clone(frames), i, i+1), "without the bare ACK in frame", i+1)
		}
		v.view(frames[:i+1], "cut after frame", i+1)
		v.view(frames[i:], begun, i+1)
	}
	slices.SortStableFunc(twice, func(a, b scenario.Frame) int { return int(min(max(a.At-b.At, -1), 1)) })
	v.view(twice, "every frame captured times", 2)
	return v.wrong, v.n, nil
}

// view analyses one view and complains of new blame.
func (v *views) view(frames []scenario.Frame, how string, arg int) {
	v.n++
	r, err := Frames(frames, v.profile)
	if err != nil {
		v.wrong = append(v.wrong, fmt.Sprintf("%s %d: %v", how, arg, err))
		return
	}
	for i := range r.Findings {
		d := &r.Findings[i]
		who := blamed(d)
		if who == "" || d.Confidence == diagnose.Possible || slices.Contains(v.whole, who) {
			continue
		}
		// An RST in a server's name is the server's until its own answer comes.
		if d.Rule == "connection-refused" && slices.Contains(v.whole, diagnose.Middlebox.String()) {
			continue
		}
		// Without the first of two SYNs, the answer to the second is a repetition.
		if d.Rule == "handshake-ack-lost" && how == begun {
			continue
		}
		v.wrong = append(v.wrong, fmt.Sprintf("%s %d: %s %s now blames %s: %s", how, arg, d.Confidence, d.Rule, who, d.Verdict))
	}
}
