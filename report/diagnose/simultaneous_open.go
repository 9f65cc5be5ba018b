package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func simultaneousOpen() Rule {
	return Rule{
		ID:       "simultaneous-open",
		Title:    "both sides sent a SYN",
		Severity: Info,
		Doc:      simultaneousOpenDoc,
		RFC:      []string{"RFC 9293 §3.5"},
		needs:    signCrossed,
		Check:    checkSimultaneousOpen,
	}
}

const simultaneousOpenDoc = `What it means
  Both hosts called connect() towards each other with the same two ports, and
  their SYNs crossed. There is one connection, with no server: both went through
  SYN_SENT and SYN_RCVD. Legal, and rare.

Signature
  A SYN from each side, then a SYN-ACK from each side with the sequence number
  of its SYN, and the acknowledgements (RFC 9293, figure 7).

Look-alikes
  A split handshake: the server answers with an acknowledgement and a SYN, or a
  SYN alone, and only the client sends a SYN-ACK. So it looks where both called
  connect() and one SYN was lost: then too one side alone sends a SYN-ACK, and
  the other never stood in SYN_RCVD.
  Two connections with mirrored roles: then the ports differ.
  A connect() to the own address and port: one host that talks to itself.

What it usually is
  Programs that punch a hole through NAT (peer to peer, telephony), or two
  daemons with fixed ports that keep calling each other.

What to do
  Nothing, where it is meant. Otherwise let the system choose the source port.

What would prove it
  The connect() calls on both hosts.`

func checkSimultaneousOpen(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	if f.Handshake.Outcome != reassembly.Simultaneous || f.Handshake.FirstSYNRef == 0 {
		return
	}
	// Each SYN comes twice, alone and with the ACK: else the handshake was split.
	_, a := synOf(f, f.Client, tcp.SYN|tcp.ACK)
	_, b := synOf(f, f.Server(), tcp.SYN|tcp.ACK)
	other, c := synOf(f, f.Server(), tcp.SYN)
	if !a || !b || !c {
		return
	}
	other.What = "the other side's SYN"
	n := newFinding(f, Nobody, Certain, synEvidence(f), other)
	n.Verdict = fmt.Sprintf("%s and %s opened the connection to each other at once: both sent a SYN",
		f.Addr(f.Client), f.Addr(f.Server()))
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// synOf is the first segment of a side that has precisely those of SYN and ACK,
// and that left a trace.
func synOf(f *reassembly.Flow, s tcp.Side, flags tcp.Flags) (e Evidence, ok bool) {
	fits := func(p reassembly.Packet) bool { return p.From == s && p.Flags&(tcp.SYN|tcp.ACK) == flags }
	for i := range f.Steps {
		if st := &f.Steps[i]; fits(st.Packet) {
			return Evidence{Ref: st.Ref, At: st.At, Side: s}, true
		}
	}
	for i := range f.Marks {
		if m := &f.Marks[i]; fits(m.Packet) {
			return markEvidence(m, ""), true
		}
	}
	return e, false
}
