package report

import (
	"sync"

	"github.com/lastack/lastack/report/diagnose"
)

// phrase is how the findings of a rule are told when there are several.
//
// did follows the party when it is an endpoint: "10.0.3.7:8443 did not answer
// the client's FIN". saw follows "on 6 of 40 flows to 10.0.3.7:8443" where no
// endpoint is to blame. "{peer}" is "client" or "server"; "{flows}" is on how many
// flows, which otherwise follow, and "{how}" since when, which otherwise ends it;
// "{typical}" is what was measured, and "{passed}" how long it took in all. why, if
// any, is a sentence about what that means, for the worst finding of a report;
// "{unless}" is what has to be excluded where not all findings are certain, "{lost}"
// is what data was worth that a client or a server sent in vain, "{mild}" how many
// of them are remarks, and why (see mildly). still follows the number of those that
// were so to the input's end.
type phrase struct {
	did, saw, why string
	lasts         bool // how long it lasted means something
	still         string
}

// phraseFor is the phrase of a rule; a rule that has none is told by its title.
func phraseFor(rule string) phrase {
	if p, ok := phrases()[rule]; ok {
		return p
	}
	return phrase{did: "caused " + rule, saw: "there was " + rule}
}

// phrase is that of the row's rule, as far as the row's findings bear it out.
func (row *Row) phrase() phrase {
	p := phraseFor(row.Rule)
	switch {
	case row.Rule == "write-after-fin" && row.closed():
		p.did, p.why = "closed before all that the {peer} had to send had come", "An RST answered what came after the FIN."
		if row.measured.n > 0 && row.measured.n == row.Counts.Total() {
			p.did, p.why = "stopped waiting after {typical} on {flows}{how}; the answers came after {passed}", ""
		}
	case row.Rule == "accept-queue-overflow" && endpoint(row.Who) == "":
		p.saw, p.why = "what a client sent first was not answered", "The path lost it, or the listener's accept queue is full."
	case row.Rule != "rst-unread-data":
	case row.Confidence == diagnose.Possible:
		p.did, p.why = "reset {flows}{how}: SO_LINGER 0, or payload left unread", ""
	case row.Counts.of(diagnose.Certain) < row.Counts.Total():
		p.did += " or unanswered"
	}
	return p
}

var phrases = sync.OnceValue(func() map[string]phrase {
	return map[string]phrase{
		"fin-unanswered": {"did not answer the {peer}'s FIN", "a FIN was acknowledged and not answered",
			"The kernel acknowledged each FIN; {unless}the application does not close.", true, "still in CLOSE_WAIT"},
		"fin-answered-late": {"answered the {peer}'s FIN late", "a FIN was answered late", "", true, ""},
		"late-close-reset": {"closed so late that the {peer} had given up and answered with an RST",
			"a close came so late that an RST answered it", "", true, ""},
		"write-after-fin": {"sent data to a {peer} that had closed already", "data was sent to a peer that had closed already",
			"An RST answered the data: {lost}.", false, ""},
		"fin-unacked": {"did not acknowledge the {peer}'s FIN", "a FIN was not acknowledged", "", true, ""},
		"last-ack-lost": {"repeated its FIN although it had been acknowledged",
			"the FIN came again after its acknowledgement had passed, which therefore did not arrive", "", false, ""},
		"ack-of-fin-lost": {"repeated its FIN although it had been acknowledged",
			"the acknowledgement of the first FIN did not arrive", "", false, ""},
		"time-wait-missing": {"answered a FIN with an RST where TIME_WAIT should have acknowledged it",
			"an RST answered a FIN where TIME_WAIT should have acknowledged it", "", false, ""},
		"close-behind-zero-window": {"did not read, so that the {peer} could not even send its FIN",
			"a closed window held back the FIN", "", true, ""},
		"half-close":         {"used a half-close", "a half-close was in use", "", true, ""},
		"simultaneous-close": {"closed at the same moment as the {peer}", "both ends closed at the same moment", "", false, ""},
		"abortive-close": {"aborted instead of closing", "one end aborted instead of closing",
			"An abort (SO_LINGER 0 or the like) discards what had not been delivered yet{mild}.", false, ""},
		"rst-unread-data": {"reset {flows}, leaving data unread", "a close with data unread sent an RST",
			"What the {peer} had sent last was not read, or not answered{mild}.", false, ""},
		"rst-after-fin":       {"sent an RST after its own FIN", "an RST followed a FIN of the same end", "", false, ""},
		"rst-listener-closed": {"ended many connections at once", "one service ended many connections at once", "", false, ""},
		"rst-on-dead-connection": {"answered data after a silence with an RST", "data after a silence met an RST",
			"The answering end, or something in the path, no longer knew the connection, or had never taken it.", true, ""},
		"rst-forged": {"seemed to send an RST that it did not send", "an RST came that the end it names did not send",
			"The endpoint that it names went on as if it had sent none.", false, ""},
		"rst-challenged":         {"answered an inexact RST or SYN with a challenge ACK", "an inexact RST or SYN was challenged", "", false, ""},
		"keepalive-failed":       {"did not answer keepalives", "keepalives went unanswered until an RST ended the connection", "", true, ""},
		"retransmission-timeout": {"stopped acknowledging data", "data was repeated in vain", "", true, ""},
		"time-wait-assassinated": {"had its TIME_WAIT ended early by an RST", "an RST ended TIME_WAIT early", "", false, ""},
		"connection-refused": {"refused the connection", "an RST refused the connection",
			"Nothing listens on that port, or a firewall answers for it.", false, ""},
		"connection-rejected": {"rejected the connection", "a firewall's RST or an ICMP error rejected the connection", "", false, ""},
		"syn-unanswered": {"did not answer the SYN", "nothing answered the SYN",
			"The SYN or its answer is dropped on the way, the host is down, or its accept queue is full.", true, ""},
		"syn-retransmitted":  {"answered only a repeated SYN", "the connection opened only after the SYN was repeated", "", false, ""},
		"handshake-ack-lost": {"repeated its SYN-ACK", "the third segment of the handshake did not arrive at first", "", false, ""},
		"accept-queue-overflow": {"did not accept connections fast enough", "connections were not accepted fast enough",
			"The client believes that it is connected while the listener's accept queue is full.", true, ""},
		"syn-flood":              {"was flooded with SYNs that were never completed", "a flood of SYNs was never completed", "", false, ""},
		"handshake-abandoned":    {"reset the connection that it was opening", "the opener reset the connection before it was open", "", false, ""},
		"simultaneous-open":      {"opened at the same moment as the {peer}", "both ends opened at the same moment", "", false, ""},
		"syn-on-live-connection": {"got a SYN on a connection that it still held", "a SYN met an old connection that was still held", "", false, ""},
		"bad-syn-ack":            {"sent a SYN-ACK for what was not sent", "a SYN-ACK acknowledged what was not sent", "", false, ""},
		"syn-dropped-by-paws": {"dropped SYNs with older timestamps", "SYNs with older timestamps stayed unanswered",
			"Several hosts share one address whose timestamps do not agree.", false, ""},
		"tuple-reused": {"used a four-tuple again inside 2MSL", "a four-tuple was used again inside 2MSL", "", false, ""},
		"tuple-reuse-rejected": {"used a four-tuple again that the {peer} still held in TIME_WAIT, and was refused or delayed",
			"a four-tuple that was used again inside 2MSL was refused or delayed", "", false, ""},
		"late-duplicate":     {"sent a segment of an earlier connection", "a segment of an earlier connection came late", "", false, ""},
		"port-exhaustion":    {"is running out of ephemeral ports", "ephemeral ports are running out", "", false, ""},
		"time-wait-churn":    {"holds far more sockets in TIME_WAIT than open", "TIME_WAIT far outnumbers open connections", "", false, ""},
		"idle-timeout-close": {"closed {flows} after {typical} without payload", "one end closed after a constant time without payload", "", false, ""},
		"synchronized-onset": {"began to leak connections together with others", "several hosts began to leak together", "", false, ""},
	}
})

// mildly is what makes a finding of a rule a remark where others are warnings.
func mildly(rule string) string {
	switch rule {
	case "abortive-close":
		return "nothing had been sent: a health check, or a scan"
	case "rst-unread-data":
		return "nothing had been asked, or all been answered: a health check, or a scan"
	case "write-after-fin":
		return "nothing of worth was lost: a port check, or a goodbye"
	}
	return ""
}

// happened reports that what the row's phrase says of the packets is certain, and
// only whose doing it was, or why, may be less.
func (row *Row) happened() bool {
	switch row.Rule {
	case "rst-unread-data":
		return endpoint(row.Who) != ""
	case "connection-refused", "rst-on-dead-connection":
		return row.Who == diagnose.Middlebox
	}
	return false
}

// endpoint is the side that a party is: "client", "server", or "" when it is
// neither.
func endpoint(p diagnose.Party) string {
	switch p {
	case diagnose.ClientApp, diagnose.ClientHost:
		return "client"
	case diagnose.ServerApp, diagnose.ServerHost:
		return "server"
	}
	return ""
}
