//go:build linux

package lab

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// TestRecordNormal is the one test that needs a kernel to play with. It asks
// for the order of the states, not for times.
func TestRecordNormal(t *testing.T) {
	if why := Missing(); why != "" {
		t.Skip(why)
	}
	scenarios := Scenarios()
	i := slices.IndexFunc(scenarios, func(s Scenario) bool { return s.Name == "normal" })
	dir := t.TempDir()
	if _, err := Record(dir, Plain(scenarios[i:i+1])); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"client": "CLOSED SYN_SENT ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT",
		"server": "LISTEN SYN_RCVD ESTABLISHED CLOSE_WAIT LAST_ACK CLOSED",
	}
	for _, family := range []string{"v4", "v6"} {
		path := filepath.Join(dir, "normal-"+family)
		r, err := ReadRecording(path)
		if err != nil {
			t.Fatal(err)
		}
		for host, states := range want {
			// On a busy machine a late copy may restart or end TIME_WAIT.
			if got := statesOf(r.Transitions, host); !strings.HasPrefix(got, states) {
				t.Errorf("%s, %s: the kernel went %s, want %s", family, host, got, states)
			}
		}
		if len(r.Labels) != 1 || r.Labels[0].Client.Addr().String() != r.About.Client {
			t.Errorf("%s: labels %+v of %+v", family, r.Labels, r.About)
		}
		for _, end := range []string{ClientCapture, ServerCapture} {
			if fi, err := os.Stat(path + end); err != nil || fi.Size() < 1000 {
				t.Errorf("%s%s: %v, %v", path, end, fi, err)
			}
		}
	}
}

// statesOf is the way of a host through the states, as words.
func statesOf(ts []Transition, host string) string {
	var states []string
	for _, x := range ts {
		if x.Host != host {
			continue
		}
		if len(states) == 0 {
			states = append(states, x.From)
		}
		states = append(states, x.To)
	}
	return strings.Join(states, " ")
}

// The recordings that ship with the project are whole: each host goes from one
// state to the next without a gap, its transitions are within the recording,
// and both captures end with the mark.
func TestShippedRecordings(t *testing.T) {
	const dir = "../../testdata/captures/lab"
	truths, err := filepath.Glob(filepath.Join(dir, "*"+TruthFile+"*"))
	if err != nil {
		t.Fatal(err)
	}
	recorded, scenarios := map[string]bool{}, Scenarios()
	for _, truth := range truths {
		path, _, _ := strings.Cut(truth, TruthFile)
		r, err := ReadRecording(path)
		if err != nil {
			t.Error(err)
			continue
		}
		recorded[r.About.Scenario] = true
		if i := slices.IndexFunc(scenarios, func(s Scenario) bool { return s.Name == r.About.Scenario }); i < 0 {
			t.Errorf("%s is of no scenario", path)
		} else if s := scenarios[i]; s.Class != r.About.Class || s.Does != r.About.Does {
			t.Errorf("%s is of class %q (%s), the scenario of %q (%s)", path, r.About.Class, r.About.Does, s.Class, s.Does)
		}
		if len(r.Labels) == 0 {
			t.Errorf("%s has no label", path)
		}
		for _, gap := range gaps(r) {
			t.Errorf("%s: %s", path, gap)
		}
		for _, end := range []string{ClientCapture, ServerCapture} {
			name, err := Found(path + end)
			if err == nil {
				err = endsWithMark(name, r.About.End)
			}
			if err != nil {
				t.Errorf("%s%s: %v", path, end, err)
			}
		}
	}
	const most = 3 << 20 // octets that they may take in the project
	if size := sizeOf(t, dir); size > most {
		t.Errorf("they take %d octets, and may take %d", size, most)
	}
	for _, s := range scenarios {
		if !recorded[s.Name] && s.Class != Mixed { // of which one is enough
			t.Errorf("no recording of %s", s.Name)
		}
	}
}

// sizeOf is how many octets the files of a folder have together.
func sizeOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// gaps lists where the transitions of a recording do not follow each other.
func gaps(r Recording) (out []string) {
	state := map[string]string{}
	for _, x := range r.Transitions {
		conn := x.Host + " " + x.Local.String() + " " + x.Remote.String()
		if was, ok := state[conn]; ok && was != x.From && (was != "CLOSED" || x.From != "LISTEN") {
			out = append(out, conn+" was in "+was+" and left "+x.From)
		}
		state[conn] = x.To
		if x.Time > r.About.End {
			out = append(out, conn+" went on after the end")
		}
	}
	return out
}

// endsWithMark reads a capture through and checks the mark, which the kernel got
// a moment after the end. Hardly anything may come later.
func endsWithMark(path string, end int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return err
		}
	}
	r, err := pcapgo.NewReader(in)
	if err != nil {
		return err
	}
	var at, marked time.Time
	for {
		raw, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		// Each processor stamps what it sends or receives.
		if at.Sub(info.Timestamp) > time.Millisecond {
			return fmt.Errorf("time goes back at %v", info.Timestamp)
		}
		at = info.Timestamp
		if len(raw) >= etherLen && raw[12] == 0x88 && raw[13] == 0xb5 {
			marked = at
		}
	}
	if marked.IsZero() {
		return errors.New("the mark is not there")
	}
	if d := marked.Sub(time.Unix(0, end)); d < 0 || d > time.Second {
		return fmt.Errorf("the mark came %v after the end", d)
	}
	if d := at.Sub(marked); d > time.Second {
		return fmt.Errorf("the capture went on for %v after the mark", d)
	}
	return nil
}
