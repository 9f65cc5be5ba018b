package compat

import "github.com/lastack/lastack/reassembly/tcp"

// Zeek's states of an endpoint (EndpointState in TCP_Endpoint.h), in its order.
const (
	inactive    uint8 = iota // nothing seen
	synSent                  // SYN
	synAckSent               // SYN-ACK by the originator
	partial                  // something, and no SYN
	established              // SYN-ACK, or a SYN that was answered
	closed                   // FIN
	reset                    // RST
)

func (s *State) state(i int) uint8 { return s.phase[i] & 15 }
func (s *State) prev(i int) uint8  { return s.phase[i] >> 4 }

func (s *State) set(i int, state uint8) {
	if state != s.state(i) {
		s.phase[i] = s.phase[i]<<4 | state
	}
}

// far is where the counts in extent end. Zeek only asks whether they are 0, 1
// or 2 octets.
const far = 3

// sent is the distance of last from the start of i's sequence space, at most
// far. The start is the SYN, or one before the first segment without one.
func (s *State) sent(i int) uint8 { return s.extent[i] & 3 }

// acked is the distance of the peer's highest acknowledgement from that start,
// at most far, and of no account when sent is far.
func (s *State) acked(i int) uint8 { return s.extent[i] >> 2 }

// start is where i's sequence space starts, known while last is near it.
func (s *State) start(i int) (start tcp.Seq, known bool) {
	n := s.sent(i)
	return s.last[i] - tcp.Seq(n), n < far
}

// restart lets i's sequence space start at seq with n octets sent.
func (s *State) restart(i int, seq tcp.Seq, n uint32) {
	s.last[i] = seq.Add(n)
	s.extent[i] = uint8(min(n, far))
}

// space is the sequence space that Zeek gives a segment: the payload of an RST
// is none of the stream (get_segment_len in TCPSessionAdapter.cc).
func space(seg *tcp.Segment) uint32 {
	n := seg.Len
	if seg.Flags&tcp.RST != 0 {
		n = 0
	}
	if seg.Flags&tcp.SYN != 0 {
		n++
	}
	if seg.Flags&tcp.FIN != 0 {
		n++
	}
	return n
}

// zeekControl does what Process in TCPSessionAdapter.cc does, for a segment
// with SYN, FIN or RST and for the first of its sender.
func (s *State) zeekControl(i int, control tcp.Flags, seg *tcp.Segment) {
	if !s.started() {
		s.orient(seg)
	}
	s.initialise(i, seg)
	if control != 0 {
		s.enterControl(i, control, seg)
	} else {
		s.enterPlain(i, seg)
	}
	if control&tcp.FIN != 0 {
		s.once[i] |= sentFIN
	}
	s.sequence(i, seg)
	s.move(i, seg)
}

// orient chooses the originator by the flow's first segment: its sender, but
// without a SYN the receiver, if that looks more like a client by the ports.
// Zeek turns SYN-ACKs round only when one port alone is a server's, so as not
// to confuse stealth scans (WantConnection in TCP.cc).
func (s *State) orient(seg *tcp.Segment) {
	orig := seg.From
	src, dst := seg.Tuple.PortA, seg.Tuple.PortB
	if seg.From == tcp.SideB {
		src, dst = dst, src
	}
	flip := seg.Flags&(tcp.SYN|tcp.ACK) != tcp.SYN && likelyServer(src) &&
		(!likelyServer(dst) || seg.Flags&tcp.SYN == 0 && src < dst)
	if flip {
		orig = orig.Other()
	}
	if orig == tcp.SideB {
		s.wire |= origIsB
	}
	if flip {
		s.add(0, letterFlip, 0)
	}
}

// initialise starts the sender's sequence space (init_endpoint).
func (s *State) initialise(i int, seg *tcp.Segment) {
	syn := seg.Flags&tcp.SYN != 0
	switch s.state(i) {
	case inactive:
		if syn {
			s.restart(i, seg.Seq, space(seg))
		} else {
			s.restart(i, seg.Seq-1, 1)
		}
	case synSent, synAckSent:
		if syn && !s.sameSYN(i, seg) {
			s.restart(i, seg.Seq, space(seg))
		}
	case partial, established:
		if syn {
			s.restart(i, seg.Seq, space(seg))
		}
	case reset:
		if syn && s.prev(i) == inactive {
			s.restart(i, seg.Seq, space(seg))
			// Zeek keeps the last RST's number relative to the start: 1, since
			// it began the space.
			s.rst[i] = hash(seg.Seq + 1)
		}
	}
}

// sameSYN reports whether a SYN has the ISN of the one before it. When that
// one had payload, as in TCP Fast Open, the start is not known any more, and
// what lies less than a window before last is taken for it.
func (s *State) sameSYN(i int, seg *tcp.Segment) bool {
	start, known := s.start(i)
	return known && seg.Seq == start || !known && uint32(s.last[i]-seg.Seq)-far < 1<<16
}

// sequence takes the window, the acknowledgement and the sequence number of a
// segment (update_window, update_ack_seq, update_last_seq).
func (s *State) sequence(i int, seg *tcp.Segment) {
	peer := 1 - i
	if seg.Window == 0 && seg.Flags&tcp.RST == 0 &&
		s.state(peer) != closed && s.state(i) != reset && tenfold(&s.zeros[i]) {
		s.add(i, letterW, reserved)
	}
	if seg.Flags&tcp.ACK != 0 && s.sent(peer) < far {
		s.acknowledge(peer, seg)
	}
	end := seg.Seq.Add(space(seg))
	ahead := end.Sub(s.last[i])
	switch {
	case seg.Flags&(tcp.SYN|tcp.RST) != 0 && (ahead > tooFar || ahead < -tooFar):
	case seg.Flags&tcp.FIN != 0 && s.sent(i) == 1:
		s.extend(i, end)
	case s.state(i) == reset:
	case ahead > 0:
		s.extend(i, end)
	case seg.Len > 0 && tenfold(&s.rexmits[i]):
		s.add(i, letterT, reserved)
	}
}

// tooFar is the distance beyond which Zeek believes neither the sequence
// number of a SYN or RST, nor an acknowledgement of 0.
const tooFar = 1 << 20

// extend moves last. Zeek takes a step back for 2^32 octets forward.
func (s *State) extend(i int, end tcp.Seq) {
	n := uint32(far)
	if start, known := s.start(i); known && s.last[i].LessEq(end) {
		n = min(uint32(end-start), far)
	}
	s.extent[i] = s.extent[i]&^3 | uint8(n)
	s.last[i] = end
}

// acknowledge takes the acknowledgement of what i sent.
func (s *State) acknowledge(i int, seg *tcp.Segment) {
	if s.state(i) == inactive || seg.Flags&tcp.RST != 0 {
		return
	}
	start, _ := s.start(i)
	n := seg.Ack.Sub(start)
	if n > int32(s.acked(i)) && (seg.Ack != 0 || n <= tooFar) {
		s.extent[i] = s.extent[i]&3 | uint8(min(n, far))<<2
	}
}

// size reports whether i sent any payload as Zeek counts it, by sequence
// numbers (Size in TCP_Endpoint.cc).
func (s *State) size(i int) bool {
	n := s.sent(i)
	if n < far {
		n = max(n, s.acked(i))
	}
	if s.once[i]&sentFIN != 0 {
		return n > 2
	}
	return n > 1
}

// move advances the sender's state, and sometimes the peer's
// (UpdateStateMachine).
func (s *State) move(i int, seg *tcp.Segment) {
	peer := 1 - i
	fin, rst := seg.Flags&tcp.FIN != 0, seg.Flags&tcp.RST != 0
	switch s.state(i) {
	case inactive:
		s.moveInactive(i, seg)
	case synSent, synAckSent:
		if fin {
			s.set(i, closed)
		}
		if rst {
			s.set(i, reset)
		}
	case partial, established:
		if seg.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN && s.state(i) == partial && s.state(peer) == inactive {
			s.set(i, synSent)
		}
		if fin && !rst {
			s.set(i, closed)
			if s.state(peer) == reset && s.prev(peer) == closed {
				// A FIN and then an RST by the peer: a normal end after all.
				s.set(peer, closed)
			}
		}
		if rst {
			s.set(i, reset)
		}
	case closed:
		if rst && s.state(peer) != closed {
			s.set(i, reset)
		}
	}
}

// moveInactive advances a sender by its first segment (UpdateInactiveState).
func (s *State) moveInactive(i int, seg *tcp.Segment) {
	peer, isOrig := 1-i, i == s.originator()
	if seg.Flags&tcp.SYN != 0 {
		s.moveSYN(i, seg.Flags&tcp.ACK != 0)
	}
	if seg.Flags&tcp.FIN != 0 {
		s.set(i, closed)
	}
	if seg.Flags&tcp.RST != 0 {
		s.set(i, reset)
	}
	if s.state(i) != inactive {
		return
	}
	switch {
	case !isOrig && seg.Len == 0 && s.state(peer) == synSent:
		// Some acknowledge a SYN before they answer it.
	case seg.Flags&tcp.ACK != 0 && s.state(peer) == established:
		s.set(i, established)
	default:
		s.set(i, partial)
	}
}

// moveSYN advances a sender whose first segment is a SYN or SYN-ACK. A SYN of
// the responder after a SYN-ACK of the originator means that they were captured
// in the wrong order, and turns the direction round.
func (s *State) moveSYN(i int, ack bool) {
	peer := 1 - i
	switch {
	case i == s.originator() && ack:
		s.set(i, synAckSent)
	case i == s.originator():
		s.set(i, synSent)
	default:
		if !ack && s.state(peer) == synAckSent {
			s.wire ^= origIsB
			s.add(i, letterFlip, 0)
			s.set(peer, established)
		}
		if s.state(peer) == synSent {
			s.set(peer, established)
		}
		s.set(i, established)
	}
}

// Gap says that a segment acknowledged octets of from that the capture does
// not hold, once for each stretch of them and after Observe of that segment.
// It is the letter g, which needs an account of the missing octets that only
// the caller has. Zeek enters it while both sides are established, or closed
// from there (TCP_Reassembler::Gap). It also takes payload that the snaplen
// cut for missing, and here the caller should not say so.
func (s *State) Gap(from tcp.Side) {
	i := from.Index()
	if s.clean(i) && s.clean(1-i) && tenfold(&s.gaps[i]) {
		s.add(i, letterG, reserved)
	}
}

func (s *State) clean(i int) bool {
	return s.state(i) == established || s.phase[i] == established<<4|closed
}
