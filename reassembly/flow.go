package reassembly

import (
	"net/netip"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/compat"
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
	GoesOn      bool // Until is now: the input has not ended, although Ended says so

	Quality Quality
	RTT     int64 // SYN to third segment, as the tap saw it; 0 when unknown

	Ends      [2]Endpoint // by tcp.Side.Index
	Steps     []Step      // in order
	Marks     []Mark      // notable packets beside the steps, in order
	TimeWaits []TimeWait

	Handshake    Handshake
	Close        Close
	ActiveCloser Closer
	Reset        Reset  // Ref is 0 when no RST took effect
	Denied       Denied // Ref is 0 when no RST was disowned
	Prev         Previous

	compat compat.State
}

// ConnState is Zeek's conn_state, and like the next two methods empty without
// Options.Compat.
func (f *Flow) ConnState() string { return f.compat.ConnState(f.Client) }

// AppendHistory appends Zeek's history, the client's letters in capitals.
func (f *Flow) AppendHistory(dst []byte) []byte { return f.compat.AppendHistory(dst, f.Client) }

// Completeness is Wireshark's tcp.completeness.
func (f *Flow) Completeness() uint8 { return f.compat.Completeness() }

// AppendCommunityID appends the Community ID, version 1 with seed 0.
func (f *Flow) AppendCommunityID(dst []byte) []byte {
	return compat.AppendCommunityID(dst, &f.Tuple, 0)
}

// Server is the side opposite the client.
func (f *Flow) Server() tcp.Side { return f.Client.Other() }

// Endpoint is the account of one side.
func (f *Flow) Endpoint(s tcp.Side) *Endpoint { return &f.Ends[s.Index()] }

// Addr is the address and port of one side.
func (f *Flow) Addr(s tcp.Side) netip.AddrPort { return f.Tuple.End(s) }

// Clone copies the view so that it outlives the call that it was made for.
func (f *Flow) Clone() *Flow {
	c := new(Flow)
	f.CloneTo(c)
	return c
}

// CloneTo is Clone into a flow that nobody needs any more.
func (f *Flow) CloneTo(c *Flow) {
	steps, marks, waits := c.Steps[:0], c.Marks[:0], c.TimeWaits[:0]
	*c = *f
	c.Steps = append(steps, f.Steps...)
	c.Marks = append(marks, f.Marks...)
	c.TimeWaits = append(waits, f.TimeWaits...)
}

// Endpoint is what is known of one side of a flow.
type Endpoint struct {
	State fsm.State
	Since int64 // of the step into State; the flow's start when there is none
	// ISS is the initial sequence number; mid-stream it is one less than the
	// first sequence number seen, so that relative numbers start at 1. Of an end
	// that is not Sent it is what the peer's SYN-ACK acknowledged, 0 without one.
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
	// Ahead is how far it had sent by a bare acknowledgement at AheadAt that stood
	// beyond what was captured of it by then; AheadAt is 0 when there was none.
	Ahead       tcp.Seq
	AheadAt     int64
	AckedUnseen uint64 // octets of it that the peer acknowledged and the capture does not hold

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
	// NxtAtPeerFIN is how far it had sent when it first acknowledged the peer's
	// FIN, where AckedPeerFIN says that it did.
	NxtAtPeerFIN tcp.Seq
	// Repeats counts the repetitions of payload since the peer last acknowledged
	// anything new; Repeat is the last of them, Unanswered the first
	// transmission of the latest payload that is repeated.
	Repeats       uint32
	RepeatAt      int64
	RepeatRef     tcp.PacketRef
	UnansweredAt  int64
	UnansweredRef tcp.PacketRef
	// Stalled is the longest time over which it sent payload again, twice or more,
	// and was not acknowledged, on a connection that was older than the capture or
	// after the peer had sent anything but SYN-ACKs: from the first transmission to
	// the last. 0 when there was none.
	StalledAt, StalledUntil int64
	// EarlyRepeats counts the repetitions of payload that passed before the peer
	// had sent anything but SYN-ACKs and RSTs. Where there are any, FirstData is
	// that payload and FirstPlain the peer's first such segment, in its Endpoint.
	EarlyRepeats    uint32
	LastEarlyRepeat int64
	FirstData       int64
	FirstDataRef    tcp.PacketRef
	FirstDataLen    uint32
	FirstPlain      int64
	FirstPlainRef   tcp.PacketRef
	// HalfCloseAlive reports that, after its own FIN, it acknowledged new
	// payload: it had used shutdown(), not close().
	HalfCloseAlive bool
	// DataAfterPeerFIN counts its segments of new payload after it acknowledged
	// the peer's FIN.
	DataAfterPeerFIN uint32
	// DataBeforePeerFIN is its last new payload before those, where there are
	// any; 0 when there was none.
	DataBeforePeerFIN int64

	FinWait2Expired bool // FIN_WAIT_2 outlasted the profile's timeout
	Timestamps      bool // its last segments carried timestamps
	LastTSVal       uint32
	// TSEcr is what its FIN echoed of the peer's timestamps, without a FIN what
	// its last segment did.
	TSEcr uint32
	// SYNTSVal is the timestamp of its first SYN or SYN-ACK, if HasSYNTSVal.
	SYNTSVal    uint32
	HasSYNTSVal bool
	TTL         uint8 // of its last segment other than an RST or a copy

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
	Retired  bool // a later packet disproved it; the step that goes back follows
	Packet   Packet
}

// Packet is what a ladder shows of the packet behind a step or a mark.
type Packet struct {
	From    tcp.Side
	Payload bool // Number is the length of a payload
	Flags   tcp.Flags
	// Number is the sequence number of a FIN, a SYN or an RST, of other payload
	// the length, and else the acknowledgement.
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
	StrayInWindow                      // a segment of an earlier connection, in the window by its number: only its timestamp tells
	WindowProbe                        // KeepaliveProbe against a window that was zero
	SYNACKEchoes                       // SYNACKAgain that echoes payload which had come again: that did arrive

	markKinds // how many there are, with the zero value
)

var markNames = [...]string{
	SYNAgain: "SYN again", SYNACKAgain: "SYN-ACK again", FINAgain: "FIN again",
	FINAckedAgain: "FIN acknowledged again", DataAfterFIN: "data after the peer's FIN",
	DataAck: "data acknowledged after its FIN", RSTSent: "RST",
	RSTInexact: "RST in the window but not exact", RSTIgnored: "RST out of the window",
	SYNOnLive: "SYN on a live connection", ChallengeACK: "challenge ACK",
	BadSYNACK: "SYN-ACK for what was not sent", ICMPError: "ICMP error", Stray: "stray segment",
	Malformed: "malformed flags", ZeroWindow: "zero window", KeepaliveProbe: "keepalive", SYNACKSent: "SYN-ACK", RepeatAfterFIN: "data again after the peer's FIN", WindowProbe: "window probe", SYNACKEchoes: "echo of repeated payload", StrayInWindow: "old segment in the window",
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
