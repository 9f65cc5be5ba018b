package reassembly

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly/tcp"
)

// quote works an ICMP error in that quotes a segment of flow i. Only in
// SYN_SENT, and only for the SYN itself, does a hard error end the attempt
// (RFC 1122 §4.2.3.9, RFC 5461). One that quotes what was never sent is forged,
// or of another connection (RFC 5927 §4.1).
func (t *Table) quote(i uint32, s *tcp.Segment) {
	if i == 0 {
		t.n.Strangers++
		return
	}
	e := t.entries.get(i)
	d := e.end(s.From)
	if !e.sent(s.From, s.Seq) {
		t.n.Strangers++
		return
	}
	t.n.Quotes++
	t.mark(e, ICMPError, s)
	if x := t.extra(e); x.icmp == 0 || hardError(s.Tuple.Is4(), s.ICMPType, s.ICMPCode) && d.wentOn(t.icmps.get(x.icmp), s.Tuple.Is4()) {
		*made(&t.icmps, &x.icmp) = icmpError{s.At, s.Ref, s.Reporter, s.ICMPType, s.ICMPCode}
	}
	if d.state == fsm.SynSent && hardError(s.Tuple.Is4(), s.ICMPType, s.ICMPCode) {
		t.move(e, s.From, fsm.RecvICMP, fsm.Presumed, s)
		t.settle(i, e)
	}
}

// wentOn reports that an earlier ICMP error did not end an attempt to connect: it
// is none at which that ends, or the SYN has come again since.
func (d *end) wentOn(was *icmpError, is4 bool) bool {
	return !hardError(is4, was.kind, was.code) || !unreachable(is4, was.kind) && d.state == fsm.SynSent && d.lastAt > was.at
}

// sent reports that a side may have sent a segment that began at seq: its SYN
// while it opens, later what was captured or stands in the peer's window.
func (e *entry) sent(side tcp.Side, seq tcp.Seq) bool {
	d, p := e.end(side), e.end(side.Other())
	switch {
	case !d.has(hasSeq):
		return true
	case d.state == fsm.SynSent:
		return seq == d.iss
	}
	off := d.nxt.Sub(seq)
	return off >= 0 && off < maxJump || off < 0 && p.has(hasEdge) && seq.Less(p.edge)
}

// EndsByICMP reports that the ICMP error in Handshake is one at which the client
// gives up where it answers the SYN. Not all hosts do at others than "destination
// unreachable": one that goes on did not.
func (f *Flow) EndsByICMP() bool {
	h, is4 := &f.Handshake, f.Tuple.Is4()
	return h.ICMPRef != 0 && hardError(is4, h.ICMPType, h.ICMPCode) && (unreachable(is4, h.ICMPType) || h.LastSYN <= h.ICMP)
}

// unreachable reports the type of ICMP's "destination unreachable".
func unreachable(is4 bool, kind uint8) bool { return is4 && kind == 3 || !is4 && kind == 1 }

// hardError reports an ICMP error at which an attempt to connect ends. RFC 1122
// §4.2.3.9 means "destination unreachable", but for "fragmentation needed" (a
// soft one for other connections); Linux ends it at "time exceeded" and
// "parameter problem" too (tcp_v4_err, tcp_v6_err).
func hardError(is4 bool, kind, code uint8) bool {
	if is4 {
		return kind == 3 && code != 4 || kind == 11 || kind == 12
	}
	return kind == 1 || kind == 3 || kind == 4
}
