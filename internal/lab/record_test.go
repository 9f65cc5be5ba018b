//go:build linux

package lab

import (
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
	if os.Geteuid() != 0 {
		t.Skip("it needs root, to make network namespaces")
	}
	if _, err := os.Stat(filepath.Join(tracefs, "instances")); err != nil {
		t.Skipf("it needs the kernel's tracing: %v", err)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("it needs TAP interfaces: %v", err)
	}
	scenarios := Scenarios()
	i := slices.IndexFunc(scenarios, func(s Scenario) bool { return s.Name == "normal" })
	dir := t.TempDir()
	if err := Record(dir, scenarios[i:i+1]); err != nil {
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
	truths, err := filepath.Glob(filepath.Join(dir, "*"+TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, truth := range truths {
		path := strings.TrimSuffix(truth, TruthFile)
		r, err := ReadRecording(path)
		if err != nil {
			t.Error(err)
			continue
		}
		recorded[r.About.Scenario] = true
		if len(r.Labels) == 0 {
			t.Errorf("%s has no label", path)
		}
		for _, gap := range gaps(r) {
			t.Errorf("%s: %s", path, gap)
		}
		for _, end := range []string{ClientCapture, ServerCapture} {
			if err := endsWithMark(path+end, r.About.End); err != nil {
				t.Errorf("%s%s: %v", path, end, err)
			}
		}
	}
	for _, s := range Scenarios() {
		if !recorded[s.Name] {
			t.Errorf("no recording of %s", s.Name)
		}
	}
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

// endsWithMark reads a capture through and checks its last frame, which the
// kernel got a moment after the end.
func endsWithMark(path string, end int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return err
	}
	var last []byte
	var at time.Time
	for {
		raw, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if info.Timestamp.Before(at) {
			return fmt.Errorf("time goes back at %v", info.Timestamp)
		}
		last, at = raw, info.Timestamp
	}
	if len(last) < etherLen || last[12] != 0x88 || last[13] != 0xb5 {
		return errors.New("the last frame is not the mark")
	}
	if d := at.Sub(time.Unix(0, end)); d < 0 || d > time.Second {
		return fmt.Errorf("the mark came %v after the end", d)
	}
	return nil
}
