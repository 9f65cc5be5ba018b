package report

import (
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1,000", 48210: "48,210", 1234567: "1,234,567", 1<<64 - 1: "18,446,744,073,709,551,615",
	} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"web-7.pcap": "web-7.pcap", "\x1b[31m\n\a": "?[31m??", "caf\u00e9 \u202e": "caf\u00e9 ?", "\xff": "\ufffd",
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 1, 31, 23, 59, 58, 123456789, time.UTC).UnixNano()
	later := at + int64(5*time.Second)
	east := time.FixedZone("EAST", 3600)
	for _, c := range []struct {
		name        string
		clock       Clock
		stamp, span string
	}{
		{"utc", Clock{Days: true}, "01-31 23:59:58.123", "2026-01-31 23:59:58 to 2026-02-01 00:00:03 UTC (5 s)"},
		{"years", Clock{Days: true, Years: true}, "2026-01-31 23:59:58.123", ""},
		{"zone", Clock{Zone: east}, "00:59:58.123", "2026-02-01 00:59:58-01:00:03 EAST (5 s)"},
		{"epoch", Clock{Epoch: true}, "1769903998.123", "1769903998.123 to 1769904003.123 (5 s)"},
		{"relative", Clock{Relative: true, Start: at - 1e9}, "+1.000", "2026-01-31 23:59:58 to 2026-02-01 00:00:03 UTC (5 s)"},
		{"before the start", Clock{Relative: true, Start: at + 1500e6}, "-1.500", ""},
	} {
		if got := c.clock.Stamp(at); got != c.stamp {
			t.Errorf("%s: stamp %s, want %s", c.name, got, c.stamp)
		}
		if got := c.clock.Range(at, later); c.span != "" && got != c.span {
			t.Errorf("%s: range %s, want %s", c.name, got, c.span)
		}
	}
	if c := (Clock{}).For(&Report{Start: at, End: later}); !c.Days || c.Years || c.Start != at {
		t.Errorf("clock for two days: %+v", c)
	}
	if c := (Clock{}).For(&Report{Start: at, End: at + int64(365*24*time.Hour)}); !c.Years {
		t.Errorf("clock for two years: %+v", c)
	}
	if c := (Clock{Zone: east}).For(&Report{Start: at, End: later}); c.Days {
		t.Error("one day in the east takes a date")
	}
}
