package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/lastack/lastack/report/diagnose"
)

// Clock writes times for people. The zero value writes UTC.
type Clock struct {
	Zone     *time.Location // nil is UTC
	Epoch    bool           // seconds since 1970 instead
	Relative bool           // seconds since Start instead
	Start    int64          // ns; of the input
	Days     bool           // the input spans days: a time needs its date
	Years    bool           // it spans years
}

// For is the clock for a report: it knows when that begins and ends.
func (c Clock) For(r *Report) Clock {
	c.Start = r.Start
	c.Days = c.date(r.Start) != c.date(r.End)
	c.Years = c.in(r.Start).Year() != c.in(r.End).Year()
	return c
}

func (c Clock) in(ns int64) time.Time {
	if c.Zone == nil {
		return time.Unix(0, ns).UTC()
	}
	return time.Unix(0, ns).In(c.Zone)
}

func (c Clock) date(ns int64) string { return c.in(ns).Format(time.DateOnly) }

// Stamp writes a time to the millisecond.
func (c Clock) Stamp(ns int64) string {
	switch {
	case c.Epoch:
		return seconds(ns)
	case c.Relative:
		if ns < c.Start {
			return "-" + seconds(c.Start-ns)
		}
		return "+" + seconds(ns-c.Start)
	case c.Years:
		return c.in(ns).Format("2006-01-02 15:04:05.000")
	case c.Days:
		return c.in(ns).Format("01-02 15:04:05.000")
	}
	return c.in(ns).Format("15:04:05.000")
}

// Second writes a time to the second, with its zone: "14:01:17 UTC".
func (c Clock) Second(ns int64) string {
	s := c.Stamp(ns)
	s = s[:len(s)-len(".000")]
	if c.Epoch || c.Relative {
		return s + " s"
	}
	return s + " " + c.ZoneName(ns)
}

// Seconds writes from when to when, to the second: "from 14:01:17 to 14:05:02
// UTC", "at 14:01:17 UTC".
func (c Clock) Seconds(from, to int64) string {
	a, b := c.Second(from), c.Second(to)
	if a == b {
		return "at " + a
	}
	if !c.Epoch && !c.Relative {
		a = strings.TrimSuffix(a, " "+c.ZoneName(from))
	}
	return "from " + a + " to " + b
}

// seconds writes ns as seconds to the millisecond, cut and not rounded, as
// Format does.
func seconds(ns int64) string {
	t := time.Unix(0, ns)
	return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6)
}

// Range writes from when to when the input runs, and for how long.
func (c Clock) Range(start, end int64) string {
	span := " (" + diagnose.Span(end-start) + ")"
	switch {
	case c.Epoch:
		return seconds(start) + " to " + seconds(end) + span
	case c.date(start) == c.date(end):
		return c.in(start).Format("2006-01-02 15:04:05") + "-" + c.in(end).Format("15:04:05 MST") + span
	}
	return c.in(start).Format("2006-01-02 15:04:05") + " to " + c.in(end).Format("2006-01-02 15:04:05 MST") + span
}

// ZoneName is the name of the zone at a time: "UTC".
func (c Clock) ZoneName(ns int64) string {
	name, _ := c.in(ns).Zone()
	return name
}
