package jsonl

import "github.com/lastack/lastack/reassembly/tcp"

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
func (t Time) MarshalJSON() ([]byte, error) {
	c := epoch
	return c.append(nil, int64(t)), nil
}

// id is how flows are named: "0:4098".
func id(r tcp.PacketRef) string { return string(line(nil).id(r)) }

// endpointNames are the names of no side, of the client and of its peer.
var endpointNames = [...]Endpoint{"", "client", "server"}

// endpoint names a side of a flow; "" for no side.
func endpoint(side, client tcp.Side) Endpoint { return endpointNames[endpointIndex(side, client)] }

// endpointIndex is where endpointNames has the name of a side.
func endpointIndex(side, client tcp.Side) int {
	switch side {
	case 0:
		return 0
	case client:
		return 1
	}
	return 2
}
