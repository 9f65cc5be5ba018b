package diagnose

import (
	"fmt"

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
  A connection is opened for every request and closed after it. The side that
  closes first keeps each in TIME_WAIT for 2MSL, so that there are far more
  sockets in TIME_WAIT than open: as many as connections per second times 2MSL.

Signature
  One host held at least 500 sockets of one service in TIME_WAIT at once, and at
  least ten times as many as were open then.

Look-alikes
  A burst of closes when a pool shrinks or a process ends: the connections had
  lived, and many were open before.
  TIME_WAIT after few, long connections: ordinary, whatever its share.

What it usually is
  HTTP without keep-alive, a driver without a pool, a proxy that opens a
  connection per request to its backend, a health check gone wild.

What to do
  Reuse connections. A pool of as many as were open at once carries the same
  load. TIME_WAIT itself is harmless on the side that accepts: a few hundred
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
		if s == f.Client {
			u.stays.add(&c.pair, c.pairHosts, clientRole, x)
		} else {
			u.stays.add(&c.service, c.serviceHosts, serverRole, x)
		}
	}
}

// Merge adds another collector's counts.
func (u *churn) Merge(o Collector) { u.stays.merge(&o.(*churn).stays) }

// Findings names the hosts that hold far more in TIME_WAIT than open.
func (u *churn) Findings(c *Context, end int64, emit func(Finding)) {
	u.stays.each(func(k place, list []change, cell *flowCell) {
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
		d.Verdict = fmt.Sprintf("%s held %s sockets in TIME_WAIT at once and never more than %s open: it closes first, %s connections/s; a pool of %s would carry the same load",
			where, count(l.peakWait), count(l.peakOpen), perSecond(l.rate), count(max(1, l.peakOpen)))
		emit(d)
	})
}
