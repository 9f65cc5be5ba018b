package diagnose

import (
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// alert is how many octets a goodbye may have: a close_notify of the largest
// cipher behind an HTTP/2 GOAWAY.
const alert = 96

// farewell reports that all the payload that the peer sent after the FIN was a
// few octets on its own way out: the closing alert of TLS (RFC 8446 §6.1), a
// GOAWAY. Both sides were done, and nothing of worth was lost.
func farewell(f *reassembly.Flow) bool {
	d, p := f.Endpoint(f.Reset.By), f.Endpoint(f.Reset.By.Other())
	switch {
	case p.DataAfterPeerFIN > 1 || p.LastData <= d.FINAt || p.LastDataLen > alert:
		return false
	case p.FIN > 0 && f.Reset.At-d.FINAt <= 5*crossing(f):
		return true
	}
	return bidsFarewell(f) // the RST forestalled its FIN
}

// bidsFarewell tells the goodbye of a peer of which no FIN has come: both said
// theirs in the same way; or the server, unasked, said something short as it
// closed, and the client has answered with a few octets too; or the server, which had
// answered everything, says it as soon as it hears that the client has left.
func bidsFarewell(f *reassembly.Flow) bool {
	s := f.Reset.By
	d, p := f.Endpoint(s), f.Endpoint(s.Other())
	after, asked := p.LastData-closedSince(f, s), p.DataBeforePeerFIN
	waited := d.FINAt - d.LastData // some wait a moment for the answer to their alert
	switch {
	case !closesTLS(p.LastDataLen):
		return s != f.Client && d.LastDataLen <= alert && waited < breath &&
			asked != 0 && d.LastData-asked >= leastIdle && after < stillSending
	case closesTLS(d.LastDataLen) && waited < leastIdle:
		return true
	}
	answered := asked >= d.LastData && (asked != 0 || f.Midstream) // a greeting answers nothing
	return s == f.Client && atOnceAfter(f, after) && (closesTLS(d.LastDataLen) || answered)
}

// closesTLS reports payload as long as a close_notify is with the usual ciphers,
// record header included: 24 octets in TLS 1.3 (RFC 8446 §5.2), in TLS 1.2 31 with
// an explicit nonce (RFC 5288 §3) and 23 without (RFC 7905).
func closesTLS(octets uint32) bool { return octets == 24 || octets == 31 || octets == 23 }

// atOnceAfter reports that so long after a FIN, ns, an application can have sent
// what it does because the FIN has woken it.
func atOnceAfter(f *reassembly.Flow, after int64) bool {
	const wakes = 50e6
	return after <= f.RTT+wakes
}

// breath is within what the FIN behind a goodbye is sent, ns: the application
// writes it and closes. Who waits, if only for a moment, wanted an answer.
const breath = 2e6

// saidGoodbye reports that a side whose peer last sent payload at a time, 0 for
// never, or unseen, left with a few octets more, and in the same breath.
func saidGoodbye(f *reassembly.Flow, s tcp.Side, answered int64) bool {
	d := f.Endpoint(s)
	return (answered != 0 || f.Midstream) && d.LastData > answered && d.LastDataLen <= alert && d.FINAt-d.LastData < breath
}

// mayBeGoodbye reports that all that was written late is as long as a close_notify
// and came as soon as its sender heard of the FIN; or is a few octets where the
// capture lacks what would tell whether they answer others.
func mayBeGoodbye(f *reassembly.Flow, l *latePayload) bool {
	d, p := f.Endpoint(l.Side.Other()), f.Endpoint(l.Side)
	switch {
	case p.DataAfterPeerFIN > 1 || l.octets > alert:
		return false
	case f.Midstream && (p.DataBeforePeerFIN == 0 || d.LastDataRef == 0):
		return true
	}
	return closesTLS(l.octets) && atOnceAfter(f, l.At-closedSince(f, l.Side.Other()))
}
