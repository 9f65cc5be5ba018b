package diagnose

import (
	"cmp"
	"fmt"
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

// portUse counts the ports of each client towards each service.
type portUse struct{ stays stays }

func (u *portUse) Add(_ *Context, f *reassembly.Flow) {
	x, ok := stayOf(f, f.Client)
	if !ok {
		return
	}
	x.place = pairOf(f)
	u.stays.add(x)
}

// Merge adds another collector's counts.
func (u *portUse) Merge(o Collector) { u.stays.merge(&o.(*portUse).stays) }

// used is one client's use of ports, and where it was counted.
type used struct {
	place
	Ports
	flows flowCell // that left a port in TIME_WAIT
}

// used lists the use of ports by those clients for which matters is true of what
// they held and what there is, the highest first.
func (u *portUse) used(c *Context, end int64, matters func(*load, uint64) bool) (out []used) {
	twoMSL := int64(c.Profile.TwoMSL)
	capacity := uint64(c.Profile.PortHi) - uint64(c.Profile.PortLo) + 1
	u.stays.each(func(k place, list []change, flows *flowCell) {
		l := measure(list, end, twoMSL)
		if !matters(&l, capacity) {
			return
		}
		out = append(out, used{k, Ports{
			Client: k.client().Addr(), Service: k.addr(), Capacity: capacity,
			PeakTimeWait: l.peakWait, PeakAt: l.peakAt, PeakInUse: l.peakUse,
			Rate: l.rate, Sustainable: float64(capacity) / c.Profile.TwoMSL.Seconds(),
			ExhaustedIn: l.exhaustedIn(capacity, end, twoMSL),
		}, *flows})
	})
	slices.SortStableFunc(out, func(a, b used) int {
		return cmp.Or(cmp.Compare(b.PeakInUse, a.PeakInUse), cmp.Compare(b.PeakTimeWait, a.PeakTimeWait))
	})
	return out
}

func (u *portUse) ports(c *Context, end int64) (out []Ports) {
	all := u.used(c, end, func(l *load, _ uint64) bool { return l.peakWait > 0 })
	for _, x := range all[:min(len(all), portLines)] {
		out = append(out, x.Ports)
	}
	return out
}

// Findings names the clients that used more than half of their ports.
func (u *portUse) Findings(c *Context, end int64, emit func(Finding)) {
	// Without any in TIME_WAIT it is a pool, which may be as large as the range.
	for _, x := range u.used(c, end, func(l *load, capacity uint64) bool { return l.peakWait > 0 && 2*l.peakUse > capacity }) {
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
		d.Verdict = fmt.Sprintf("%s used %s of its %s ephemeral ports towards %s at once (%d%%), %s of them in TIME_WAIT, at %s connections/s where %s can be sustained%s",
			x.Client, count(x.PeakInUse), count(x.Capacity), x.Service, x.PeakInUse*100/x.Capacity, count(x.PeakTimeWait),
			perSecond(x.Rate), perSecond(x.Sustainable), left)
		emit(d)
	}
}

// perSecond writes a rate: "470", "2.5".
func perSecond(r float64) string {
	if r >= 10 {
		return count(uint64(r))
	}
	return fmt.Sprintf("%.1f", r)
}
