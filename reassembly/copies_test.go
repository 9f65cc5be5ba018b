package reassembly

import (
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// For how long the same headers are a copy: less than the least time after which a
// host sends them anew. Windows repeats a refused SYN after 498 ms.
func TestCopies(t *testing.T) {
	const stamped = tcp.OptTimestamps
	for _, c := range []struct {
		name  string
		s     tcp.Segment
		after time.Duration
		want  bool
	}{
		{"payload", tcp.Segment{Flags: tcp.ACK, Len: 100}, time.Millisecond, true},
		{"payload, anew", tcp.Segment{Flags: tcp.ACK, Len: 100}, 5 * time.Millisecond, false},
		{"SYN", tcp.Segment{Flags: tcp.SYN}, 100 * time.Millisecond, true},
		{"refused SYN, anew", tcp.Segment{Flags: tcp.SYN}, 498 * time.Millisecond, false},
		{"FIN", tcp.Segment{Flags: tcp.FIN | tcp.ACK}, 300 * time.Millisecond, false},
		{"FIN with a timestamp", tcp.Segment{Flags: tcp.FIN | tcp.ACK, Options: stamped, TSVal: 5}, 300 * time.Millisecond, true},
		{"SYN with a timestamp", tcp.Segment{Flags: tcp.SYN, Options: stamped, TSVal: 5}, 300 * time.Millisecond, true},
		{"refused SYN, its timestamp always 0", tcp.Segment{Flags: tcp.SYN, Options: stamped}, 300 * time.Millisecond, false},
		{"SYN-ACK", tcp.Segment{Flags: tcp.SYN | tcp.ACK}, 100 * time.Millisecond, true},
		{"SYN-ACK, anew", tcp.Segment{Flags: tcp.SYN | tcp.ACK}, time.Second, false},
		{"SYN-ACK with a timestamp", tcp.Segment{Flags: tcp.SYN | tcp.ACK, Options: stamped, TSVal: 5}, 300 * time.Millisecond, true},
		{"with an identification", tcp.Segment{Flags: tcp.ACK, IPID: 7}, 900 * time.Millisecond, true},
		{"with one, long after", tcp.Segment{Flags: tcp.ACK, IPID: 7}, 1100 * time.Millisecond, false},
	} {
		var seen copies
		c.s.At = 1e9
		if seen.seen(&c.s) {
			t.Errorf("%s: the first is a copy", c.name)
		}
		c.s.At += int64(c.after)
		if got := seen.seen(&c.s); got != c.want {
			t.Errorf("%s after %s: a copy is %t, want %t", c.name, c.after, got, c.want)
		}
	}
}
