//go:build linux

package lab

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

func TestTakes(t *testing.T) {
	ss := []Scenario{
		{Name: "a"}, {Name: "b", Only: IPv4}, {Name: "c", Timestamps: true},
		{Name: "d", Tail: longTail}, {Name: "mixed-loss-5", Class: Mixed}, {Name: "e"},
	}
	names := func(ts []Take) string {
		var out []string
		for _, t := range ts {
			out = append(out, t.Name())
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		what string
		got  []Take
		want string
	}{
		{"Plain", Plain(ss[:3]), "a-v4 a-v6 b-v4 c-v4 c-v6"},
		{"Takes", Takes([]Scenario{{Name: "a", Only: IPv4}, {Name: "b", Only: IPv6, Timestamps: true}, {Name: "c", Large: true}}),
			"a-v4 a-v4-offload a-v4-bare a-v4-bare-offload b-v6 b-v6-offload c-v4 c-v4-bare-offload c-v6 c-v6-bare-offload"},
		{"Once", Once(ss), "a-v4 b-v4 c-v6 d-v4 mixed-loss-5-v4 e-v6"},
		{"Short", Short(ss), "a-v4 b-v4 c-v6 e-v6 mixed-loss-5-v4"},
	} {
		if got := names(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	all := strings.Fields(names(Takes(Scenarios())))
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) || n+n/4 > maxNetworks {
		t.Errorf("%d takes with %d names", len(all), n)
	}
}

func TestStalls(t *testing.T) {
	begin := time.Now()
	s := stalls{seen: []stall{{begin.Add(-time.Second), time.Hour}, {begin.Add(time.Second), time.Minute}, {begin.Add(2 * time.Second), time.Second}}}
	if got := s.since(begin); got != time.Minute {
		t.Errorf("got %v", got)
	}
}

func TestNetworksHaveAddressesOfTheirOwn(t *testing.T) {
	seen := map[string]uint16{}
	for n := range uint16(maxNetworks) {
		for half := range byte(2) {
			s := subnet(9, n, half)
			for _, p := range []string{s.V4.String(), s.V6.String()} {
				if other, ok := seen[p]; ok || s.V4.Masked() != s.V4 || s.V6.Masked() != s.V6 {
					t.Fatalf("network %d has %s, and so has %d", n, p, other)
				}
				seen[p] = n
			}
			for _, host := range []byte{routerNumber, lanNumber, serverNumber, clientNumber} {
				if h := s.host(host); !s.V4.Contains(h.V4.Addr()) || !s.V6.Contains(h.V6.Addr()) {
					t.Fatalf("host %d of network %d is outside it: %v", host, n, h)
				}
			}
		}
	}
}

// The fate of a connection's segments is the same in every run, whatever goes
// on beside it.
func TestHazardRepeats(t *testing.T) {
	play := func(noise bool) (fates []Fate) {
		rule := hazard(15, 15)
		frames := forged(t, ToServer, Forged{Flags: tcp.ACK, Seq: 1, Len: 10})
		mine := parseFrame(ToServer, frames[0])
		other := parseFrame(ToClient, forged(t, ToClient, Forged{Flags: tcp.ACK})[0])
		for range 1000 {
			if noise {
				rule(&other)
			}
			fates = append(fates, rule(&mine))
		}
		return fates
	}
	alone := play(false)
	if !slices.Equal(alone, play(true)) {
		t.Error("other segments change the fate of a connection's")
	}
	var drops, copies, delays int
	for _, f := range alone {
		switch {
		case f.Drop:
			drops++
		case f.Copies > 0:
			copies++
		case f.Delay > 0 && f.Delay <= reorderBy+time.Millisecond:
			delays++
		}
	}
	for what, n := range map[string]int{"lost": drops, "repeated": copies, "delayed": delays} {
		if n < 100 || n > 200 {
			t.Errorf("of 1,000 segments %d are %s, not about 150", n, what)
		}
	}
}

func TestTSVal(t *testing.T) {
	raw := forged(t, ToServer, Forged{Flags: tcp.SYN, MSS: 1460})[0]
	f := parseFrame(ToServer, raw)
	if got := f.TSVal(); got != 0 {
		t.Errorf("a segment without timestamps has %d", got)
	}
	opts := []byte{2, 4, 5, 0xb4, 1, 1, 8, 10, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0}
	long := append(append([]byte(nil), raw[:f.tcp+minTCPLen]...), opts...)
	long[f.tcp+flagsField] = byte(5+len(opts)/4) << 4
	f.Raw = long
	if got := f.TSVal(); got != 0xdeadbeef {
		t.Errorf("got %#x", got)
	}
	for n := f.tcp + minTCPLen; n < len(long); n++ {
		f.Raw = long[:n]
		if got := f.TSVal(); got != 0 && n < len(long)-4 {
			t.Errorf("%d octets of %d give %#x", n, len(long), got)
		}
	}
}
