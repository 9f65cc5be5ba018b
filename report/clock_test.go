package report

import (
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	day := time.Date(2026, 1, 31, 14, 1, 17, 204e6, time.UTC).UnixNano()
	for _, c := range []struct {
		clock    Clock
		one, two string
	}{
		{Clock{}, "14:01:17 UTC", "from 14:01:17 to 14:02:17 UTC"},
		{Clock{Days: true}, "01-31 14:01:17 UTC", "from 01-31 14:01:17 to 01-31 14:02:17 UTC"},
		{Clock{Zone: time.FixedZone("CET", 3600)}, "15:01:17 CET", "from 15:01:17 to 15:02:17 CET"},
		{Clock{Epoch: true}, "1769868077 s", "from 1769868077 s to 1769868137 s"},
		{Clock{Relative: true, Start: day - 5e9}, "+5 s", "from +5 s to +65 s"},
	} {
		if got := c.clock.Second(day); got != c.one {
			t.Errorf("%q, want %q", got, c.one)
		}
		if got := c.clock.Seconds(day, day+60e9); got != c.two {
			t.Errorf("%q, want %q", got, c.two)
		}
		if got := c.clock.Seconds(day, day+1e6); got != "at "+c.one {
			t.Errorf("%q, want %q", got, "at "+c.one)
		}
	}
}
