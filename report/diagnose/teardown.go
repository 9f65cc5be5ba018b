package diagnose

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// stood is the state that a side was in before a reset or a new connection on
// the tuple ended the flow, and until when: the state at the end of the watch
// where neither did.
func stood(f *reassembly.Flow, s tcp.Side) (fsm.State, int64) {
	for i := len(f.Steps) - 1; i >= 0; i-- {
		st := &f.Steps[i]
		if st.Side != s {
			continue
		}
		switch st.On {
		case fsm.Reuse, fsm.SendRST, fsm.RecvRST:
			return st.From, st.At
		}
		break
	}
	return f.Endpoint(s).State, f.Until
}

// sentFIN reports that a FIN of the side is in the capture, and not only
// deduced from its acknowledgement.
func sentFIN(f *reassembly.Flow, s tcp.Side) bool {
	d := f.Endpoint(s)
	return d.FINRef != 0 && d.FIN > 0
}

// closedSince is when a side's FIN can have been acknowledged at the earliest:
// at its last copy before the acknowledgement in the capture. That one may be a
// later one, for a FIN that is not repeated has been acknowledged.
func closedSince(f *reassembly.Flow, s tcp.Side) int64 {
	d := f.Endpoint(s)
	at := d.FINAt
	for i := range f.Marks {
		m := &f.Marks[i]
		if m.Kind == reassembly.FINAgain && m.Side == s && (d.FINAckAt == 0 || m.At <= d.FINAckAt) {
			at = m.At
		}
	}
	return at
}

// patience is how long an answer may take before its absence means anything,
// ns: what crosses takes, and where no round trip is known at least the second
// that TCP assumes then (RFC 6298 §2.1). The acknowledgement of a FIN tells more,
// but the time from the tap to its sender and back, which is a part of the way.
func patience(f *reassembly.Flow) int64 {
	const assumed = 1e9
	if f.RTT != 0 {
		return crossing(f)
	}
	rtt := int64(0)
	for i := range f.Ends {
		d := &f.Ends[i]
		if took := d.FINAckAt - d.FINAt; d.FINAcked && d.FINRepeats == 0 && 0 < took && took < assumed {
			rtt += took
		}
	}
	return max(2*rtt, assumed)
}

// crossing is for how long two segments are known to cross, ns: twice the path, and
// the receiver's delayed acknowledgement (RFC 9293 §3.8.6.3 allows 500 ms, Linux
// takes up to 200).
func crossing(f *reassembly.Flow) int64 {
	const delayedACK = 200e6
	return max(2*f.RTT, delayedACK)
}

// mayHaveClosed reports that a side can have sent its FIN before the capture
// began: nothing that it sent shows that it still could send.
func mayHaveClosed(f *reassembly.Flow, s tcp.Side) bool {
	return f.Role != reassembly.RoleSYN && f.Role != reassembly.RoleSYNACK && f.Endpoint(s).PayloadBytes == 0
}

// lostACK is an acknowledgement of a FIN that passed the tap and did not reach
// the FIN's sender, which sent it again.
type lostACK struct {
	ack, again *reassembly.Step
	repeats    uint32 // of the FIN, from again on
	last       *reassembly.Mark
	second     bool // the peer's FIN had been received before: the last ACK of the close
}

// findLostACK looks for the first such acknowledgement of a side's FIN.
func findLostACK(f *reassembly.Flow, s tcp.Side) (l lostACK, ok bool) {
	var ack *reassembly.Step
	for i := range f.Steps {
		st := &f.Steps[i]
		switch {
		case st.Side != s:
		case st.On == fsm.RecvACKOfFIN:
			ack = st
		case st.On == fsm.Revise && ack != nil && st.Packet.From == s && st.Packet.Flags.Has(tcp.FIN):
			l = lostACK{ack: ack, again: st}
			l.second = (st.To == fsm.LastAck || st.To == fsm.Closing) && ack.Ref != f.Endpoint(s.Other()).FINRef
			for k := range f.Marks {
				if m := &f.Marks[k]; m.Kind == reassembly.FINAgain && m.Side == s && m.At >= st.At {
					l.repeats++
					l.last = m
				}
			}
			return l, l.repeats > 0
		}
	}
	return l, false
}

// restarted reports that a side opened another connection on the same four-tuple,
// whose port its host would not have given away: that knew the old one no longer.
func restarted(f *reassembly.Flow, s tcp.Side) bool {
	return firstMark(f, s, reassembly.SYNOnLive, 0) != nil
}
