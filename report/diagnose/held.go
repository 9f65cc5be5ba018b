package diagnose

import (
	"cmp"
	"slices"

	"github.com/lastack/lastack/reassembly"
)

// leastHeld is how long an application leaves a request alone before its
// connection counts as one that waits, ns: the first timer of a SYN.
const leastHeld = 1e9

// held is a connection that the application left alone: from the handshake to
// the application's first act, or to the end of what was seen.
type held struct {
	sighting
	from, until int64
	// answered: it had to ask but once, and at until the application acted.
	answered bool
	// alive are times at which the server's kernel answered for it.
	alive [4]int64
}

const heldKept = 20

// compare puts those that waited longest first.
func (h held) compare(o held) int {
	return cmp.Or(cmp.Compare(o.until, h.until), cmp.Compare(h.from, o.from), cmp.Compare(h.flow, o.flow))
}

// heldBy is a flow as one that waited for its application, or tells that it was
// served, or may have been, before leastHeld.
func heldBy(c *Context, f *reassembly.Flow) (x held, waited, served bool) {
	h, me, server := &f.Handshake, f.Endpoint(f.Client), f.Endpoint(f.Server())
	until := f.Until
	switch {
	case f.Quality&reassembly.QualityCaptureLoss != 0, server.PayloadBytes > 0 && (server.Retransmits > 0 || server.PayloadBytes != uint64(server.LastDataLen)):
		return x, false, true // when it was first answered is not known
	case server.PayloadBytes > 0:
		until = server.LastData
	case server.FINRef != 0:
		until = server.FINAt
	case f.Reset.Ref != 0:
		until = f.Reset.At
	}
	acted := server.PayloadBytes > 0 || server.FINRef != 0
	full := c.has("accept-queue-overflow")
	ignored := full != nil && full.Who == ServerApp
	asked := me.PayloadBytes > 0 && int32(server.Ack-me.ISS) > 1
	if until-h.ACK < leastHeld || !asked && !ignored {
		return x, false, acted
	}
	x = held{from: h.ACK, until: until, answered: acted && me.Retransmits == 0,
		sighting: sighting{flow: f.ID, at: me.LastData, ref: me.LastDataRef, side: clientRole, since: h.ACK, sinceRef: h.ACKRef, sinceBy: clientRole}}
	if me.LastData > x.until { // it asked again later: the packet is not kept
		x.at, x.ref = x.since, x.sinceRef
	} else if me.Retransmits == 0 && int32(server.Ack-me.ISS-1) >= int32(me.PayloadBytes) {
		x.alive[0] = me.LastData // acknowledged at once, or it would have come again
	}
	if server.LastAt < x.until || !acted && server.LastAt > x.from {
		x.alive[1] = server.LastAt
	}
	if me.FINAckRef != 0 && me.FINAckAt < x.until {
		x.alive[2] = me.FINAckAt
	}
	if m := lastMark(f, f.Server(), reassembly.SYNACKAgain); m != nil && m.At < x.until {
		x.alive[3] = m.At
	}
	return x, true, false
}

// goesOn reports that connections which had asked at different times were
// answered at once: an application goes on. What a broken path held back comes
// with as much between as when it was first sent.
func goesOn(all []held) bool {
	const (
		times  = 10    // less between the answers than between the connections
		atOnce = 100e6 // ns
	)
	by := slices.DeleteFunc(slices.Clone(all), func(h held) bool { return !h.answered })
	slices.SortFunc(by, held.compare) // the last to be answered first
	for i, x := range by {
		for _, y := range by[i+1:] {
			between := x.until - y.until
			if between > atOnce {
				break
			}
			if apart := max(x.from-y.from, y.from-x.from); apart >= 2*atOnce && between <= apart/times {
				return true
			}
		}
	}
	return false
}
