package reassembly

import (
	"net/netip"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Flow is one incarnation of a four-tuple as it is judged: both endpoints, what
// they did, and what was noticed on the way. It is a view that the table fills
// for the length of one call; Clone keeps it longer.
//
// Times are nanoseconds since 1970 UTC on the capture's clock; 0 is unknown.
type Flow struct {
	ID          tcp.PacketRef // its first packet
	Tuple       tcp.Tuple
	Client      tcp.Side // the active opener, as far as known
	Role        Role
	Incarnation uint32 // from 1
	Midstream   bool   // neither a SYN nor a SYN-ACK was seen

	Start, End  int64         // capture time of the first and last segment
	First, Last tcp.PacketRef // and where they stand
	Final       int64         // event time at which the flow was finalised
	Until       int64         // the flow was watched until then: the input's end, or Final
	Ended       Ending

	Quality Quality
	RTT     int64 // SYN to third segment, as the tap saw it; 0 when unknown

	Ends      [2]Endpoint // by tcp.Side.Index
	Steps     []Step      // in order
	Marks     []Mark      // notable packets beside the steps, in order
	TimeWaits []TimeWait

	Handshake    Handshake
	Close        Close
	ActiveCloser Closer
	Reset        Reset // Ref is 0 when no RST took effect
	Prev         Previous

	ConnState    string // Zeek's
	History      string // Zeek's
	Completeness uint8  // Wireshark's tcp.completeness
	CommunityID  string
}

// Server is the side opposite the client.
func (f *Flow) Server() tcp.Side { return f.Client.Other() }

// Endpoint is the account of one side.
func (f *Flow) Endpoint(s tcp.Side) *Endpoint { return &f.Ends[s.Index()] }

// Addr is the address and port of one side.
func (f *Flow) Addr(s tcp.Side) netip.AddrPort { return f.Tuple.End(s) }

// Clone copies the view so that it outlives the call that it was made for.
func (f *Flow) Clone() *Flow {
	c := *f
	c.Steps = append([]Step(nil), f.Steps...)
	c.Marks = append([]Mark(nil), f.Marks...)
	c.TimeWaits = append([]TimeWait(nil), f.TimeWaits...)
	return &c
}

// Endpoint is what is known of one side of a flow.
type Endpoint struct {
	State fsm.State
	Since int64 // of the step into State; the flow's start when there is none
	// ISS is the initial sequence number; mid-stream it is one less than the
	// first sequence number seen, so that relative numbers start at 1.
	ISS tcp.Seq
	Nxt tcp.Seq // SND.NXT: after the last octet, SYN or FIN that was sent
	Ack tcp.Seq // the highest acknowledgement that it sent
	// Sent reports that it sent anything but an RST.
	Sent bool
	// SentAck reports that it sent a segment with an acknowledgement.
	SentAck bool

	Packets, SYN, FIN, RST  uint64
	PayloadBytes            uint64
	Duplicates, Retransmits uint64
	OutOfOrder, ZeroWindows uint64
	Keepalives              uint64
	AckedUnseen             uint64 // octets of it that the peer acknowledged and the capture does not hold

	LastAt      int64 // its last segment
	LastRef     tcp.PacketRef
	LastData    int64 // its last new payload
	LastDataRef tcp.PacketRef
	LastDataLen uint32

	// The FIN: its first copy, and the first acknowledgement of it that no
	// later repetition disproved. FINRef is 0 when no FIN was sent.
	FINAt       int64
	FINRef      tcp.PacketRef
	FINEnd      tcp.Seq // sequence number after the FIN
	FINAcksPeer bool    // the first copy acknowledged the peer's FIN
	FINAckAt    int64
	FINAckRef   tcp.PacketRef
	FINAcked    bool   // acknowledged, and not disproved
	FINRepeats  uint32 // repetitions that are no copies of frames
	// AckedPeerFIN reports that it acknowledged the peer's FIN.
	AckedPeerFIN bool
	// HalfCloseAlive reports that, after its own FIN, it acknowledged new
	// payload: it had used shutdown(), not close().
	HalfCloseAlive bool
	// DataAfterPeerFIN counts its segments of new payload after it acknowledged
	// the peer's FIN.
	DataAfterPeerFIN uint32

	FinWait2Expired bool // FIN_WAIT_2 outlasted the profile's timeout
	Timestamps      bool // its last segments carried timestamps
	LastTSVal       uint32
	LastTSEcr       uint32
	TTL             uint8 // of its last segment other than an RST

	StateNS [fsm.States]int64 // time in each state but CLOSED and LISTEN
}

// Step is one transition of one endpoint.
type Step struct {
	At       int64
	Ref      tcp.PacketRef // 0 for timers
	Side     tcp.Side
	From, To fsm.State
	On       fsm.Event
	Basis    fsm.Basis
	Packet   Packet
}

// Packet is what a ladder shows of the packet behind a step or a mark.
type Packet struct {
	From  tcp.Side
	Flags tcp.Flags
	// Number is the FIN's or SYN's own sequence number, for a payload its
	// length, and for a pure acknowledgement or an RST its ack or seq.
	Number uint32
}

// MarkKind says why a packet is notable. The zero value is none.
type MarkKind uint8

// Marks are made for what moves no state and yet is evidence.
const (
	SYNAgain       MarkKind = 1 + iota // the same SYN again
	SYNACKAgain                        // the same SYN-ACK again
	FINAgain                           // the same FIN again: a retransmission, not a copy of a frame
	FINAckedAgain                      // an acknowledgement of a FIN that had been acknowledged
	DataAfterFIN                       // payload to a peer whose FIN the sender had acknowledged
	DataAck                            // an acknowledgement of such payload: the closer still reads
	RSTSent                            // any RST
	RSTInexact                         // in the window, not at RCV.NXT (RFC 5961 §3.2)
	RSTIgnored                         // outside the window, or it acknowledges what was not sent
	SYNOnLive                          // a SYN with another ISN on a live connection
	ChallengeACK                       // the answer to such a SYN, or to an inexact RST
	BadSYNACK                          // a SYN-ACK that acknowledges what was not sent
	ICMPError                          // an ICMP error that quotes the flow
	Stray                              // a segment that the receiver must discard (RFC 9293 §3.10.7.4)
	Malformed                          // SYN+FIN, SYN+RST, no flags, FIN without ACK
	ZeroWindow                         // the first of a run of zero windows
	KeepaliveProbe                     // SND.NXT-1, at most one octet
	SYNACKSent                         // a first SYN-ACK that opened nothing yet: its SYN was not seen, or it fits none
	RepeatAfterFIN                     // payload again that was sent before the peer's FIN was acknowledged
)

var markNames = [...]string{
	SYNAgain: "SYN again", SYNACKAgain: "SYN-ACK again", FINAgain: "FIN again",
	FINAckedAgain: "FIN acknowledged again", DataAfterFIN: "data after the peer's FIN",
	DataAck: "data after its own FIN acknowledged", RSTSent: "RST",
	RSTInexact: "RST in the window but not exact", RSTIgnored: "RST out of the window",
	SYNOnLive: "SYN on a live connection", ChallengeACK: "challenge ACK",
	BadSYNACK: "SYN-ACK for what was not sent", ICMPError: "ICMP error", Stray: "stray segment",
	Malformed: "malformed flags", ZeroWindow: "zero window", KeepaliveProbe: "keepalive", SYNACKSent: "SYN-ACK", RepeatAfterFIN: "data again after the peer's FIN",
}

// String names the mark in words, as evidence lists show it.
func (k MarkKind) String() string {
	if int(k) < len(markNames) {
		return markNames[k]
	}
	return "unknown"
}

// Mark is a packet that is evidence without being a step.
type Mark struct {
	At     int64
	Ref    tcp.PacketRef
	Side   tcp.Side // its sender; for an ICMPError the sender of the quoted segment
	Kind   MarkKind
	Packet Packet
}

// Role says how the client is known. The zero value is unknown.
type Role uint8

// The ways, best first.
const (
	RoleSYN Role = 1 + iota
	RoleSYNACK
	RoleGuessed
)

// String is the name that JSON uses.
func (r Role) String() string {
	switch r {
	case RoleSYN:
		return "syn"
	case RoleSYNACK:
		return "synack"
	}
	return "guessed"
}

// Ending says why a flow was finalised.
type Ending uint8

// The endings.
const (
	EndInput   Ending = 1 + iota // the input ended
	EndExpired                   // closed, and nothing came for the retention time
	EndReused                    // a new incarnation took the four-tuple
	EndEvicted                   // the bound on flows was reached
)

// Outcome of a handshake. The zero value is none.
type Outcome uint8

// The outcomes, as contract words.
const (
	Complete Outcome = 1 + iota
	Incomplete
	Refused
	Unreachable
	Unanswered
	Simultaneous
	Unseen
)

var outcomeNames = [...]string{Complete: "complete", Incomplete: "incomplete", Refused: "refused",
	Unreachable: "unreachable", Unanswered: "unanswered", Simultaneous: "simultaneous", Unseen: "unseen"}

// String is the name that JSON uses.
func (o Outcome) String() string { return outcomeNames[o] }

// Handshake is how the connection opened. Refs are 0 for what was not seen.
type Handshake struct {
	Outcome      Outcome
	FirstSYN     int64 // the client's first SYN
	FirstSYNRef  tcp.PacketRef
	LastSYN      int64 // its last before the first SYN-ACK
	LastSYNRef   tcp.PacketRef
	SYNACK       int64 // the first SYN-ACK
	SYNACKRef    tcp.PacketRef
	ACK          int64 // the first segment but RST that acknowledges it
	ACKRef       tcp.PacketRef
	ICMP         int64
	ICMPRef      tcp.PacketRef
	ICMPType     uint8
	ICMPCode     uint8
	ICMPReporter netip.Addr
}

// Close is how the connection ended, decided by packets alone.
type Close uint8

// The first that applies, in this order.
const (
	CloseRefused Close = 1 + iota
	CloseUnanswered
	CloseOrderly
	CloseSimultaneous
	CloseReset
	CloseFINUnacked
	CloseHalf
	CloseOpen
)

var closeNames = [...]string{CloseRefused: "refused", CloseUnanswered: "unanswered", CloseOrderly: "orderly",
	CloseSimultaneous: "simultaneous", CloseReset: "reset", CloseFINUnacked: "fin_unacked",
	CloseHalf: "half_closed", CloseOpen: "open"}

// String is the name that JSON uses.
func (c Close) String() string { return closeNames[c] }

// Closes is the number of Close values plus one.
const Closes = int(CloseOpen) + 1

// Closer says who sent the first FIN, by acknowledgement and not by capture order.
type Closer uint8

// The closers.
const (
	CloserNone Closer = 1 + iota
	CloserClient
	CloserServer
	CloserBoth
)

var closerNames = [...]string{CloserNone: "none", CloserClient: "client", CloserServer: "server", CloserBoth: "both"}

// String is the name that JSON uses.
func (c Closer) String() string { return closerNames[c] }

// ResetClass tells an abort by a live socket from the answer of none, by the
// header alone (Linux: an abort has a window, options and an IP ID; an answer
// of a host without a socket has none of the three).
type ResetClass uint8

// The classes.
const (
	ResetUnknown ResetClass = 1 + iota
	ResetActive
	ResetPassive
)

// String is the name that JSON uses.
func (c ResetClass) String() string {
	switch c {
	case ResetActive:
		return "active"
	case ResetPassive:
		return "passive"
	}
	return "unknown"
}

// Reset is the RST that took effect.
type Reset struct {
	By         tcp.Side
	At         int64
	Ref        tcp.PacketRef
	InAnswerTo tcp.PacketRef // 0 when it answers nothing
	AnswerAt   int64
	Class      ResetClass
	HasACK     bool
	TTL        uint8
	// State of the sender and of the peer just before it.
	SenderState, PeerState fsm.State
	// UnreadAt is when the peer's last payload passed, if the sender of the RST
	// had acknowledged nothing further and answered nothing since: it may have
	// died unread. 0 otherwise.
	UnreadAt  int64
	UnreadRef tcp.PacketRef
	// AfterFIN reports that the sender of the RST had sent its FIN before.
	AfterFIN bool
}

// TimeWait is one stay of an endpoint in TIME_WAIT.
type TimeWait struct {
	Side       tcp.Side
	Entered    int64
	EnteredRef tcp.PacketRef
	Expires    int64 // after the last restart
	Restarts   uint32
	RestartAt  int64
	RestartRef tcp.PacketRef
	EndedBy    TimeWaitEnd
	EndedAt    int64
	EndedRef   tcp.PacketRef
}

// TimeWaitEnd says how a stay in TIME_WAIT ended.
type TimeWaitEnd uint8

// The ways.
const (
	TimeWaitExpiry TimeWaitEnd = 1 + iota
	TimeWaitReuse
	TimeWaitRST
	TimeWaitEviction
	TimeWaitCaptureEnd
)

var timeWaitEndNames = [...]string{TimeWaitExpiry: "expiry", TimeWaitReuse: "reuse", TimeWaitRST: "rst",
	TimeWaitEviction: "eviction", TimeWaitCaptureEnd: "capture_end"}

// String is the name that JSON uses.
func (e TimeWaitEnd) String() string { return timeWaitEndNames[e] }

// Previous is what a flow must know of the incarnation before it, to judge the
// reuse of the tuple. ID is 0 when there was none.
type Previous struct {
	ID    tcp.PacketRef
	Final int64 // when it gave way
	Last  int64 // its last segment
	Close Close
	// TimeWaitSide held TIME_WAIT when the new SYN came, by the profile; 0 when none did.
	TimeWaitSide tcp.Side
	Entered      int64
	EnteredRef   tcp.PacketRef
	Expires      int64
	Nxt          [2]tcp.Seq // SND.NXT of both sides, by tcp.Side.Index
	TSVal        [2]uint32
	Timestamps   [2]bool
}

// Quality is a set of reasons to trust a flow's story less.
type Quality uint16

// The reasons, by their names in the contract.
const (
	QualityMidstream Quality = 1 << iota
	QualityOneWay
	QualityCaptureLoss
	QualityDuplicates
	QualitySnapped
	QualityFiltered
	QualityClockStep
	QualityEndsEarly
	QualityEvicted
)

var qualityNames = [...]string{"midstream", "one_way", "capture_loss", "duplicates", "snapped",
	"filtered", "clock_step", "ends_early", "evicted"}

// Names lists the reasons in a fixed order.
func (q Quality) Names() []string {
	var out []string
	for i, n := range qualityNames {
		if q&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}
