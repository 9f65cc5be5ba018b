package diagnose

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Span writes a duration in ns as reports do: "12 us", "0.4 ms", "312 ms",
// "8.2 s", "70 s", "8m41s", "2h05m", "3d04h". It rounds down: nothing lasted longer than said.
func Span(ns int64) string {
	d := time.Duration(max(ns, 0))
	switch {
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%d us", d/time.Microsecond)
	case d < 10*time.Millisecond:
		return tenths(d, time.Millisecond) + " ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < 100*time.Second:
		return tenths(d, time.Second) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// Tenths writes a duration in ns as people set timers: rounded to tenths of a
// second.
func Tenths(ns int64) string { return Span((ns + 50e6) / 100e6 * 100e6) }

// tenths is d in a unit with one decimal, rounded down; "3" for 3.0.
func tenths(d, unit time.Duration) string {
	if n := d % unit / (unit / 10); n != 0 {
		return fmt.Sprintf("%d.%d", d/unit, n)
	}
	return strconv.FormatInt(int64(d/unit), 10)
}

// count writes a number with its thousands apart: "65,537".
func count[N ~uint32 | ~uint64 | ~int](n N) string {
	digits := strconv.FormatUint(uint64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// octets is "1 octet" or "1,448 octets".
func octets[N ~uint32 | ~uint64 | ~int](n N) string {
	if n == 1 {
		return "1 octet"
	}
	return count(n) + " octets"
}

// times is "once", "twice" or "N times".
func times(n uint32) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return count(n) + " times"
}

// number writes a small number as a word.
func number(n int) string {
	if words := [...]string{2: "two", "three", "four", "five", "six", "seven", "eight", "nine"}; n >= 2 && n < len(words) {
		return words[n]
	}
	return count(n)
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// role is "client" or "server".
func role(f *reassembly.Flow, s tcp.Side) string {
	if s == f.Client {
		return "client"
	}
	return "server"
}

// app is the party that a side's application is.
func app(f *reassembly.Flow, s tcp.Side) Party {
	if s == f.Client {
		return ClientApp
	}
	return ServerApp
}

// host is the party that a side's host is.
func host(f *reassembly.Flow, s tcp.Side) Party {
	if s == f.Client {
		return ClientHost
	}
	return ServerHost
}

// soFar chooses what is said now, of a flow that goes on, or else then: of one that
// the capture's end cut off.
func soFar(f *reassembly.Flow, now, then string) string {
	if f.GoesOn {
		return now
	}
	return then
}

// rel is a sequence number relative to its sender's initial one, as Wireshark
// and tcpdump show it.
func rel(f *reassembly.Flow, s tcp.Side, seq tcp.Seq) uint32 { return uint32(seq - f.Endpoint(s).ISS) }

// frame names a packet: "frame 413", and with several sources "frame 1:413" for
// one that is not in the first.
func frame(ref tcp.PacketRef) string {
	if ref.File() == 0 {
		return fmt.Sprintf("frame %d", ref.Frame())
	}
	return "frame " + ref.String()
}

// finWords is evidence text: "the server's FIN, sequence 413".
func finWords(f *reassembly.Flow, s tcp.Side) string {
	return fmt.Sprintf("the %s's FIN, sequence %d", role(f, s), rel(f, s, f.Endpoint(s).FINEnd)-1)
}

// ackWords is evidence text for an acknowledgement of the other side's FIN.
func ackWords(f *reassembly.Flow, s tcp.Side) string {
	o := s.Other()
	return fmt.Sprintf("the %s acknowledges it, ack %d", role(f, s), rel(f, o, f.Endpoint(o).FINEnd))
}

// rstWords is evidence text for the RST that took effect.
func rstWords(f *reassembly.Flow) string {
	kind := ""
	switch f.Reset.Class {
	case reassembly.ResetActive:
		kind = ", with the header of a live socket"
	case reassembly.ResetPassive:
		kind = ", with the header of a host that has no such socket"
	}
	return fmt.Sprintf("the %s's RST%s", role(f, f.Reset.By), kind)
}
