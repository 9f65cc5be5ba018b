package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func tupleReuseRejected() Rule {
	return Rule{
		ID:       "tuple-reuse-rejected",
		Title:    "a four-tuple used again within 2MSL was refused or delayed",
		Severity: Warning,
		Doc:      tupleReuseRejectedDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 9293 §3.10.7.4", "RFC 6191 §2", "RFC 7323 §5.2"},
		Replaces: []string{"tuple-reused", "syn-retransmitted", "syn-unanswered"},
		needs:    signReused,
		Check:    checkReuseRejected,
	}
}

const tupleReuseRejectedDoc = `What it means
  A client connected again from an address and port of which the server still
  held the old connection in TIME_WAIT, and the server could not tell the new
  SYN from an old one. The connection opened late, or not at all.

Signature
  A close that left the server in TIME_WAIT, and within 2MSL a SYN with another
  initial sequence number on the same four-tuple. Then either an acknowledgement
  of the old connection, which the client answers with an RST, and often the
  same SYN again (certain; likely where the capture lacks one of the two); or no
  answer at all to SYNs whose timestamps are older than those of the old
  connection (likely); or no answer to the first SYN and one to the next
  (possible).

Look-alikes
  A reuse that was accepted at once: tuple-reused.
  A SYN that was lost: without an older timestamp only possible.
  A SYN on a connection that was never closed: syn-on-live-connection.
  A client that held TIME_WAIT itself: it decides alone.

What it usually is
  Several clients behind one NAT address whose clocks and numbers differ; a NAT
  that gives a port away again too soon; a client without timestamps that binds
  a fixed port; a balancer whose table forgets at another time than the hosts
  (IPVS, conntrack: the first SYN is lost and the second comes through after
  1 s).

What to do
  Give the NAT more addresses or ports, and a timeout not below the servers'
  TIME_WAIT; keep connections open; leave timestamps on. Let the client close
  first, so that TIME_WAIT stays with the side that chooses the port.
  tcp_tw_reuse on the server does nothing: it concerns outgoing connections.

What would prove it
  On the server: "ss -tan state time-wait" shows the tuple at the time of the
  SYN; TCPACKSkippedTimeWait and PAWSEstab in "nstat -az".`

func checkReuseRejected(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	prev, h, s := &f.Prev, &f.Handshake, f.Server()
	if prev.ID == 0 || prev.TimeWaitSide != s || h.FirstSYNRef == 0 || h.FirstSYN >= prev.Expires {
		return
	}
	evidence := []Evidence{
		{Ref: prev.EnteredRef, At: prev.Entered, Side: f.Client, What: "the server's TIME_WAIT of the old connection begins"},
		{Ref: h.FirstSYNRef, At: h.FirstSYN, Side: f.Client, What: "the SYN of a new connection"},
	}
	end := "and the connection did not open"
	if h.SYNACKRef != 0 {
		end = fmt.Sprintf("and the connection opened only %s later", Span(h.SYNACK-h.FirstSYN))
		evidence = append(evidence, Evidence{Ref: h.SYNACKRef, At: h.SYNACK, Side: s, What: "its SYN-ACK"})
	}
	var who Party
	var sure Confidence
	var how string
	if ack := firstMark(f, s, reassembly.ChallengeACK, h.FirstSYN); ack != nil && (h.SYNACKRef == 0 || ack.At < h.SYNACK) {
		who, sure, how = host(f, f.Client), Likely, "which acknowledged the old connection"
		evidence = append(evidence, markEvidence(ack, "TIME_WAIT acknowledges the old connection"))
		if rst := rstFor(f, ack); rst != nil {
			sure, how = Certain, "which acknowledged the old connection, so that the client sent an RST,"
			evidence = append(evidence, markEvidence(rst, "the client knows no such connection"))
		}
	} else if rst := rstToUnseen(f); rst != nil && rst.Packet.Number == uint32(prev.Nxt[f.Client.Index()]) {
		who, sure, how = host(f, f.Client), Likely, "which acknowledged the old connection (the client's RST answers that; the acknowledgement itself is not in the capture),"
		evidence = append(evidence, markEvidence(rst, "the client's RST, at the number that the old connection ended with"))
	} else if sure = ignoredInTimeWait(f); sure != 0 {
		who, how = Unknown, "and got no answer at first"
		if sure == Likely {
			who, how = host(f, f.Client), "with a timestamp older than the old connection's last, and got no answer"
		}
	} else {
		return
	}
	n := newFinding(f, who, sure, evidence...)
	n.Time, n.Duration = h.FirstSYN, h.FirstSYN-prev.Entered
	n.Verdict = fmt.Sprintf("%s sent a SYN on the same four-tuple %s after %s had entered TIME_WAIT, %s %s",
		f.Addr(f.Client), Span(n.Duration), f.Addr(s), how, end)
	if n.rests(f, onSilence|onClock) {
		emit(n)
	}
}

// rstFor is the client's RST that answers a challenge, or nil: it bears the
// number that the challenge acknowledged.
func rstFor(f *reassembly.Flow, ack *reassembly.Mark) *reassembly.Mark {
	for i := range f.Marks {
		m := &f.Marks[i]
		switch m.Kind {
		case reassembly.RSTSent, reassembly.RSTInexact, reassembly.RSTIgnored:
			if m.Side == f.Client && m.At >= ack.At && m.Packet.Number == ack.Packet.Number {
				return m
			}
		}
	}
	return nil
}

// ignoredInTimeWait is how sure it is that TIME_WAIT dropped the SYN in
// silence; 0 when nothing suggests that.
func ignoredInTimeWait(f *reassembly.Flow) Confidence {
	prev, h, c := &f.Prev, &f.Handshake, f.Client
	d := f.Endpoint(c)
	again := firstMark(f, c, reassembly.SYNAgain, h.FirstSYN)
	switch older := prev.Timestamps[c.Index()] && d.Timestamps && tcp.Seq(d.LastTSVal).Less(tcp.Seq(prev.TSVal[c.Index()])); {
	case again == nil:
	case h.SYNACKRef == 0 && older && f.Handshake.Outcome == reassembly.Unanswered:
		return Likely
	case h.SYNACKRef != 0 && again.At < h.SYNACK && again.At-h.FirstSYN > patience(f):
		return Possible
	}
	return 0
}
