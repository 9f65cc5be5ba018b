package reassembly

import (
	"net/netip"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

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
	At         int64
	Ref        tcp.PacketRef
	InAnswerTo tcp.PacketRef // 0 when it answers nothing
	AnswerAt   int64
	// Heard is the sender's last segment before, other than an RST; Ref 0 when
	// there was none.
	HeardAt  int64
	HeardRef tcp.PacketRef
	PeerAt   int64 // the peer's last segment before, other than an RST; 0 when there was none
	By       tcp.Side
	Class    ResetClass
	HasACK   bool
	TTL      uint8
	// State of the sender and of the peer just before it.
	SenderState, PeerState fsm.State
	// UnreadAt is when the peer's last payload passed, if the sender of the RST
	// had acknowledged nothing further and answered nothing since: it may have
	// died unread. 0 otherwise.
	UnreadAt  int64
	UnreadRef tcp.PacketRef
	// AckedUnseen is how many octets of the peer it acknowledges that the capture
	// does not hold.
	AckedUnseen uint32
	// Unacked is how many octets of the peer's payload had passed that neither it
	// nor anything before it acknowledged: they were lost, or on their way. 0 when
	// it has no ACK.
	Unacked uint32
	// Shut and PeerShut report that the last window of its sender, or of the peer,
	// was zero.
	Shut, PeerShut bool
	// AfterFIN reports that the sender of the RST had sent its FIN before.
	AfterFIN bool
}

// Denied is the first RST that its named sender went on after, as if it had not
// sent it; and the packet that proves that.
type Denied struct {
	Reset
	ProofAt   int64
	ProofRef  tcp.PacketRef
	ProofSide tcp.Side
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
	// ChallengedRef is the acknowledgement of the old connection that answered
	// the new SYN before it was taken; 0 when none did.
	ChallengedRef tcp.PacketRef
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
