package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// entry is a flow as it lies in the table: what every packet touches, without
// pointers. What only some flows need stands in extra, the steps and marks in
// the log. A flow of which only a SYN was seen has no entry yet, see opening.
type entry struct {
	key              key
	first            int64
	firstRef         tcp.PacketRef
	rtt              int64 // SYN to third segment, ns; 0 unknown
	ends             [2]end
	logHead, logTail uint32
	extra            uint32
	compat           uint32 // index of what other tools' fields need, 0 without Options.Compat
	logLen           uint16 // octets
	incarnation      uint16 // 0 when the entry is free
	bits             flowBits
	marks            uint8    // in the log
	steps            uint8    // in the log
	from             tcp.Side // the sender of its first segment
	client           tcp.Side
	role             Role
	gen              uint16 // tells a reused slot from the one that the wheel remembers
}

type flowBits uint16

const (
	flowSYN     flowBits = 1 << iota // a SYN was seen
	flowSYNACK                       // a SYN-ACK was seen
	flowPlain                        // a segment without SYN, FIN and RST was seen
	flowDone                         // ended by packets: retention runs
	flowInWheel                      // waits in the wheel
	flowCopies                       // copies of frames were seen
	flowSnapped                      // frames were cut by the snaplen
	flowLoss                         // octets were acknowledged that the capture does not hold, or nobody captured for a while
	flowStepped                      // the capture's clock stepped back, or leapt
	flowPending                      // a SYN with another ISN waits for its answer
	flowFINSeen                      // a FIN was seen
	flowWide                         // its addresses are IPv6
)

func (e *entry) has(b flowBits) bool { return e.bits&b != 0 }

func (e *entry) end(s tcp.Side) *end { return &e.ends[s.Index()] }

// last is the capture time of the flow's last segment.
func (e *entry) last() int64 { return max(e.ends[0].lastAt, e.ends[1].lastAt) }

// end is one endpoint. Its small counters spill into extra, see count.
type end struct {
	lastAt  int64 // its last segment, copies of frames included
	lastRef tcp.PacketRef
	dataAt  int64 // its last new payload
	dataRef tcp.PacketRef
	timer   int64 // when its running timer expires, or expired
	iss     tcp.Seq
	nxt     tcp.Seq // after the last octet, SYN or FIN captured of it
	ack     tcp.Seq // the highest acknowledgement that it sent
	edge    tcp.Seq // the highest right edge of the window that it advertised
	finEnd  tcp.Seq // after its FIN
	nxtFIN  tcp.Seq // nxt when it acknowledged the peer's FIN
	tsval   uint32
	tsecr   uint32 // as its FIN echoed it, or its last segment
	tsSYN   uint32 // of its first SYN or SYN-ACK
	recent  uint32 // the receiver's TS.Recent for it (RFC 7323 §4.3)
	octets  uint32 // of payload, modulo 2^32
	dataLen uint32
	packets uint32
	bits    endBits
	syn     uint8
	fin     uint8
	rst     uint8
	state   fsm.State
	wscale  uint8
	ttl     uint8
	met     uint8 // the events of which a step was presumed, by proofBit
}

type endBits uint32

const (
	hasSeq  endBits = 1 << iota // iss and nxt are known from its own segments
	hasAck                      // ack is known
	hasISN                      // iss is the true initial sequence number
	sentAny                     // sent anything but an RST
	sentSYN                     // sent a SYN without ACK
	sentSYNACK
	sentFIN
	finAcked       // the peer acknowledged its FIN, and nothing disproved it
	finAcksPeer    // the first copy of its FIN acknowledged the peer's
	gotFIN         // it received the peer's FIN, as far as known
	ackedFIN       // it acknowledged the peer's FIN
	halfAlive      // it acknowledged new payload after its own FIN
	dataAfterFIN   // it sent payload after it had acknowledged the peer's FIN
	timedOut       // closed by a timer and not by a packet
	hasTS          // it sent timestamps
	hasTSSYN       // tsSYN is known
	hasRecent      // recent is known
	sentPlain      // it sent anything but SYN, SYN-ACK and RST
	hasWScale      // its SYN carried a window scale
	inZeroWindow   // its last window was zero
	hasEdge        // edge is known
	guessedFIN     // its FIN was not captured, but deduced
	aborted        // its RST closed it
	wasEstablished // it reached ESTABLISHED, and nothing disproved it
	spokeApart     // what it sent last is described in extra, see spoke

	// What is presumed of it and waits for proof.
	presumedSYN
	presumedSYNACK
	presumedACKOfSYN
	presumedFIN
	presumedACKOfFIN
	presumedRST

	presumedAny = presumedSYN | presumedSYNACK | presumedACKOfSYN | presumedFIN | presumedACKOfFIN
)

func (d *end) has(b endBits) bool { return d.bits&b != 0 }

// meeting is the bit of end.met for an event that can be presumed.
func meeting(on fsm.Event) uint8 { return uint8(presumption(on) / presumedSYN) }

// presumption is the bit that an event leaves while it waits for proof.
func presumption(on fsm.Event) endBits {
	switch on {
	case fsm.RecvSYN:
		return presumedSYN
	case fsm.RecvSYNACK:
		return presumedSYNACK
	case fsm.RecvACKOfSYN:
		return presumedACKOfSYN
	case fsm.RecvFIN:
		return presumedFIN
	case fsm.RecvACKOfFIN:
		return presumedACKOfFIN
	case fsm.RecvRST:
		return presumedRST
	}
	return 0
}
