package compat_test

import (
	"testing"

	"github.com/lastack/lastack/reassembly/compat"
)

func TestCompleteness(t *testing.T) {
	tests := []struct {
		name string
		text string
		want uint8
	}{
		{"nothing", "", 0},
		{"SYN", "> S 100 0", 1},
		{"SYN twice", "> S 100 0; > S 100 0", 1},
		{"SYN with payload", "> S 100 0 +10", 9},
		{"later SYN with payload", "> S 100 0; > S 100 0 +10", 1},
		{"handshake", handshake, 7},
		{"handshake and data", exchange, 15},
		{"complete", exchange + "> FA 111 321; < FA 321 112; > A 112 322", 31},
		{"refused", "> S 100 0; < RA 0 101", 37},
		{"refused without ACK", "> S 100 0; < R 0 0", 33},
		{"RST with payload", "> S 100 0; < RA 0 101 +4", 41},
		{"data in place of the third ACK", "> S 100 0; < SA 300 101; > PA 101 301 +10", 11},
		{"FIN without ACK", handshake + "> F 101 0", 7},
		{"FIN without payload also acknowledges", "> S 100 0; < SA 300 101; > FA 101 301", 23},
		{"FIN with payload", "> S 100 0; < SA 300 101; > FA 101 301 +1", 27},
		{"one segment, not a SYN", "> PA 100 300 +10", 0},
		{"one RST", "> R 100 0", 0},
		{"two segments, no SYN", "> PA 100 300 +10; < A 300 110", 12},
		{"the first of two counts", "> FA 100 300; < R 300 0", 52},
		{"SYN behind its SYN-ACK", "< SA 300 101; > S 100 0; > A 101 301", 6},
		{"SYN-ACK alone", "< SA 300 101", 0},
		{"SYN-ACK twice", "< SA 300 101; < SA 300 101", 2},
		{"SYN and RST together", "> SR 100 0", 1},
		{"SYN and RST together, twice", "> SR 100 0; > SR 100 0", 33},
		{"payload without ACK", handshake + "> P 101 0 +10", 7},
		{"payload without ACK, then with it", handshake + "< P 301 0 +10; > P 101 0 +10; > PA 111 311 +10", 15},
		{"no flags", "> - 100 0; < RA 0 100", 36},
	}
	for _, tt := range tests {
		tr := transcript{clientPort: 40000, serverPort: listed, text: tt.text}
		if got := tr.run(t).Completeness(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A stream that begins by the reuse of its ports.
func TestCompletenessReused(t *testing.T) {
	tests := []struct {
		text string
		want uint8
	}{
		{"> S 100 0", 1},
		{"> S 100 0 +10", 1},
		{"> SR 100 0", 33},
		{exchange, 15},
	}
	for _, tt := range tests {
		tr := transcript{clientPort: 40000, serverPort: listed, text: tt.text}
		var s compat.State
		s.Reused()
		for _, st := range tr.steps(t) {
			s.Observe(&st.seg)
		}
		if got := s.Completeness(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.text, got, tt.want)
		}
		if got, want := s.History(tr.client()), tr.run(t).History(tr.client()); got != want {
			t.Errorf("%s: history %q, without reuse %q", tt.text, got, want)
		}
	}
}
