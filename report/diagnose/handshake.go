package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// synEvidence is the client's first SYN.
func synEvidence(f *reassembly.Flow) Evidence {
	h := &f.Handshake
	return Evidence{Ref: h.FirstSYNRef, At: h.FirstSYN, Side: f.Client, What: "the client's SYN"}
}

// synACKEvidence is the server's first SYN-ACK.
func synACKEvidence(f *reassembly.Flow, what string) Evidence {
	h := &f.Handshake
	return Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: f.Server(), What: what}
}

// lostSYNACK is the client's SYN again that shows that a SYN-ACK which had passed
// the tap did not reach it, or nil: its arrival was taken back then, or when the
// server had repeated it. A SYN that crossed the SYN-ACK on its way takes nothing
// back.
func lostSYNACK(f *reassembly.Flow) *reassembly.Mark {
	for i := range f.Steps {
		st := &f.Steps[i]
		if st.Side != f.Client || st.On != fsm.Revise || st.From != fsm.Established || st.To != fsm.SynSent ||
			st.Packet.Flags&(tcp.SYN|tcp.RST) != tcp.SYN {
			continue
		}
		if m := firstMark(f, f.Client, reassembly.SYNAgain, st.At); m != nil {
			return m
		}
	}
	return nil
}

// ignoredACK is the client's third segment of the handshake, which passed the
// tap, and the server's SYN-ACK that came again all the same.
func ignoredACK(f *reassembly.Flow) (ack, again *reassembly.Step) {
	s := f.Server()
	for i := range f.Steps {
		st := &f.Steps[i]
		switch {
		case st.Side != s:
		case st.On == fsm.RecvACKOfSYN:
			ack = st
		case st.On == fsm.Revise && ack != nil && st.To == fsm.SynRcvd && st.Packet.From == s && st.Packet.Flags.Has(tcp.SYN|tcp.ACK):
			return ack, st
		}
	}
	return nil, nil
}

// nearServer reports a tap so close to the server that what passed it must have
// reached the server's host: the SYN was answered at once there, and the
// SYN-ACK was not.
func nearServer(f *reassembly.Flow) bool {
	h := &f.Handshake
	if h.SYNACKRef == 0 || h.LastSYNRef == 0 || h.ACKRef == 0 {
		return false
	}
	server, client := h.SYNACK-h.LastSYN, h.ACK-h.SYNACK
	return server >= 0 && server <= 2e6 && client >= 4*max(server, 100e3)
}

// synTimes lists when the client's SYN was sent, until it was answered.
func synTimes(f *reassembly.Flow) []int64 {
	return appendSYNTimes(make([]int64, 0, 8), f) // which the caller's stack holds, for most
}

func appendSYNTimes(at []int64, f *reassembly.Flow) []int64 {
	h := &f.Handshake
	at = append(at, h.FirstSYN)
	for i := range f.Marks {
		m := &f.Marks[i]
		if m.Kind == reassembly.SYNAgain && m.Side == f.Client && (h.ACKRef == 0 || m.At <= h.ACK) {
			at = append(at, m.At)
		}
	}
	return at
}

// schedule names the timer that the repetitions of a SYN follow, as a phrase
// that begins with a comma, or "" when they follow none or there are too few.
// Linux since 6.5 repeats five times at 1 s before it doubles
// (tcp_syn_linear_timeouts, Documentation/networking/ip-sysctl.rst); before
// that, and elsewhere, each gap is twice the last (RFC 6298 §5.5).
func schedule(at []int64) string {
	const (
		linear = 5
		second = 1e9
	)
	if len(at) < 3 || at[1]-at[0] < second/2 {
		return ""
	}
	flat := 0 // gaps like the first one, before they double
	for i := 1; i < len(at); i++ {
		gap, last := at[i]-at[i-1], int64(0)
		if i > 1 {
			last = at[i-1] - at[i-2]
		}
		switch {
		case gap <= 0:
			return ""
		case i == 1, flat == i-1 && flat < linear && alike(gap, last) && alike(gap, second):
			flat++
		case !alike(gap, 2*last):
			return ""
		}
	}
	if flat >= 2 {
		return fmt.Sprintf(", %s apart at first, as Linux does since 6.5", Span(round(at[1]-at[0])))
	}
	return ", each time after twice the wait"
}

// alike reports that two spans differ by no more than timers do, ns.
func alike(a, b int64) bool {
	return max(a-b, b-a) <= b/8+50e6
}

// round is a span to the tenth of a second.
func round(ns int64) int64 { return (ns + 50e6) / 100e6 * 100e6 }

// ordinal is "second", "third", "4th".
func ordinal(n int) string {
	switch {
	case n == 1:
		return "first"
	case n == 2:
		return "second"
	case n == 3:
		return "third"
	case n%100/10 != 1 && n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%100/10 != 1 && n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%100/10 != 1 && n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// rstToUnseen is an RST of the client, before the server's SYN-ACK, that answers a
// segment which the capture does not hold, or nil. In SYN_SENT a host sends an
// RST without ACK only for a segment that acknowledges another number than the
// SYN's, and with that number (RFC 9293 §3.10.7.3).
func rstToUnseen(f *reassembly.Flow) *reassembly.Mark {
	h, iss := &f.Handshake, uint32(f.Endpoint(f.Client).ISS)
	for i := range f.Marks {
		m := &f.Marks[i]
		switch m.Kind {
		case reassembly.RSTSent, reassembly.RSTInexact, reassembly.RSTIgnored:
		default:
			continue
		}
		if m.Side == f.Client && !m.Packet.Flags.Has(tcp.ACK) && m.Packet.Number-iss > 1 &&
			m.At >= h.FirstSYN && (h.SYNACKRef == 0 || m.At < h.SYNACK) && !answersSeen(f, m) {
			return m
		}
	}
	return nil
}

// answersSeen reports that the capture holds what an RST of an opener answers: a
// segment of the other side that acknowledged something else than its SYN.
func answersSeen(f *reassembly.Flow, rst *reassembly.Mark) bool {
	for i := range f.Marks {
		m := &f.Marks[i]
		if (m.Kind == reassembly.ChallengeACK || m.Kind == reassembly.BadSYNACK) && m.Side != rst.Side && m.At <= rst.At {
			return true
		}
	}
	return false
}
