package compat_test

import (
	"net/netip"
	"testing"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

// The TCP values that the specification publishes as its baseline.
func TestCommunityID(t *testing.T) {
	tests := []struct {
		src, dst string
		seed     uint16
		want     string
	}{
		{"128.232.110.120:34855", "66.35.250.204:80", 0, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{"128.232.110.120:34855", "66.35.250.204:80", 1, "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
		{"[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943", "[2607:f8b0:400c:c03::1a]:25", 0, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
		{"[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943", "[2607:f8b0:400c:c03::1a]:25", 1, "1:eJYTW6AOzFLlSUoESovMjnu7rMw="},
	}
	for _, tt := range tests {
		a, b := netip.MustParseAddrPort(tt.src), netip.MustParseAddrPort(tt.dst)
		for _, ends := range [][2]netip.AddrPort{{a, b}, {b, a}} {
			src, dst := ends[0].Addr().As16(), ends[1].Addr().As16()
			tuple, _ := tcp.MakeTuple(&src, &dst, ends[0].Port(), ends[1].Port())
			tuple.Tag = 7
			if got := compat.CommunityID(&tuple, tt.seed); got != tt.want {
				t.Errorf("%v > %v, seed %d: %s, want %s", ends[0], ends[1], tt.seed, got, tt.want)
			}
		}
	}
}

// Equal addresses are ordered by their ports.
func TestCommunityIDOfOneHost(t *testing.T) {
	host := netip.MustParseAddr("127.0.0.1").As16()
	there, _ := tcp.MakeTuple(&host, &host, 2, 1)
	back, _ := tcp.MakeTuple(&host, &host, 1, 2)
	other, _ := tcp.MakeTuple(&host, &host, 1, 3)
	id := compat.CommunityID(&there, 0)
	if compat.CommunityID(&back, 0) != id {
		t.Error("the two directions differ")
	}
	if compat.CommunityID(&other, 0) == id {
		t.Error("another port has the same ID")
	}
}
