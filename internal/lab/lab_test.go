//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lastack/lastack/reassembly/tcp"
)

// brief is "FROM TO" after the time in ms, or the times between which it was.
func (t Transition) brief() string {
	at := fmt.Sprint(t.Time / ms)
	if t.Until != 0 {
		at += fmt.Sprint("-", t.Until/ms)
	}
	return at + " " + t.From + " " + t.To
}

// ruleNames are the names of all rules, which never change.
const ruleNames = `fin-unanswered fin-answered-late late-close-reset write-after-fin fin-unacked last-ack-lost
ack-of-fin-lost time-wait-missing close-behind-zero-window half-close simultaneous-close abortive-close
rst-unread-data rst-after-fin rst-listener-closed rst-on-dead-connection rst-forged rst-challenged keepalive-failed
retransmission-timeout time-wait-assassinated connection-refused connection-rejected syn-unanswered
syn-retransmitted handshake-ack-lost accept-queue-overflow syn-flood handshake-abandoned simultaneous-open
syn-on-live-connection bad-syn-ack syn-dropped-by-paws tuple-reused tuple-reuse-rejected late-duplicate
port-exhaustion time-wait-churn idle-timeout-close synchronized-onset`

func TestScenarios(t *testing.T) {
	rules := strings.Fields(ruleNames)
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if !name.MatchString(s.Name) || seen[s.Name] {
			t.Errorf("%q is no name, or not unique", s.Name)
		}
		seen[s.Name] = true
		if !strings.HasSuffix(s.Does, ".") || s.Play == nil {
			t.Errorf("%s: what it does is no sentence, or nothing plays it", s.Name)
		}
		for _, r := range slices.Concat(s.Expect, s.ExpectServer, s.Possible) {
			if !slices.Contains(rules, r) {
				t.Errorf("%s expects %q, which is no rule", s.Name, r)
			}
		}
		if s.Class == "" {
			t.Errorf("%s has no class", s.Name)
		}
	}
}

func TestTruthFileRoundTrip(t *testing.T) {
	ap := netip.MustParseAddrPort
	want := Recording{
		About: About{Scenario: "normal", Family: "v4", Does: "x < y", Client: "10.0.0.1", Server: "10.0.0.2", OneWayNS: 1, Kernel: "6.18", End: 5},
		Labels: []Label{
			{Behaviour: "a", Client: ap("10.0.0.1:1"), Server: ap("[2001:db8::1]:2"), Did: "d", Expect: []string{}},
			{Behaviour: "b", Client: ap("10.0.0.1:1"), Server: ap("10.0.0.2:2"), Expect: []string{"half-close"}, ExpectServer: []string{}},
		},
		Transitions: []Transition{{Time: 1, Until: 2, Host: "client", Local: ap("10.0.0.1:1"), Remote: ap("10.0.0.2:2"),
			From: "LAST_ACK", To: "CLOSED", Source: fromTrace}},
	}
	lines := []truthLine{{About: &want.About}, {Label: &want.Labels[0]}, {Label: &want.Labels[1]}, {Transition: &want.Transitions[0]}}
	path := filepath.Join(t.TempDir(), "x")
	if err := writeLines(path+TruthFile, lines); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestTruthFileRefuses(t *testing.T) {
	for name, content := range map[string]string{
		"nothing":         "",
		"no about":        `{"label":{"behaviour":"a","client":"10.0.0.1:1","server":"10.0.0.1:2","did":"","expect":[]}}`,
		"an empty object": `{}`,
		"another field":   `{"about":{"scenario":"a"},"more":1}`,
		"half a line":     `{"about":{"scenario":`,
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path+TruthFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadRecording(path); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

// The labels that ship with the demonstration's capture are those of the
// behaviours as they are now.
func TestDemonstrationLabels(t *testing.T) {
	labels, err := ReadLabels("../../testdata/captures/pool-leak.labels.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]int{}, map[string]int{}
	for _, b := range poolBehaviours() {
		want[b.name] = b.count
		if b.name == "reused-tuple" {
			want["server-closes"]++ // the first connection of the tuple
		}
	}
	for _, l := range labels {
		got[l.Behaviour]++
		i := slices.IndexFunc(poolBehaviours(), func(b behaviour) bool { return b.name == l.Behaviour })
		if i < 0 || !slices.Equal(l.Expect, poolBehaviours()[i].expect) {
			t.Errorf("%v: %s expects %v", l.Client, l.Behaviour, l.Expect)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// forged are frames of both families, made by a library.
func forged(t *testing.T, d Dir, s Forged) [][]byte {
	t.Helper()
	b := &Bench{Network: &Network{
		Client: &Host{V4: netip.MustParseAddr("10.0.0.11"), V6: netip.MustParseAddr("2001:db8::b")},
		Server: &Host{V4: netip.MustParseAddr("10.0.0.5"), V6: netip.MustParseAddr("2001:db8::5")},
	}}
	var out [][]byte
	for _, f := range []Family{IPv4, IPv6} {
		b.Family = f
		out = append(out, b.Forge(d, 40001, s))
	}
	return out
}

func TestParseFrame(t *testing.T) {
	for _, raw := range forged(t, ToServer, Forged{Flags: tcp.PSH | tcp.ACK | tcp.FIN, Seq: 0xfffffffe, Ack: 7, Len: 5, MSS: 1460}) {
		f := parseFrame(ToServer, append(raw, 0, 0)) // with Ethernet's padding
		if f.Flags != tcp.PSH|tcp.ACK|tcp.FIN || f.Seq != 0xfffffffe || f.Ack != 7 || f.Len != 5 ||
			f.Src.Port() != 40001 || f.Dst.Port() != servicePort || f.End() != 4 {
			t.Errorf("%+v", f)
		}
		for n := range raw {
			if short := parseFrame(ToServer, raw[:n]); short.IsTCP() {
				t.Errorf("%d of %d octets are read as %+v", n, len(raw), short)
			}
		}
	}
}

func TestWireKnowsWhatAcknowledgesAFIN(t *testing.T) {
	w := &Wire{fins: map[flowDir]tcp.Seq{}, last: map[Dir]Frame{}}
	var acks []bool
	w.Add(func(f *Frame) Fate {
		acks = append(acks, f.PureACK() && f.AcksFIN)
		return Fate{}
	})
	for _, s := range []struct {
		d Dir
		s Forged
	}{
		{ToServer, Forged{Flags: tcp.ACK, Seq: 10, Ack: 20}},
		{ToServer, Forged{Flags: tcp.FIN | tcp.ACK, Seq: 0xffffffff, Ack: 20}},
		{ToClient, Forged{Flags: tcp.ACK, Seq: 20, Ack: 0xffffffff}}, // not yet
		{ToClient, Forged{Flags: tcp.ACK, Seq: 20, Ack: 0}},
		{ToClient, Forged{Flags: tcp.FIN | tcp.ACK, Seq: 20, Ack: 0}}, // not pure
		{ToServer, Forged{Flags: tcp.ACK, Seq: 0, Ack: 21}},
		{ToServer, Forged{Flags: tcp.SYN, Seq: 50}}, // a new connection
		{ToClient, Forged{Flags: tcp.SYN | tcp.ACK, Seq: 90, Ack: 51}},
		{ToServer, Forged{Flags: tcp.ACK, Seq: 51, Ack: 91}},
	} {
		f := parseFrame(s.d, forged(t, s.d, s.s)[0])
		w.judge(&f)
	}
	want := []bool{false, false, false, true, false, true, false, false, false}
	if !slices.Equal(acks, want) {
		t.Errorf("got %v, want %v", acks, want)
	}
	if got := w.Last(ToServer).Ack; got != 91 {
		t.Errorf("the last segment to the server acknowledges %d", got)
	}
}

func TestDropFirst(t *testing.T) {
	for n, want := range map[int]int{0: 0, 2: 2, -1: 5} {
		rule := DropFirst(n, func(f *Frame) bool { return f.Len > 0 })
		dropped := 0
		for i := range 10 {
			if rule(&Frame{Len: uint32(i % 2)}).Drop {
				dropped++
			}
		}
		if dropped != want {
			t.Errorf("DropFirst(%d) dropped %d of 5", n, dropped)
		}
	}
}
