//go:build cgo

package capture

import (
	"encoding/hex"
	"strings"
	"testing"
)

// An IPv4 TCP segment from 10.0.0.1 port 1234 to 10.0.0.2 port 80.
const segment = "4500002800010000400666cd0a0000010a000002" + "04d200500000000100000000500220000000" + "0000"

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// linkFrames are the segment under link types whose numbers need eight and
// more bits, and ones for which LINKTYPE_ and DLT_ differ.
func linkFrames(t testing.TB) map[uint16][]byte {
	return map[uint16][]byte{
		1:   bytesOf(t, "020000000002 020000000001 0800"+segment),
		0:   bytesOf(t, "02000000"+segment),
		101: bytesOf(t, segment),
		12:  bytesOf(t, segment),
		113: bytesOf(t, "0000 0001 0006 020000000001 0000 0800"+segment),
		228: bytesOf(t, segment),
		276: bytesOf(t, "0800 0000 00000001 0001 00 06 0200000000010000"+segment),
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		expr string
		want bool
	}{
		{"", true},
		{"tcp", true},
		{"udp", false},
		{"tcp port 80", true},
		{"tcp port 81", false},
		{"host 10.0.0.2 and tcp[tcpflags] & tcp-syn != 0", true},
		{"src port 80", false},
		{"greater 1000", true}, // by the length on the wire
		{"ip6 or arp", false},
	} {
		f, err := CompileFilter(c.expr)
		if err != nil {
			t.Errorf("%q: %v", c.expr, err)
			continue
		}
		for range 2 { // the second time from what was compiled
			for link, data := range linkFrames(t) {
				got, err := f.Match(link, &Frame{LinkType: link, WireLen: 1000, Data: data})
				if err != nil || got != c.want {
					t.Errorf("%q on link type %d: %v, %v", c.expr, link, got, err)
				}
			}
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for _, expr := range []string{"tcp and", "prot tcp foo", "tcp prot 80", "host", "port nosuchservice"} {
		if _, err := CompileFilter(expr); err == nil || !strings.HasPrefix(err.Error(), "filter \""+expr+"\": ") {
			t.Errorf("%q: %v", expr, err)
		}
	}
	// An expression for which Ethernet is not enough is not wrong for that.
	f, err := CompileFilter("type data and tcp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Match(1, &Frame{LinkType: 1}); err == nil || !strings.Contains(err.Error(), "cannot be used with link type 1: ") {
		t.Errorf("on Ethernet: %v", err)
	}
	f, err = CompileFilter("vlan 5")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Match(1, &Frame{LinkType: 1}); err != nil {
		t.Errorf("on Ethernet: %v", err)
	}
	for range 2 {
		if _, err := f.Match(101, &Frame{LinkType: 101}); err == nil || !strings.Contains(err.Error(), "link type 101: ") {
			t.Errorf("on raw IP: %v", err)
		}
	}
	if _, err := f.Match(9999, &Frame{LinkType: 9999}); err == nil || !strings.Contains(err.Error(), "link type 9999: ") {
		t.Errorf("on an unknown link type: %v", err)
	}
}

// Frames without data reach libpcap, too.
func TestFilterEmptyFrame(t *testing.T) {
	for expr, want := range map[string]bool{"tcp": false, "": true, "less 10": true} {
		f, err := CompileFilter(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Match(1, &Frame{LinkType: 1}); got != want || err != nil {
			t.Errorf("%q: %v, %v", expr, got, err)
		}
	}
}

func TestFilterNoAllocations(t *testing.T) {
	f, err := CompileFilter("tcp port 80")
	if err != nil {
		t.Fatal(err)
	}
	eth := Frame{LinkType: 1, WireLen: 60, Data: linkFrames(t)[1]}
	raw := Frame{LinkType: 101, WireLen: 60, Data: linkFrames(t)[101]}
	n := testing.AllocsPerRun(100, func() {
		for _, fr := range []*Frame{&eth, &raw} {
			if ok, err := f.Match(fr.LinkType, fr); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
