package diagnose

import (
	"fmt"
	"math"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func timeWaitChurn() Rule {
	return Rule{
		ID:       "time-wait-churn",
		Title:    "TIME_WAIT far outnumbers open connections",
		Severity: Warning,
		Doc:      timeWaitChurnDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 9112 §9.3"},
		New:      func() Collector { return &churn{} },
	}
}

const timeWaitChurnDoc = `What it means
  A connection is opened for every request, or every few, and closed after it.
  The side that closes first keeps each in TIME_WAIT for 2MSL, so that there are
  far more sockets in TIME_WAIT than open: as many as connections per second
  times 2MSL.

Signature
  One host held at least 500 sockets of one service in TIME_WAIT at once, and at
  least ten times as many as were open then. Whether each carried one request or
  several is told by the segments of payload: one from the client, or as many of
  one length from either side. Of others it is not known.

Look-alikes
  A burst of closes when a pool shrinks or a process ends: the connections had
  lived, and many were open before.
  TIME_WAIT after few, long connections: ordinary, whatever its share.
  A client that has a pool, and a server that closes each connection after some
  requests: the verdict says so where it is seen.

What it usually is
  HTTP without keep-alive, a driver without a pool, a proxy that opens a
  connection per request to its backend, a health check gone wild. A low limit
  of requests per connection: keepalive_requests of nginx, MaxKeepAliveRequests
  of Apache.

What to do
  Reuse connections. A pool of as many as were open at once carries the same
  load. Where each carried several requests, raise the limit of the side that
  closes. TIME_WAIT itself is harmless on the side that accepts: a few hundred
  octets each, no port and no file descriptor. On the side that connects each
  takes an ephemeral port: see port-exhaustion. There is no need to shorten it,
  and on Linux no way: 60 s are compiled in, and tcp_fin_timeout bounds orphans
  in FIN_WAIT_2 only.

What would prove it
  "ss -tan state time-wait | wc -l" on that host, and the number of requests per
  connection in the application's log.`

const (
	leastTimeWait = 500
	// outnumbered is how many in TIME_WAIT there are for each one open.
	outnumbered = 10
)

// churn counts the sockets of each service on the host that holds TIME_WAIT.
type churn struct{ stays stays }

func (u *churn) Add(c *Context, f *reassembly.Flow) {
	waited := len(f.TimeWaits) > 0
	for _, s := range []tcp.Side{f.Client, f.Server()} {
		x, ok := stayOf(f, s)
		if !ok || waited && x.wait == 0 {
			continue // the other side holds TIME_WAIT
		}
		if x.wait != 0 {
			x.exchanges = exchanges(f)
		}
		if s == f.Client {
			u.stays.add(&c.pair, c.pairHosts, clientRole, x)
		} else {
			u.stays.add(&c.service, c.serviceHosts, serverRole, x)
		}
	}
}

// exchanges is how many requests and answers a flow carried, 0 where that is not
// known. One segment of payload was one request. Several are told by their sizes:
// where a side's last segment is as long as its others, it sent as many as its
// octets hold of it, and where both sides sent as many, and none of full size,
// they took turns.
func exchanges(f *reassembly.Flow) uint16 {
	const (
		least = 3    // two of each may be the head and the body of one
		large = 1200 // octets that may be of a longer message
	)
	c, s := f.Endpoint(f.Client), f.Endpoint(f.Server())
	if c.PayloadBytes == uint64(c.LastDataLen) {
		return uint16(min(c.PayloadBytes, 1))
	}
	if c.LastDataLen == 0 || s.LastDataLen == 0 || c.LastDataLen >= large || s.LastDataLen >= large {
		return 0
	}
	n, m := segments(c), segments(s)
	if lo, hi := min(n, m), max(n, m); lo < least || hi-lo > lo/8+1 || hi > math.MaxUint16 || lo > min(c.Packets, s.Packets) {
		return 0
	}
	return uint16(n)
}

// segments is how many of the length of the last one the octets of a side make.
func segments(d *reassembly.Endpoint) uint64 {
	l := uint64(d.LastDataLen)
	return (d.PayloadBytes + l/2) / l
}

// Merge adds another collector's counts.
func (u *churn) Merge(o Collector) { u.stays.merge(&o.(*churn).stays) }

// Findings names the hosts that hold far more in TIME_WAIT than open.
func (u *churn) Findings(c *Context, end int64, emit func(Finding)) {
	u.stays.each(func(k place, list []change, cell *waits) {
		l := measure(list, end, int64(c.Profile.TwoMSL))
		if l.peakWait < leastTimeWait || l.peakWait < outnumbered*l.peakOpen {
			return
		}
		who, peer, where := ServerApp, "the client", k.addr().String()
		if k.side == clientRole {
			who, peer, where = ClientApp, "the server", fmt.Sprintf("%s, towards %s,", k.client().Addr(), k.addr())
		}
		d := newPattern(k, who, Certain, cell.n, cell.seen, func(sighting) (string, string) {
			return "", fmt.Sprintf("%s's segment here takes the side that closed first into TIME_WAIT", peer)
		})
		d.Duration = max(0, cell.max-d.Time)
		d.Verdict = fmt.Sprintf("%s held %s sockets in TIME_WAIT at once and never more than %s open: it closes first, %s connections/s; %s",
			where, count(l.peakWait), count(l.peakOpen), perSecond(l.rate), remedy(cell, who, max(1, l.peakOpen)))
		emit(d)
	})
}

// remedy is what would keep the connections from coming and going: a pool where
// each carried one exchange. Where each carried several there is one already.
func remedy(w *waits, who Party, open uint64) string {
	pool := fmt.Sprintf("a pool of %s would carry the same load", count(open))
	switch {
	case most(w.single, w.n):
		return pool
	case !most(w.several, w.n):
		return "where each carried one request, " + pool
	}
	why := "they could be kept for longer"
	// A limit is the same for nearly all: the spread is less than a twentieth.
	if mean := float64(w.sum) / float64(w.several); who == ServerApp && float64(w.squares)/float64(w.several)-mean*mean < mean*mean/400 {
		why = "a limit of requests per connection, which can be raised"
	}
	return fmt.Sprintf("each carried about %s requests before that: %s", count((w.sum+w.several/2)/w.several), why)
}

// most reports four fifths and more.
func most(n, of uint64) bool { return 5*n >= 4*of }
