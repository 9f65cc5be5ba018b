package diagnose

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/lastack/lastack/reassembly"
)

func synFlood() Rule {
	return Rule{
		ID:       "syn-flood",
		Title:    "half-open connections from many sources, never completed",
		Severity: Error,
		Doc:      synFloodDoc,
		RFC:      []string{"RFC 4987 §2", "RFC 4987 §3.6", "RFC 9293 §3.10.7.2"},
		Replaces: []string{"syn-unanswered", "handshake-abandoned"},
		New:      func() Collector { return &halfOpens{} },
	}
}

const synFloodDoc = `What it means
  SYNs from many addresses reach one service and none of them is ever followed
  up. The service holds each in SYN_RCVD and repeats its SYN-ACK, until its
  queue of half-open connections is full.

Signature
  Within 17 s at least 30 SYNs to one address and port from at least 20 source
  addresses, each sent once, with no acknowledgement of the SYN-ACK, and at
  least four times as many as connections that completed. An RST in answer to
  the SYN-ACK counts too: the address was forged, and its owner says so. Certain
  where most SYN-ACKs came again or met such an RST, else likely; possible where
  none did and no other handshake of the service is seen to complete.

Look-alikes
  Real clients of a service that is down or overloaded, or behind a path that
  lost its way: they repeat their SYN, and they acknowledge.
  A scan: many ports from few addresses.
  Half-open health checks: few addresses, again and again.
  A capture filter that leaves SYNs, or SYNs and SYN-ACKs: nothing that
  completes is in it. But where nobody follows up, the SYN-ACK comes again after
  1 s (not with SYN cookies): where most do not, and the capture holds nothing
  but SYN, FIN and RST of any flow, nothing is said.

What it usually is
  An attack with forged addresses; where the addresses answer with an RST, the
  service is one of its reflectors.

What to do
  Leave SYN cookies on (tcp_syncookies=1): they are a fallback that keeps
  serving. Raise tcp_max_syn_backlog and the listener's backlog, shorten
  tcp_synack_retries for the time, filter upstream. Forged addresses cannot be
  blocked one by one.

What would prove it
  TCPReqQFullDoCookies and TCPReqQFullDrop in "nstat -az" on the server, and the
  sources' TTLs, which do not fit where the addresses are.`

const (
	floodSlot    = queueSlot // ns: 17.2 s, as of portions
	floodLeast   = 30
	floodSources = 20
	floodShare   = 4
	floodCounted = 3000 // sources, beyond which the bits are too full to tell
)

// halfOpens counts connections to a service that were and were not completed.
type halfOpens struct {
	cells sketch[floodCell, *floodCell]
	done  sketch[total, *total] // completed
}

type floodCell struct {
	flowCell            // half-open
	answered uint64     // half-open, with a SYN-ACK,
	proved   uint64     // and proof that it was not followed up
	sources  [16]uint64 // a bit for each source, by hash
}

func (c *floodCell) merge(o *floodCell) {
	c.answered += o.answered
	c.proved += o.proved
	for i, w := range o.sources {
		c.sources[i] |= w
	}
	c.flowCell.merge(&o.flowCell)
}

func (c *floodCell) reset() { *c = floodCell{flowCell: flowCell{seen: c.seen[:0]}} }

// distinct estimates the number of sources by how many bits are still clear.
func (c *floodCell) distinct() uint64 {
	const all = len(c.sources) * 64
	set := 0
	for _, w := range c.sources {
		set += bits.OnesCount64(w)
	}
	clear := max(1, all-set)
	return uint64(math.Round(float64(all) * math.Log(float64(all)/float64(clear))))
}

func (s *halfOpens) Add(c *Context, f *reassembly.Flow) {
	h := &f.Handshake
	if f.Role != reassembly.RoleSYN || h.FirstSYNRef == 0 || f.Quality&reassembly.QualityOneWay != 0 {
		return
	}
	opened := false
	switch h.Outcome {
	case reassembly.Complete, reassembly.Simultaneous:
		if opened = true; c.lately.covers(h.FirstSYN) {
			c.lately.opened++
			return
		}
	case reassembly.Incomplete, reassembly.Unanswered:
	default:
		return
	}
	k := c.service
	k.slot = h.FirstSYN / floodSlot
	if opened {
		s.done.on(&k, c.serviceHosts).n++
		return
	}
	d := f.Endpoint(f.Client)
	if d.SYN-d.Duplicates != 1 || f.Until-h.FirstSYN < answerPatience {
		return // it means it, or may
	}
	x := s.cells.on(&k, c.serviceHosts)
	x.add(sighting{flow: f.ID, at: h.FirstSYN, ref: h.FirstSYNRef, side: clientRole})
	if h.SYNACKRef != 0 {
		x.answered++
		if halfOpen(f) {
			x.proved++
		}
	}
	bit := sourceHash(addressOf(f, f.Client)) % uint64(len(x.sources)*64)
	x.sources[bit/64] |= 1 << (bit % 64)
}

func (s *halfOpens) gather(k place, hosts uint64, x *portion, letGo bool) {
	if x.opened > 0 {
		s.done.cell(&k, k.hashOn(hosts), letGo).n += uint64(x.opened)
	}
}

// sourceHash spreads addresses (FNV-1a and a final mix).
func sourceHash(a [16]byte) uint64 {
	var h uint64
	if [12]byte(a[:12]) == mappedIPv4 {
		h = fnv(mappedIPv4Hash, a[12:])
	} else {
		h = fnv(fnvBasis, a[:])
	}
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15 >> 20
}

const fnvBasis = uint64(14695981039346656037)

// mappedIPv4 begins all addresses of IPv4, which most are.
var (
	mappedIPv4     = [12]byte{10: 0xff, 11: 0xff}
	mappedIPv4Hash = fnv(fnvBasis, mappedIPv4[:])
)

// fnv is the FNV-1a hash h, continued over b.
func fnv(h uint64, b []byte) uint64 {
	for _, x := range b {
		h = (h ^ uint64(x)) * 1099511628211
	}
	return h
}

// Merge adds another collector's counts.
func (s *halfOpens) Merge(o Collector) {
	p := o.(*halfOpens)
	s.cells.merge(&p.cells)
	s.done.merge(&p.done)
}

// Findings names the services that were flooded, from the first slot of time in
// which they were to the last.
func (s *halfOpens) Findings(c *Context, end int64, emit func(Finding)) {
	opens := map[place]bool{} // services
	for _, k := range s.done.places() {
		opens[k.whole()] = true
	}
	keys := s.cells.places()
	for from := 0; from < len(keys); {
		k := keys[from].whole()
		var sum floodCell
		peak, done := uint64(0), uint64(0)
		for ; from < len(keys) && keys[from].whole() == k; from++ {
			x, n := s.cells.get(keys[from]), uint64(0)
			if d := s.done.get(keys[from]); d != nil {
				n = d.n
			}
			if x.n >= floodLeast && x.n >= floodShare*n && x.distinct() >= floodSources {
				sum.merge(x)
				peak, done = max(peak, x.n), done+n
			}
		}
		if sum.n == 0 {
			continue
		}
		if sure := sum.sure(&c.shown, opens[k]); sure != 0 {
			emit(sum.finding(k, end, peak, done, sure))
		}
	}
}

// sure grades a flood; 0 for none. A filter that leaves SYNs and SYN-ACKs makes
// one of every busy service, and so does a capture that holds nothing else of
// this service.
func (c *floodCell) sure(shown *Shown, opens bool) Confidence {
	switch {
	case 2*c.proved >= c.n:
		return Certain
	case shown.Filtered():
		return 0
	case c.proved == 0 && !opens:
		return Possible
	}
	return Likely
}

func (c *floodCell) finding(k place, end int64, peak, done uint64, sure Confidence) Finding {
	d := newPattern(k, Unknown, sure, c.n, c.seen, func(sighting) (string, string) {
		return "", "a SYN that is not followed up"
	})
	drew := fmt.Sprintf("%s of them drew a SYN-ACK", count(c.answered))
	if c.answered > 0 {
		drew += fmt.Sprintf(" (%s came again or met an RST)", count(c.proved))
	}
	// Those of the last moments were not watched for long enough to count, and
	// are explained all the same.
	d.Duration = max(c.max, min(end, c.max+answerPatience)) - d.Time
	sources := "about " + count(min(c.distinct(), c.n))
	if c.distinct() > floodCounted {
		sources = "more than " + count(uint64(floodCounted))
	}
	worst := ""
	if peak < c.n {
		worst = fmt.Sprintf(", up to %s in 17 s", count(peak))
	}
	was := "was"
	if sure == Possible {
		was = "may have been"
	}
	d.Verdict = fmt.Sprintf("%s %s flooded: %s SYNs from %s addresses within %s were never followed up%s; %s, and meanwhile %s of other clients completed",
		k.addr(), was, count(c.n), sources, Span(c.max-c.min), worst, drew, handshakes(done))
	return d
}

// handshakes is "1 handshake" or "12 handshakes".
func handshakes(n uint64) string {
	if n == 1 {
		return "1 handshake"
	}
	return count(n) + " handshakes"
}
