//go:build linux

package judge

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/lastack/lastack/internal/lab"
)

// leastAgreement is the part of near sockets that agree at the end of a mixed
// recording.
const leastAgreement = 0.995

// Row is the agreement of the sockets of one class as seen from one vantage.
type Row struct {
	Class   string
	Vantage Vantage // of the capture
	Near    bool    // the sockets are those of the same host
	Sockets int
	Equal   int // whose ways are equal
	Revised int // of those, the ones on which something was taken back
	Excused int
	Differs int
}

// Agreement is the part of the sockets whose ways are equal or excused.
func (r Row) Agreement() float64 {
	if r.Sockets == 0 {
		return 1
	}
	return float64(r.Equal+r.Excused) / float64(r.Sockets)
}

// Verdict is the outcome for a set of recordings.
type Verdict struct {
	Recordings int
	Rows       []Row                 // by class in the order of scenarios, vantage, near before far
	Kinds      map[string]int        // near sockets that are excused, by kind
	Lags       map[string]int        // near moves further apart than may be that are excused, by kind
	Times      map[string][]Distance // of near moves that agree, by kind
	Cuts       int                   // captures cut short
	Unlabelled int                   // connections of mixes

	// What is wrong, in words.
	Different  []string // near sockets
	Late       []string // near moves
	Labels     []string
	Contradict []string // cuts

	Wrong map[string][]string // the failures of each recording that has any, by the take's name
}

// every is after how many packets captures are cut short.
const every = 10

// Judge judges all recordings in a folder.
func Judge(dir string) (*Verdict, error) {
	truths, err := filepath.Glob(filepath.Join(dir, "*"+lab.TruthFile+"*"))
	if err != nil {
		return nil, err
	}
	if len(truths) == 0 {
		return nil, fmt.Errorf("%s: no recording", dir)
	}
	parts, errs := make([]*Verdict, len(truths)), make([]error, len(truths))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, truth := range truths {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			path, _, _ := strings.Cut(truth, lab.TruthFile)
			parts[i] = newVerdict()
			if errs[i] = parts[i].recording(path); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", path, errs[i])
			}
		})
	}
	wg.Wait()
	v := newVerdict()
	for i, p := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		v.plus(p)
		if fs := p.Failures(); len(fs) > 0 {
			name, _, _ := strings.Cut(filepath.Base(truths[i]), lab.TruthFile)
			v.Wrong[strings.TrimSuffix(name, ".")] = fs
		}
	}
	slices.SortStableFunc(v.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(classOrder(a.Class), classOrder(b.Class)), cmp.Compare(a.Vantage, b.Vantage), nearFirst(a, b))
	})
	return v, nil
}

// classOrder is the place of a class among those of the scenarios.
func classOrder(class string) int {
	return slices.IndexFunc(lab.Scenarios(), func(s lab.Scenario) bool { return s.Class == class })
}

func nearFirst(a, b Row) int {
	switch {
	case a.Near == b.Near:
		return 0
	case a.Near:
		return -1
	}
	return 1
}

func newVerdict() *Verdict {
	return &Verdict{Kinds: map[string]int{}, Lags: map[string]int{}, Times: map[string][]Distance{}, Wrong: map[string][]string{}}
}

func (v *Verdict) plus(o *Verdict) {
	v.Recordings += o.Recordings
	v.Cuts += o.Cuts
	v.Unlabelled += o.Unlabelled
	for _, r := range o.Rows {
		t := v.row(r.Class, r.Vantage, r.Near)
		t.Sockets, t.Equal, t.Revised = t.Sockets+r.Sockets, t.Equal+r.Equal, t.Revised+r.Revised
		t.Excused, t.Differs = t.Excused+r.Excused, t.Differs+r.Differs
	}
	for k, n := range o.Kinds {
		v.Kinds[k] += n
	}
	for k, n := range o.Lags {
		v.Lags[k] += n
	}
	for k, ds := range o.Times {
		v.Times[k] = append(v.Times[k], ds...)
	}
	v.Different = append(v.Different, o.Different...)
	v.Late = append(v.Late, o.Late...)
	v.Labels = append(v.Labels, o.Labels...)
	v.Contradict = append(v.Contradict, o.Contradict...)
}

// row is the row of a class, a vantage and a distance.
func (v *Verdict) row(class string, at Vantage, near bool) *Row {
	i := slices.IndexFunc(v.Rows, func(r Row) bool { return r.Class == class && r.Vantage == at && r.Near == near })
	if i < 0 {
		i = len(v.Rows)
		v.Rows = append(v.Rows, Row{Class: class, Vantage: at, Near: near})
	}
	return &v.Rows[i]
}

// recording judges one recording, given the path of its files without their
// endings.
func (v *Verdict) recording(path string) error {
	rec, err := lab.ReadRecording(path)
	if err != nil {
		return err
	}
	p, err := profile(&rec.About)
	if err != nil {
		return err
	}
	v.Recordings++
	v.Unlabelled += rec.About.Unlabelled
	for _, at := range []Vantage{AtClient, AtServer} {
		name, err := lab.Found(path + at.ending())
		if err != nil {
			return err
		}
		in, err := Read(name, p)
		if err != nil {
			return err
		}
		for _, host := range []Vantage{AtClient, AtServer} {
			ss, err := sockets(&rec, in, at, host)
			if err != nil {
				return err
			}
			for _, s := range ss {
				v.socket(filepath.Base(name), s, at)
			}
		}
		for _, w := range Labels(rec.Labels, in, at) {
			v.Labels = append(v.Labels, filepath.Base(name)+": "+w)
		}
		if says := reports[rec.About.Scenario]; says != nil {
			for _, w := range says(&rec, in.Report) {
				v.Labels = append(v.Labels, filepath.Base(name)+": "+w)
			}
		}
		wrong, cuts, err := Cuts(name, p, every)
		if err != nil {
			return err
		}
		v.Cuts += cuts
		v.Contradict = append(v.Contradict, wrong...)
	}
	return nil
}

// socket adds one socket.
func (v *Verdict) socket(name string, s *Socket, at Vantage) {
	r := v.row(s.rec.About.Class, at, s.Near)
	r.Sockets++
	where := fmt.Sprintf("%s: the %v's socket %v to %v", name, s.host, s.Local, s.Remote)
	switch s.Outcome {
	case Equal:
		r.Equal++
		if s.Revised {
			r.Revised++
		}
	case Excused:
		r.Excused++
	case Differs:
		r.Differs++
	}
	if !s.Near {
		return // its times and restarts are those of the other end of the wire
	}
	switch s.Outcome {
	case Excused:
		v.Kinds[s.Excuse]++
	case Differs:
		v.Different = append(v.Different, fmt.Sprintf("%s\n    kernel  %v\n    lastack %v", where, s.Kernel, s.Ours))
	}
	for _, d := range s.Apart {
		k := kind(d.Kernel)
		v.Times[k] = append(v.Times[k], d)
		if !d.far() {
			continue
		}
		if lag := s.lagged(d); lag != "" {
			v.Lags[lag]++
		} else {
			v.Late = append(v.Late, fmt.Sprintf("%s: %s %d ms apart (%v, frame %d)", where, k, d.NS/1e6, d.Ours.Basis, d.Ours.Ref.Frame()))
		}
	}
	switch w := s.restarts(); {
	case w != "" && s.restartsForSYN():
		v.Lags[refusedSYN]++
	case w != "":
		v.Late = append(v.Late, where+": "+w)
	}
}

func kind(m Move) string { return fmt.Sprintf("%v > %v", m.From, m.To) }

// Failures lists in words what must hold and does not. A mixed recording
// may have a few sockets that differ.
func (v *Verdict) Failures() []string {
	var near, differs int
	var out []string
	for _, r := range v.Rows {
		switch {
		case !r.Near:
		case r.Class == lab.Mixed:
			near, differs = near+r.Sockets, differs+r.Differs
		case r.Differs > 0:
			out = append(out, fmt.Sprintf("%d sockets of class %q differ without a reason", r.Differs, r.Class))
		}
	}
	if float64(differs) > (1-leastAgreement)*float64(near) {
		out = append(out, fmt.Sprintf("%d of %d sockets of the mixed recordings differ", differs, near))
	}
	for _, w := range []struct {
		what string
		list []string
	}{
		{"times", v.Late}, {"findings against labels", v.Labels}, {"findings of cut captures", v.Contradict},
	} {
		if len(w.list) > 0 {
			out = append(out, fmt.Sprintf("%d %s", len(w.list), w.what))
		}
	}
	return out
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
