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
	b = digits(append(b, '"'), year, 4)
	b = digits(append(b, '-'), int(month), 2)
	b = digits(append(b, '-'), day, 2)
	b = digits(append(b, 'T'), hour, 2)
	b = digits(append(b, ':'), minute, 2)
	b = digits(append(b, ':'), sec, 2)
	b = digits(append(b, '.'), t.Nanosecond(), 9)
	return append(b, 'Z', '"')
}

// digits appends the last width decimals of n.
func digits(b []byte, n, width int) []byte {
	at := len(b)
	b = append(b, "000000000"[:width]...)
	for i := at + width - 1; i >= at; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
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
