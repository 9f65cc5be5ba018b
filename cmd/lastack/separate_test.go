package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly/capture"
)

// tagged is a frame with a VLAN tag behind its addresses.
func tagged(f scenario.Frame, vlan byte) scenario.Frame {
	f.Data = slices.Concat(f.Data[:12], []byte{0x81, 0, 0, vlan}, f.Data[12:])
	f.Len += 4
	return f
}

// The two directions of a connection may carry different tags, so tags do not
// tell connections apart unless they are asked to.
func TestSeparate(t *testing.T) {
	var frames []scenario.Frame
	for _, f := range transcript(t, 0).Frames {
		frames = append(frames, tagged(f, 10), tagged(f, 20))
	}
	for i := range frames {
		frames[i].At += int64(i) * 1e7 // copies of one frame would lie closer
	}
	file := filepath.Join(t.TempDir(), "vlan.pcap")
	if err := os.WriteFile(file, scenario.Pcap(frames, 0), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `"flows":1,`},
		{[]string{"--separate", "tunnel"}, `"flows":1,`},
		{[]string{"--separate", "vlan"}, `"flows":2,`},
		{[]string{"--separate", "vlan,tunnel"}, `"flows":2,`},
	} {
		if out := linesOf(t, append(c.args, file)...); !strings.Contains(out, `"type":"summary","packets":10,`+c.want) {
			t.Errorf("%v: not %s in %s", c.args, c.want, out[strings.Index(out, `{"type":"summary`):])
		}
	}
}

// A filter does not look behind VLAN tags of its own accord: when it matches
// nothing for that reason, that is said.
func TestFilterMissesTags(t *testing.T) {
	if capture.LibpcapVersion() == "" {
		t.Skip("without libpcap there are no filters")
	}
	var frames []scenario.Frame
	for _, f := range transcript(t, 0).Frames {
		frames = append(frames, tagged(f, 10))
	}
	file := filepath.Join(t.TempDir(), "vlan.pcap")
	if err := os.WriteFile(file, scenario.Pcap(frames, 0), 0o666); err != nil {
		t.Fatal(err)
	}
	if out := linesOf(t, "-r", file, "tcp"); !strings.Contains(out, "'vlan and (tcp)' looks behind the tags") {
		t.Errorf("no hint at the tags in %s", out)
	}
	if out := linesOf(t, "-r", file, "vlan and (tcp)"); !strings.Contains(out, `"type":"summary","packets":5,"flows":1,`) {
		t.Errorf("the hint leads to %s", out)
	}
}
