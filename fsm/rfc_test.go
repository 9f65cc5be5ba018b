package fsm

// This file is RFC 9293 §3.10 typed as plain switches over a small TCB, with
// the mitigations of RFC 5961. It knows nothing of the table.

// flags are the control bits that matter here.
type flags uint8

const (
	flagFIN flags = 1 << iota
	flagSYN
	flagRST
	flagACK
)

// segment is what arrives; text is its length in octets without SYN and FIN.
type segment struct {
	flags
	seq, ack, text uint32
}

func (s segment) has(f flags) bool { return s.flags&f != 0 }

// length is SEG.LEN: SYN and FIN count one each.
func (s segment) length() uint32 {
	n := s.text
	if s.has(flagSYN) {
		n++
	}
	if s.has(flagFIN) {
		n++
	}
	return n
}

// before and upTo compare sequence numbers modulo 2^32.
func before(a, b uint32) bool { return int32(a-b) < 0 }
func upTo(a, b uint32) bool   { return int32(a-b) <= 0 }

// maxWindow stands for MAX.SND.WND of RFC 5961 §5.
const maxWindow = 50

// tcb holds the variables of RFC 9293 §3.3.1. With una, nxt = iss nothing has
// been sent, with rcv = irs nothing received. The own FIN, once sent, is the
// last number before nxt, the peer's, once received, the last before rcv.
type tcb struct {
	state         State
	passive       bool // SYN_RCVD was reached from LISTEN
	iss, una, nxt uint32
	irs, rcv, wnd uint32
	ownFIN        bool
	peerFIN       bool
}

// outcome is the next state, and whether the 2MSL timer was started by what
// happened: TIME_WAIT on a FIN is only visible in that.
type outcome struct {
	state State
	timer bool
}

// arrives is SEGMENT ARRIVES, §3.10.7, as far as it decides the next state.
func (c tcb) arrives(s segment) outcome {
	switch c.state {
	case Closed: // §3.10.7.1: answered by an RST
		return outcome{state: Closed}
	case Listen:
		return c.arrivesListen(s)
	case SynSent:
		return c.arrivesSynSent(s)
	}
	return c.arrivesOther(s)
}

// arrivesListen is §3.10.7.2.
func (c tcb) arrivesListen(s segment) outcome {
	switch {
	case s.has(flagRST), s.has(flagACK), !s.has(flagSYN):
		return outcome{state: Listen}
	}
	c.state = SynRcvd
	if s.has(flagFIN) { // "other incoming control … will be processed in the SYN-RECEIVED state"
		return c.eighth()
	}
	return outcome{state: SynRcvd}
}

// arrivesSynSent is §3.10.7.3. The check of an RST's sequence number against
// RCV.NXT that it mentions has nothing to compare with: no SYN has arrived.
func (c tcb) arrivesSynSent(s segment) outcome {
	acceptable := false
	if s.has(flagACK) {
		if upTo(s.ack, c.iss) || before(c.nxt, s.ack) {
			return outcome{state: SynSent}
		}
		acceptable = true
	}
	if s.has(flagRST) {
		if acceptable {
			return outcome{state: Closed}
		}
		return outcome{state: SynSent}
	}
	if s.has(flagSYN) {
		if !acceptable { // anything else in the segment is queued
			return outcome{state: SynRcvd}
		}
		c.state = Established
		if s.has(flagFIN) { // "continue processing at the sixth step"
			return c.eighth()
		}
		return outcome{state: Established}
	}
	return outcome{state: SynSent}
}

// arrivesOther is §3.10.7.4. Checks that decide no state are left out.
func (c tcb) arrivesOther(s segment) outcome {
	stay := outcome{state: c.state}
	// First, the sequence number. A window of zero still lets in the ACK and
	// the RST of a segment that stands at RCV.NXT.
	if c.wnd == 0 && s.seq == c.rcv && (s.has(flagRST) || !s.has(flagSYN)) {
		s.text, s.flags = 0, s.flags&^(flagSYN|flagFIN)
	}
	if !c.acceptable(s) {
		return stay
	}
	// Second, the RST bit: only the exact number resets, another in the window
	// draws a challenge ACK.
	if s.has(flagRST) {
		switch {
		case s.seq != c.rcv:
			return stay
		case c.state == SynRcvd && c.passive:
			return outcome{state: Listen}
		}
		return outcome{state: Closed}
	}
	// Fourth, the SYN bit: a challenge ACK in the synchronized states.
	if s.has(flagSYN) {
		if c.state == SynRcvd && c.passive {
			return outcome{state: Listen}
		}
		return stay
	}
	// From here on the segment is processed in sequence: one that begins
	// beyond RCV.NXT is held, and a FIN beyond the window is cut off.
	if before(c.rcv, s.seq) {
		return stay
	}
	if !before(s.seq+s.text, c.rcv+c.wnd) {
		s.flags &^= flagFIN
	}
	return c.fifth(s)
}

// acceptable is table 6 of §3.10.7.4.
func (c tcb) acceptable(s segment) bool {
	in := func(n uint32) bool { return upTo(c.rcv, n) && before(n, c.rcv+c.wnd) }
	switch {
	case s.length() == 0 && c.wnd == 0:
		return s.seq == c.rcv
	case s.length() == 0:
		return in(s.seq)
	case c.wnd == 0:
		return false
	}
	return in(s.seq) || in(s.seq+s.length()-1)
}

// fifth is the check of the ACK field, then on to the eighth.
func (c tcb) fifth(s segment) outcome {
	if !s.has(flagACK) || before(s.ack, c.una-maxWindow) || before(c.nxt, s.ack) {
		return outcome{state: c.state}
	}
	ownFINAcked := c.ownFIN && s.ack == c.nxt
	switch c.state {
	case SynRcvd:
		if !before(c.una, s.ack) {
			return outcome{state: SynRcvd} // answered by an RST
		}
		c.state = Established
	case FinWait1:
		if ownFINAcked {
			c.state = FinWait2
		}
	case Closing:
		if !ownFINAcked {
			return outcome{state: Closing}
		}
		c.state = TimeWait
		if !s.has(flagFIN) {
			return outcome{TimeWait, true}
		}
	case LastAck:
		if ownFINAcked {
			return outcome{state: Closed}
		}
	}
	if s.has(flagFIN) {
		return c.eighth()
	}
	return outcome{state: c.state}
}

// eighth is the check of the FIN bit.
func (c tcb) eighth() outcome {
	switch c.state {
	case SynRcvd, Established:
		return outcome{state: CloseWait}
	case FinWait1: // the own FIN is not acknowledged, else the fifth check had left this state
		return outcome{state: Closing}
	case FinWait2, TimeWait:
		return outcome{TimeWait, true}
	}
	return outcome{state: c.state}
}

// call is a user call, or the one timeout that the RFC's machine has.
type call uint8

const (
	callOpen call = iota // active OPEN
	callSend
	callClose
	callAbort
	timeWaitTimeout
	calls
)

// user is §3.10.1, .2, .4, .5 and .8: the next state, and the control bit that
// the call sends at once, 0 for none.
func (s State) user(c call) (next State, sent flags) {
	switch c {
	case callOpen:
		switch s {
		case Closed, Listen:
			return SynSent, flagSYN
		}
	case callSend:
		switch s {
		case Listen:
			return SynSent, flagSYN
		}
	case callClose:
		switch s {
		case Listen, SynSent:
			return Closed, 0
		case SynRcvd, Established:
			return FinWait1, flagFIN
		case CloseWait:
			return LastAck, flagFIN
		}
	case callAbort:
		switch s {
		case Listen, SynSent:
			return Closed, 0
		case SynRcvd, Established, FinWait1, FinWait2, CloseWait:
			return Closed, flagRST
		case Closing, LastAck, TimeWait:
			return Closed, 0
		}
	case timeWaitTimeout:
		if s == TimeWait {
			return Closed, 0
		}
	}
	return s, 0
}
