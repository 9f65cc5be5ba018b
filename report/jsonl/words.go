package jsonl

import (
	"strconv"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// The words that the schema lists.
type (
	// State is one of the eleven states: "FIN_WAIT_1".
	State string
	// Endpoint is "client" or "server".
	Endpoint string
	// Severity is "error", "warning" or "info".
	Severity string
	// Confidence is "certain", "likely" or "possible".
	Confidence string
	// Who is a party: "server_app".
	Who string
	// QualityName is a reason to trust a flow less: "one_way".
	QualityName string
)

// Time is nanoseconds since 1970 UTC, written in RFC 3339 with nine decimals.
type Time int64

// MarshalJSON writes the time as a string.
func (t Time) MarshalJSON() ([]byte, error) { return appendTime(nil, int64(t)), nil }

// appendTime appends a time in quotes. It is half the work of a flow line, and
// time.AppendFormat takes three times as long.
func appendTime(b []byte, ns int64) []byte {
	t := time.Unix(0, ns).UTC()
	year, month, day := t.Date()
	hour, minute, sec := t.Clock()
	b = two(two(append(b, '"'), year/100%100), year%100)
	b = two(append(b, '-'), int(month))
	b = two(append(b, '-'), day)
	b = two(append(b, 'T'), hour)
	b = two(append(b, ':'), minute)
	b = two(append(b, ':'), sec)
	n := t.Nanosecond()
	b = two(two(append(b, '.'), n/1e7), n/1e5%100)
	b = two(two(b, n/1e3%100), n/10%100)
	return append(b, byte('0'+n%10), 'Z', '"')
}

// two appends n, from 0 to 99, as two digits.
func two(b []byte, n int) []byte {
	const tens = "0000000000111111111122222222223333333333444444444455555555556666666666777777777788888888889999999999"
	const ones = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
	return append(b, tens[n], ones[n])
}

// id is how flows are named: "0:4098".
func id(r tcp.PacketRef) string { return string(appendID(nil, r)) }

func appendID(b []byte, r tcp.PacketRef) []byte {
	b = strconv.AppendInt(b, int64(r.File()), 10)
	b = append(b, ':')
	return strconv.AppendUint(b, r.Frame(), 10)
}

func packet(r tcp.PacketRef) Packet { return Packet{File: r.File(), Frame: r.Frame()} }

// endpoint names a side of a flow; "" for no side.
func endpoint(side, client tcp.Side) Endpoint {
	switch side {
	case 0:
		return ""
	case client:
		return "client"
	}
	return "server"
}
