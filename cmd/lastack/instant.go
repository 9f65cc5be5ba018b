package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lastack/lastack/report"
)

// instant is a point in time as the command line gives it. The zero value is
// none.
type instant struct {
	kind timeKind
	ns   int64     // since 1970, or since the first packet
	day  time.Time // of a time of day: any day with that time
	unit time.Duration
}

// timeKind is what a time is given by.
type timeKind uint8

const (
	absolute  timeKind = 1 + iota
	relative           // to the first packet
	timeOfDay          // on the day of the input, or next to it
	atEnd              // of the input
)

// farthest is more than any capture lasts, and little enough to be added to any
// time.
const farthest = 100 * 365 * 24 * time.Hour

const timeForms = "2026-01-31T14:10:00Z, 14:10:00, 1769868600 or +90s"

// in is the instant in ns since 1970, for an input whose first packet is at
// first. The end of the input is later than anything.
func (i instant) in(first int64) int64 {
	switch i.kind {
	case relative:
		if first > math.MaxInt64-i.ns {
			return math.MaxInt64
		}
		return first + i.ns
	case timeOfDay:
		t, _ := i.around(first)
		return t
	case atEnd:
		return report.EndOfInput
	}
	return i.ns
}

// around is the first occurrence of a time of day after an input begins, and the
// last one before, if that is on the day on which it begins; else 0.
func (i instant) around(first int64) (after, before int64) {
	// The capture's first second, or minute, is as good as any later one.
	start := time.Unix(0, first).In(i.day.Location())
	t := onDay(start, i.day)
	if t.Add(i.unit).After(start) {
		return t.UnixNano(), 0
	}
	return onDay(start.AddDate(0, 0, 1), i.day).UnixNano(), t.UnixNano()
}

// earlier is what a time of day can mean besides in, before the input begins; 0
// for nothing.
func (i instant) earlier(first int64) int64 {
	if i.kind != timeOfDay {
		return 0
	}
	_, before := i.around(first)
	return before
}

// until is the instant as the end of an input with these first and last packets:
// a time of day is on the day of the last one, or on the next when that is nearer.
func (i instant) until(first, last int64) int64 {
	if i.kind != timeOfDay {
		return i.in(first)
	}
	end := time.Unix(0, last).In(i.day.Location())
	t, next := onDay(end, i.day), onDay(end.AddDate(0, 0, 1), i.day)
	if t.Before(end) && next.Sub(end) < end.Sub(t) {
		t = next
	}
	return t.UnixNano()
}

// next is the instant as the end of a live capture that begins now, as long as no
// packet has come; 0 where there is none.
func (i instant) next(now time.Time) int64 {
	switch i.kind {
	case absolute:
		return i.ns
	case relative:
		return i.in(now.UnixNano())
	case timeOfDay:
		now = now.In(i.day.Location())
		if t := onDay(now, i.day); t.After(now) {
			return t.UnixNano()
		}
		return onDay(now.AddDate(0, 0, 1), i.day).UnixNano()
	}
	return 0
}

// onDay is the time of day of clock on the day of t.
func onDay(t, clock time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), clock.Location())
}

// parseInstant reads a flag's time; those without a zone are of the given one.
func parseInstant(flag, s string, zone *time.Location) (instant, error) {
	switch s {
	case "":
		return instant{}, nil
	case "end":
		return instant{kind: atEnd}, nil
	}
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		if d, err := span(rest); err == nil && d <= farthest {
			return instant{kind: relative, ns: int64(d)}, nil
		}
	} else if ns, ok := epoch(strings.TrimPrefix(s, "@")); ok {
		return instant{kind: absolute, ns: ns}, nil
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil && t.Year() > 1900 && t.Year() < 2200 {
			return instant{kind: absolute, ns: t.UnixNano()}, nil
		}
	}
	for _, form := range [...]struct {
		layout string
		unit   time.Duration
	}{{"15:04:05.999999999", time.Second}, {"15:04", time.Minute}} {
		if t, err := time.ParseInLocation(form.layout, s, zone); err == nil {
			return instant{kind: timeOfDay, day: t, unit: form.unit}, nil
		}
	}
	return instant{}, fmt.Errorf("%s %q is not a time such as %s", flag, s, timeForms)
}

// span reads a duration that is not negative: 90s, 1h30m, or seconds.
func span(s string) (time.Duration, error) {
	if ns, ok := epoch(s); ok {
		return time.Duration(ns), nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = strconv.ErrRange
	}
	return d, err
}

// epoch reads seconds, with up to nine decimals that count, as ns.
func epoch(s string) (ns int64, ok bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseUint(whole, 10, 33)
	if err != nil || sec >= 7e9 || strings.Trim(frac, "0123456789") != "" {
		return 0, false
	}
	nano, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return int64(sec)*1e9 + nano, err == nil
}
