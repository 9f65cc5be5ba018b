package report

import "github.com/lastack/lastack/reassembly"

const millisecond = int64(1e6)

// Vantage is where the packets were captured. The zero value is unknown.
type Vantage uint8

// The places.
const (
	NearClient Vantage = 1 + iota
	NearServer
	Between
)

// String says the place in words, "" when it is unknown.
func (v Vantage) String() string {
	switch v {
	case NearClient:
		return "tap near the client"
	case NearServer:
		return "tap near the server"
	case Between:
		return "tap between client and server"
	}
	return ""
}

// halves compares the two halves of handshakes: from the SYN to the SYN-ACK a
// segment goes to the server and back, from there to the third segment to the
// client and back.
type halves struct{ client, server, between uint64 }

// leastHalf is how long the longer half must last to tell anything: below it
// the hosts' own time is as long as the way.
const leastHalf = 200_000

func (h *halves) add(s *reassembly.Handshake) {
	if s.Outcome != reassembly.Complete || s.LastSYNRef == 0 || s.SYNACKRef == 0 || s.ACKRef == 0 {
		return
	}
	toServer, toClient := s.SYNACK-s.LastSYN, s.ACK-s.SYNACK
	switch {
	case toServer < 0 || toClient < 0 || max(toServer, toClient) < leastHalf:
	case toClient < toServer/4:
		h.client++
	case toServer < toClient/4:
		h.server++
	default:
		h.between++
	}
}

func (h *halves) plus(o halves) {
	h.client += o.client
	h.server += o.server
	h.between += o.between
}

// vantage is the place that four of five handshakes agree on.
func (h halves) vantage() Vantage {
	n := h.client + h.server + h.between
	switch most := n - n/5; {
	case n == 0:
	case h.client >= most:
		return NearClient
	case h.server >= most:
		return NearServer
	case h.between >= most:
		return Between
	}
	return 0
}
