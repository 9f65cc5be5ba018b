//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
			if got := statesOf(r.Transitions, host); got != states {
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
