package fsm

// classify turns an arriving segment into the events that the machine knows,
// in the order RST, SYN, ACK, FIN. It looks at numbers, hardly at states:
// which events move which state is the table's business, so it says "the ACK
// of the own SYN" in ESTABLISHED too.
func (c tcb) classify(s segment) []Event {
	covers := s.has(flagACK) && before(c.iss, s.ack) && upTo(s.ack, c.nxt)
	switch sent, heard := c.nxt != c.iss, c.rcv != c.irs; {
	case !sent && !heard: // CLOSED or LISTEN
		if s.flags&(flagRST|flagACK) != 0 || !s.has(flagSYN) {
			return nil
		}
		return withFIN(s.has(flagFIN), RecvSYN)
	case !heard: // the own SYN waits for an answer
		return classifyAnswer(s, covers)
	}
	switch {
	case s.has(flagRST):
		if s.seq == c.rcv {
			return []Event{RecvRST}
		}
		return nil
	case s.has(flagSYN):
		// Only the peer's own SYN, with the ACK that the handshake waits for.
		if c.state == SynRcvd && s.seq == c.irs && covers {
			return withFIN(s.has(flagFIN) && s.text+1 <= c.wnd, RecvSYNACK)
		}
		return nil
	case !s.has(flagACK), before(c.nxt, s.ack), before(s.ack, c.una-maxWindow), c.state == SynRcvd && !covers:
		return nil
	}
	end := s.seq + s.length()
	ahead := before(c.rcv, s.seq) // of a gap: the ACK counts at once, a FIN waits
	switch {
	case s.has(flagFIN) && c.peerFIN && end == c.rcv:
		return []Event{RecvFIN} // the peer's FIN once more
	case ahead && !before(s.seq, c.rcv+c.wnd), s.seq != c.rcv && upTo(end, c.rcv), c.wnd == 0 && s.seq != c.rcv:
		return nil // beyond the window, or wholly old
	}
	var events []Event
	if covers {
		events = append(events, RecvACKOfSYN)
	}
	if c.ownFIN && s.ack == c.nxt {
		events = append(events, RecvACKOfFIN)
	}
	return withFIN(s.has(flagFIN) && !ahead && before(end-1, c.rcv+c.wnd), events...)
}

// classifyAnswer is classify in SYN_SENT; covers says that the segment
// acknowledges the own SYN.
func classifyAnswer(s segment, covers bool) []Event {
	switch {
	case s.has(flagACK) && !covers:
		return nil
	case s.has(flagRST):
		if covers {
			return []Event{RecvRST}
		}
	case s.has(flagSYN) && covers:
		return withFIN(s.has(flagFIN), RecvSYNACK)
	case s.has(flagSYN):
		return []Event{RecvSYN}
	}
	return nil
}

// withFIN appends RecvFIN if there is one.
func withFIN(fin bool, events ...Event) []Event {
	if fin {
		events = append(events, RecvFIN)
	}
	return events
}
