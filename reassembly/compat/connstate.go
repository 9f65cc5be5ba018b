package compat

import "github.com/lastack/lastack/reassembly/tcp"

// ConnState is Zeek's conn_state of the flow so far: S0, S1, SF, REJ, S2, S3,
// RSTO, RSTR, RSTOS0, RSTRH, SH, SHR or OTH, with client as the originator. It
// reads the two endpoint states in the order of conn_state in
// base/protocols/conn/main.zeek.
func (s *State) ConnState(client tcp.Side) string {
	orig := client.Index()
	resp := 1 - orig
	os, rs := s.state(orig), s.state(resp)
	origOpen := os != inactive && os != partial
	respOpen := rs != inactive && rs != partial
	switch {
	case rs == reset:
		switch {
		case os == synSent, os == synAckSent, os == reset && !s.size(orig) && !s.size(resp):
			return "REJ"
		case !origOpen:
			return "RSTRH"
		}
		return "RSTR"
	case os == reset:
		switch {
		case respOpen:
			return "RSTO"
		case s.resetAfterSYN(client):
			return "RSTOS0"
		}
		return "OTH"
	case os == closed && rs == closed:
		return "SF"
	case os == closed && respOpen:
		return "S2"
	case os == closed:
		return "SH"
	case rs == closed && origOpen:
		return "S3"
	case rs == closed:
		return "SHR"
	case os == synSent && rs == inactive:
		return "S0"
	case os == established && rs == established:
		return "S1"
	}
	return "OTH"
}

// resetAfterSYN reports whether the history begins with the originator's SYN
// and comes to its RST with nothing but payload, retransmissions and zero
// windows of its own between them: the pattern \^?S[^HAFGIQ]*R.* in main.zeek.
func (s *State) resetAfterSYN(client tcp.Side) bool {
	h := s.History(client)
	if h != "" && h[0] == '^' {
		h = h[1:]
	}
	if h == "" || h[0] != 'S' {
		return false
	}
	for i := 1; i < len(h); i++ {
		switch h[i] {
		case 'R':
			return true
		case 'H', 'A', 'F', 'G', 'I', 'Q':
			return false
		}
	}
	return false
}
