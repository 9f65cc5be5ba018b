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

const timeFormat = `"2006-01-02T15:04:05.000000000Z"`

func appendTime(b []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(b, timeFormat)
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
