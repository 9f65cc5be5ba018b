package main

import (
	"testing"
	"time"

	"github.com/lastack/lastack/report"
)

func TestParseInstant(t *testing.T) {
	east := time.FixedZone("EAST", 2*3600)
	start := time.Date(2026, 1, 31, 14, 0, 2, 5e8, time.UTC)
	at := func(s string) int64 {
		u, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return u.UnixNano()
	}
	for _, c := range []struct {
		text string
		zone *time.Location
		want int64
	}{
		{"2026-01-31T14:10:00Z", east, at("2026-01-31T14:10:00Z")},
		{"2026-01-31T14:10:00.25+01:00", time.UTC, at("2026-01-31T13:10:00.25Z")},
		{"2026-01-31 14:10:00.25+01:00", time.UTC, at("2026-01-31T13:10:00.25Z")},
		{"2026-01-31T14:10:00.123456789", time.UTC, at("2026-01-31T14:10:00.123456789Z")},
		{"2026-01-31 14:10:00", east, at("2026-01-31T12:10:00Z")},
		{"2026-01-31 14:10", time.UTC, at("2026-01-31T14:10:00Z")},
		{"2026-02-01", east, at("2026-01-31T22:00:00Z")},
		{"1769868600", east, 1769868600e9},
		{"@1769868600.5", time.UTC, 1769868600_500000000},
		{"1769868600.1234567891", time.UTC, 1769868600_123456789},
		{"0", time.UTC, 0},
		{"+90s", time.UTC, at("2026-01-31T14:01:32.5Z")},
		{"+90", time.UTC, at("2026-01-31T14:01:32.5Z")},
		{"+0.25", time.UTC, at("2026-01-31T14:00:02.75Z")},
		{"+1h30m", time.UTC, at("2026-01-31T15:30:02.5Z")},
		{"+0s", time.UTC, start.UnixNano()},
		{"14:10:00", time.UTC, at("2026-01-31T14:10:00Z")},
		{"16:10:00.5", east, at("2026-01-31T14:10:00.5Z")},
		{"14:00:02", time.UTC, at("2026-01-31T14:00:02Z")}, // the capture's first second
		{"14:00:02.75", time.UTC, at("2026-01-31T14:00:02.75Z")},
		{"14:00", time.UTC, at("2026-01-31T14:00:00Z")}, // and its first minute
		{"14:00:01", time.UTC, at("2026-02-01T14:00:01Z")},
		{"13:59", time.UTC, at("2026-02-01T13:59:00Z")},
		{"00:05", time.UTC, at("2026-02-01T00:05:00Z")},
		{"end", time.UTC, report.EndOfInput},
	} {
		i, err := parseInstant("--at", c.text, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := i.in(start.UnixNano()); got != c.want || i.kind == 0 {
			t.Errorf("%s is %s, want %s", c.text, time.Unix(0, got).UTC(), time.Unix(0, c.want).UTC())
		}
	}
	if i, err := parseInstant("--at", "", time.UTC); err != nil || i.kind != 0 {
		t.Errorf("nothing is %v, %v", i, err)
	}
	for _, s := range []string{"yesterday", "-5s", "+-5s", "+", "@", "+90x", "+1000000h", "24:00", "12:60", "1e9", "1769868600000",
		"99999999999", "2026-13-01", "2026-01-31T14:10:00X", "0001-01-01T00:00:00Z", "9999-01-01", "1.2.3", "0x10", "1_000", "NaN", "Inf", " "} {
		if i, err := parseInstant("--at", s, time.UTC); err == nil {
			t.Errorf("%q is %v", s, i)
		}
	}
}

// A time of day, seen from an input that began at 14:00 and ended at 14:30, or
// that ran over midnight.
func TestTimeOfDay(t *testing.T) {
	day := func(s string) int64 {
		u, err := time.Parse("02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(2026, 1, u.Day(), u.Hour(), u.Minute(), 0, 0, time.UTC).UnixNano()
	}
	for _, c := range []struct{ text, first, last, in, earlier, until string }{
		{"14:10", "20 14:00", "20 14:30", "20 14:10", "", "20 14:10"},
		{"14:40", "20 14:00", "20 14:30", "20 14:40", "", "20 14:40"},
		{"23:00", "20 14:00", "20 14:30", "20 23:00", "", "20 23:00"},
		{"08:00", "20 14:00", "20 14:30", "21 08:00", "20 08:00", "20 08:00"},
		{"00:10", "20 23:50", "20 23:59", "21 00:10", "20 00:10", "21 00:10"},
		{"00:10", "20 23:50", "21 00:30", "21 00:10", "20 00:10", "21 00:10"},
		{"23:55", "20 23:50", "21 00:30", "20 23:55", "", "21 23:55"},
		{"13:00", "20 14:00", "21 14:30", "21 13:00", "20 13:00", "21 13:00"},
	} {
		i, err := parseInstant("--at", c.text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		earlier := int64(0)
		if c.earlier != "" {
			earlier = day(c.earlier)
		}
		first, last := day(c.first), day(c.last)
		if got := i.in(first); got != day(c.in) {
			t.Errorf("%s from %s on is %s", c.text, c.first, time.Unix(0, got).UTC())
		}
		if got := i.earlier(first); got != earlier {
			t.Errorf("%s before %s is %s", c.text, c.first, time.Unix(0, got).UTC())
		}
		if got := i.until(first, last); got != day(c.until) {
			t.Errorf("%s at the end, %s, is %s", c.text, c.last, time.Unix(0, got).UTC())
		}
	}
}

// Live, a time of day is the next one, and before the first packet others count
// from the beginning.
func TestNext(t *testing.T) {
	now := time.Date(2024, 3, 1, 14, 10, 30, 5, time.UTC)
	for in, want := range map[string]string{
		"14:10": "2024-03-02T14:10:00Z", "14:11": "2024-03-01T14:11:00Z", "14:10:30": "2024-03-02T14:10:30Z",
		"14:10:31": "2024-03-01T14:10:31Z", "2024-03-05": "2024-03-05T00:00:00Z", "+90s": "2024-03-01T14:12:00Z", "end": "",
	} {
		i, err := parseInstant("--until", in, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if ns := i.next(now); ns != 0 {
			got = time.Unix(0, ns).UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
