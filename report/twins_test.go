package report

import (
	"slices"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// look is how a capture shows a segment.
type look func(s *tcp.Segment, n int)

func withIPID(s *tcp.Segment, n int) { s.IPID = uint16(n + 1) }
func withTimestamps(s *tcp.Segment, n int) {
	s.Options, s.TSVal, s.TSEcr = tcp.OptTimestamps, uint32(n), uint32(n)
}
func plain(s *tcp.Segment, _ int)       { s.IPID = 1 }
func withoutAnything(*tcp.Segment, int) {}

// talkOf is n segments of one connection, one each 50 ms.
func talkOf(n int, l look) []tcp.Segment {
	var a, b [16]byte
	a[15], b[15] = 1, 2
	t, side := tcp.MakeTuple(&a, &b, 1024, 80)
	out := make([]tcp.Segment, n)
	for i := range out {
		out[i] = tcp.Segment{At: int64(i) * 50 * millisecond, Tuple: t, From: side, Kind: tcp.KindTCP,
			Flags: tcp.ACK, Seq: tcp.Seq(100 * i), Ack: 7, Len: 100}
		l(&out[i], i)
	}
	return out
}

// seenBy is the segments as source sees them, late by a while.
func seenBy(source int, late time.Duration, segs []tcp.Segment) []tcp.Segment {
	out := slices.Clone(segs)
	for i := range out {
		out[i].At += int64(late)
		out[i].Ref = tcp.Ref(source, uint64(i+1))
	}
	return out
}

// feed gives segments in order of time and says which pairs were found.
func feed(w *Twins, parts ...[]tcp.Segment) (found [][2]int) {
	all := slices.Concat(parts...)
	slices.SortStableFunc(all, func(a, b tcp.Segment) int { return int(a.At - b.At) })
	for i := range all {
		if a, b, ok := w.Add(&all[i]); ok {
			found = append(found, [2]int{a, b})
		}
	}
	return found
}

func TestTwins(t *testing.T) {
	for _, c := range []struct {
		name  string
		looks look
		late  time.Duration
		want  bool
	}{
		{"IP ID", withIPID, 10 * time.Millisecond, true},
		{"timestamps", withTimestamps, 10 * time.Millisecond, true},
		{"nothing to tell copies by", withoutAnything, 10 * time.Millisecond, true},
		{"constant IP ID", plain, 70 * time.Millisecond, true},
		{"clocks an hour apart", withIPID, time.Hour, true},
		{"copies from one place", withIPID, 2 * time.Millisecond, false},
	} {
		segs := talkOf(8, c.looks)
		found := feed(NewTwins(nil), seenBy(0, 0, segs), seenBy(1, c.late, segs))
		if c.want != (len(found) > 0 && found[0] == [2]int{0, 1}) {
			t.Errorf("%s: found %v", c.name, found)
		}
	}
}

// exchange is n segments of one connection, by turns from one side and the
// other, as taps at both ends see them: those of side A pass tap 0 first.
func exchange(n int, l look, way, clock time.Duration) (zero, one []tcp.Segment) {
	zero, one = seenBy(0, 0, talkOf(n, l)), seenBy(1, 0, talkOf(n, l))
	for i := range zero {
		late := int64(way)
		if i%2 == 1 {
			late = -late
			zero[i].From, one[i].From = zero[i].From.Other(), one[i].From.Other()
		}
		one[i].At += late + int64(clock)
	}
	return zero, one
}

// Two taps that are near each other in time are told from one place by what
// passes the one first and what the other.
func TestCrossed(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for _, c := range []struct {
		name       string
		n          int
		looks      look
		way, clock time.Duration
		want       bool
	}{
		{"a handshake is enough", 3, withIPID, 1200 * us, 0, true},
		{"with timestamps alone", 4, withTimestamps, 600 * us, 0, true},
		{"with nothing to tell copies by", 4, withoutAnything, 1500 * us, 0, true},
		{"clocks that hide it", 6, withIPID, 600 * us, -600 * us, true},
		{"two segments are too few", 2, withIPID, 1200 * us, 0, false},
		{"a router's two interfaces", 40, withIPID, 100 * us, 0, false},
		{"one place, two clocks", 40, withIPID, 0, 1900 * us, false},
		{"farther apart", 3, withIPID, 30 * ms, 0, true},
	} {
		zero, one := exchange(c.n, c.looks, c.way, c.clock)
		if found := feed(NewTwins(nil), zero, one); c.want != (len(found) > 0 && found[0] == [2]int{0, 1}) {
			t.Errorf("%s: found %v", c.name, found)
		}
	}
}

// Where the packets of a connection take two paths, and each path is a source, a
// retransmission may pass the other one than what it repeats.
func TestTwoPaths(t *testing.T) {
	for _, l := range []look{withoutAnything, plain, withIPID, withTimestamps} {
		zero, one := exchange(60, l, 0, 0)
		var parts [2][]tcp.Segment
		for i := range zero {
			path := [...][]tcp.Segment{zero, one}
			parts[i%4/2] = append(parts[i%4/2], path[i%4/2][i])
			if i%10 < 2 { // lost behind the tap, and sent again
				again := path[1-i%4/2][i]
				l(&again, 1000+i)
				again.At += 220 * millisecond
				parts[1-i%4/2] = append(parts[1-i%4/2], again)
			}
		}
		if found := feed(NewTwins(nil), parts[0], parts[1]); found != nil {
			t.Errorf("found %v", found)
		}
	}
}

// A capture cut in pieces is no pair of twins, although segments are repeated in
// the next piece: they have a new IP ID, or none that tells, but the pieces did
// not run at the same time.
func TestPieces(t *testing.T) {
	for _, l := range []look{withoutAnything, plain, withIPID, withTimestamps} {
		segs := talkOf(40, l)
		repeats := seenBy(1, 20*time.Second, segs[30:])
		for i := range repeats {
			l(&repeats[i], 1000+i)
		}
		if found := feed(NewTwins(nil), seenBy(0, 0, segs), repeats); found != nil {
			t.Errorf("found %v", found)
		}
	}
}

// Captures of different connections at the same time are no twins.
func TestStrangers(t *testing.T) {
	other := talkOf(40, withoutAnything)
	for i := range other {
		other[i].Tuple.PortA++
	}
	found := feed(NewTwins(nil), seenBy(0, 0, talkOf(40, withoutAnything)), seenBy(1, 10*time.Millisecond, other))
	if found != nil {
		t.Errorf("found %v", found)
	}
}

// Once apart, twins are not found again, and a third source is.
func TestGroupsOfTwins(t *testing.T) {
	segs := talkOf(8, withIPID)
	parts := [][]tcp.Segment{
		seenBy(0, 0, segs), seenBy(1, 10*time.Millisecond, segs), seenBy(2, 25*time.Millisecond, segs),
	}
	var twins [][2]int
	for range 5 {
		groups := Groups(3, twins)
		found := feed(NewTwins(func(source int) int { return groups[source] }), parts...)
		if len(found) == 0 {
			break
		}
		twins = append(twins, found[0])
	}
	if got := Groups(3, twins); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("groups %v after %v", got, twins)
	}
	if got := Groups(4, [][2]int{{0, 1}, {2, 3}}); !slices.Equal(got, []int{0, 1, 0, 1}) {
		t.Errorf("groups %v", got)
	}
}

// Segments of one group keep their tuple, those of another do not share it.
func TestTagGroup(t *testing.T) {
	s := talkOf(1, plain)[0]
	zero, one := s, s
	TagGroup(&zero, 0)
	TagGroup(&one, 1)
	if zero.Tuple != s.Tuple || one.Tuple == s.Tuple {
		t.Errorf("tags %d, %d", zero.Tuple.Tag, one.Tuple.Tag)
	}
}
