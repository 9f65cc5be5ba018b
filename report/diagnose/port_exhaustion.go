package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lastack/lastack/reassembly"
)

func portExhaustion() Rule {
	return Rule{
		ID:       "port-exhaustion",
		Title:    "the ephemeral ports towards one service run out",
		Severity: Warning,
		Doc:      portExhaustionDoc,
		RFC:      []string{"RFC 9293 §3.6.1", "RFC 6056 §2.2", "RFC 6191 §2"},
		New:      func() Collector { return &portUse{} },
	}
}

const portExhaustionDoc = `What it means
  A client takes a port of its own for every connection to one address and port.
  Where it closes first, the port stays taken for 2MSL after the close
  (TIME_WAIT). When the range is used up, connect() fails with EADDRNOTAVAIL.
  That puts nothing on the wire: it can be forecast, not seen.

Signature
  The most connections from one client address to one service that were open or
  in TIME_WAIT on the client at once, against the number of ephemeral ports:
  more than half is a warning, more than nine tenths an error. Range and 2MSL
  are those of the profile, --ports and --msl.

Look-alikes
  TIME_WAIT on the server, because it closes first: it takes no port of the
  client's, and accepted sockets share the server's port.
  Many connections to several services or from several addresses: each pair of
  addresses and each port of a service has the whole range.
  A client behind address translation: the range is then the translator's.
  A range that is not the client's: ports outside it take none of its ports, so
  they are left out, counted and named.

What it usually is
  A client that opens a connection for every request and closes it itself.
  Linux's 28,232 ports (32768-60999) at 60 s allow 470 connections per second to
  one service; not 65,535 divided by 2MSL.

What to do
  Keep connections and reuse them: a pool as large as what was open at once. Or
  let the server close first, add addresses, or widen ip_local_port_range.
  tcp_tw_reuse=1 lets outgoing connections take a port in TIME_WAIT after a
  second, where both ends use timestamps. tcp_fin_timeout does not shorten
  TIME_WAIT, tcp_tw_recycle is gone since Linux 4.12, and SO_LINGER 0 discards
  data.

What would prove it
  EADDRNOTAVAIL in the client's log, and "ss -tan state time-wait" there.`

// portLines bounds the list of Ports.
const portLines = 1000

// portUse counts the ports of each client towards each service, those outside
// the range for themselves: they take nothing from it, and tell that it is not
// the client's.
type portUse struct {
	stays stays
	// known is what used found last, up to upTo; nil once more was added.
	known []used
	upTo  int64
}

// outsideRange marks the places of ports outside the range, which are otherwise
// those of the client and the service.
const outsideRange = clientRole + serverRole

func (u *portUse) Add(c *Context, f *reassembly.Flow) {
	x, ok := stayOf(f, f.Client)
	if !ok {
		return
	}
	side := part(0)
	if port := portOf(f, f.Client); port < c.Profile.PortLo || port > c.Profile.PortHi {
		side = outsideRange
	}
	u.stays.add(&c.pair, c.pairHosts, side, x)
	u.known = nil
}

// Merge adds another collector's counts.
func (u *portUse) Merge(o Collector) {
	u.stays.merge(&o.(*portUse).stays)
	u.known = nil
}

// used is one client's use of ports, and where it was counted.
type used struct {
	place
	Ports
	flows flowCell // that left a port of the range in TIME_WAIT
}

// used lists the use of ports by the clients that held TIME_WAIT, the highest
// first. It is asked thrice at the end.
func (u *portUse) used(c *Context, end int64) []used {
	if u.known == nil || u.upTo != end {
		u.known, u.upTo = u.use(c, end), end
	}
	return u.known
}

func (u *portUse) use(c *Context, end int64) []used {
	twoMSL := int64(c.Profile.TwoMSL)
	capacity := uint64(c.Profile.PortHi) - uint64(c.Profile.PortLo) + 1
	row := func(k place) used {
		return used{place: k, Ports: Ports{
			Client: k.client().Addr(), Service: k.addr(), Capacity: capacity,
			Sustainable: float64(capacity) / c.Profile.TwoMSL.Seconds(), ExhaustedIn: -1,
		}}
	}
	out := []used{}
	outside := map[place]uint64{} // what was in use of these
	u.stays.each(func(k place, list []change, flows *waits) {
		l := measure(list, end, twoMSL)
		switch {
		case l.peakWait == 0:
		case k.side == outsideRange:
			k.side = 0
			outside[k] = l.peakUse
		default:
			x := row(k)
			x.PeakTimeWait, x.PeakAt, x.PeakInUse, x.Rate = l.peakWait, l.peakAt, l.peakUse, l.rate
			x.ExhaustedIn, x.flows = l.exhaustedIn(capacity, end, twoMSL), flows.flowCell
			out = append(out, x)
		}
	})
	for i := range out {
		out[i].Outside = outside[out[i].place]
		delete(outside, out[i].place)
	}
	for _, k := range slices.SortedFunc(maps.Keys(outside), place.compare) {
		x := row(k)
		x.Outside = outside[k]
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b used) int {
		return cmp.Or(cmp.Compare(b.PeakInUse+b.Outside, a.PeakInUse+a.Outside), cmp.Compare(b.PeakTimeWait, a.PeakTimeWait),
			a.place.compare(b.place))
	})
	return out
}

func (u *portUse) ports(c *Context, end int64) (out []Ports) {
	all := u.used(c, end)
	for _, x := range all[:min(len(all), portLines)] {
		out = append(out, x.Ports)
	}
	return out
}

// Findings names the clients that used more than half of their ports.
func (u *portUse) Findings(c *Context, end int64, emit func(Finding)) {
	// Without any in TIME_WAIT it is a pool, which may be as large as the range.
	for _, x := range u.used(c, end) {
		if x.PeakTimeWait == 0 || 2*x.PeakInUse <= x.Capacity {
			continue
		}
		d := newPattern(x.place, ClientApp, Likely, x.flows.n, x.flows.seen, func(sighting) (string, string) {
			return "", "the server's segment here takes the client into TIME_WAIT"
		})
		if 10*x.PeakInUse > 9*x.Capacity {
			d.Severity = Error
		}
		d.Duration = max(0, end-d.Time)
		left := ""
		switch {
		case x.ExhaustedIn == 0:
			left = ", and none was left at the end"
		case x.ExhaustedIn > 0:
			left = fmt.Sprintf(", and at the rate of the end none is left after %s more", Span(x.ExhaustedIn))
		}
		if x.Outside > 0 {
			left += "; " + outsideWords(x.Outside, c)
		}
		d.Verdict = fmt.Sprintf("%s used %s of its %s ephemeral ports towards %s at once (%d%%), %s of them in TIME_WAIT, at %s connections/s where %s can be sustained%s",
			x.Client, count(x.PeakInUse), count(x.Capacity), x.Service, x.PeakInUse*100/x.Capacity, count(x.PeakTimeWait),
			perSecond(x.Rate), perSecond(x.Sustainable), left)
		emit(d)
	}
}

// outsideWords says that ports in use show the range to be another host's.
func outsideWords(n uint64, c *Context) string {
	return fmt.Sprintf("it also used %s outside %d-%d at once: that range is not its own", portsOf(n), c.Profile.PortLo, c.Profile.PortHi)
}

// portsOf is "1 port" or "4,533 ports".
func portsOf(n uint64) string {
	if n == 1 {
		return "1 port"
	}
	return count(n) + " ports"
}

// wrongRange says of the client that used the most ports outside the range that
// the range is not its own, where by their number a shortage of ports would have
// been found; "" where none would.
func (u *portUse) wrongRange(c *Context, end int64) string {
	worst, clients := used{}, map[netip.Addr]bool{}
	for _, x := range u.used(c, end) {
		if 2*(x.PeakInUse+x.Outside) <= x.Capacity || x.Outside == 0 {
			continue
		}
		if clients[x.Client] = true; x.Outside > worst.Outside {
			worst = x
		}
	}
	if worst.Outside == 0 {
		return ""
	}
	more := ""
	if n := len(clients) - 1; n > 0 {
		more = fmt.Sprintf(", as %s other clients did", count(uint64(n)))
		if n == 1 {
			more = ", as one other client did"
		}
	}
	return fmt.Sprintf("%s used %s towards %s at once outside the range %d-%d%s: that range is not its own (--ports, --profile)",
		worst.Client, portsOf(worst.Outside), worst.Service, c.Profile.PortLo, c.Profile.PortHi, more)
}

// perSecond writes a rate: "470", "2.5".
func perSecond(r float64) string {
	if r >= 10 {
		return count(uint64(r))
	}
	return fmt.Sprintf("%.1f", r)
}
