package diagnose

import (
	"fmt"

	"github.com/lastack/lastack/reassembly"
)

func connectionRefused() Rule {
	return Rule{
		ID:       "connection-refused",
		Title:    "an RST answered the SYN",
		Severity: Warning,
		Doc:      connectionRefusedDoc,
		RFC:      []string{"RFC 9293 §3.5.2", "RFC 9293 §3.10.7.1", "RFC 9293 §3.10.7.3"},
		needs:    signReset,
		Check:    checkRefused,

		byDistance: true,
		New:        func() Collector { return &distances{} },
	}
}

const connectionRefusedDoc = `What it means
  The client asked for a connection and was told at once that there is none to
  be had: its connect() fails with ECONNREFUSED. Something answered: as a rule
  the server's host, which is alive and reachable then.

Signature
  SYN, and an RST that acknowledges it (the SYN's sequence number plus one, and
  plus the payload on the SYN if there is any). An RST that acknowledges
  anything else is ignored by the client, and here too.
  The refusal is certain. So is that it is the host's own where other segments
  of the host came from as far as the RST, by their time to live; else likely.

Look-alikes
  A firewall that rejects with a TCP reset: octet for octet the same but for the
  time to live. Where that of the host's other segments is constant, in at least
  three flows, and the RST came over fewer routers, a device on the path is
  blamed where the host's own RSTs refuse other connections. Else it is not,
  since a host that hands ports on to containers looks the same. A device that
  bridges, as the machine of containers on one bridge, is as far away as what is
  behind it, and not told from it.
  An ICMP error instead of the RST, or no answer at all: other findings.
  An RST after the SYN-ACK: the client abandoned the handshake, or scans.

What it usually is
  No process listens on the port: the service is down, starting, or bound to
  another address. Many ports of one host in a row: a port scan.

What to do
  On the server "ss -tlnp" shows who listens, and on which address. Check the
  port and address that the client uses.

What would prove it
  The list of listeners at that time; the firewall's counters.`

func checkRefused(_ *Context, f *reassembly.Flow, emit func(Finding)) {
	if f.Handshake.Outcome != reassembly.Refused || f.Reset.Ref == 0 || f.Reset.By != f.Server() {
		return
	}
	h := &f.Handshake
	syn := Evidence{Ref: h.FirstSYNRef, At: h.FirstSYN, Side: f.Client, What: "the client's SYN"}
	rst := Evidence{Ref: f.Reset.Ref, At: f.Reset.At, Side: f.Server(), What: "an RST acknowledges the SYN"}
	for i := range f.Marks {
		// The first of several: it answers the first SYN.
		if m := &f.Marks[i]; m.Kind == reassembly.RSTSent && m.Side == f.Server() {
			rst.Ref, rst.At = m.Ref, m.At
			break
		}
	}
	n := newFinding(f, ServerHost, Likely, syn, rst) // see Settle
	if _, again := attempts(f); again {
		n.Duration = f.End - f.Start
	}
	n.Slot = slotOfRST(f)
	n.say = refusedWords(rst.At - h.FirstSYN)
	if n.rests(f, onPackets) {
		emit(n)
	}
}

// attempts is how many SYNs the client sent, and whether those were several.
func attempts(f *reassembly.Flow) (n uint64, several bool) {
	d := f.Endpoint(f.Client)
	n = d.SYN - d.Duplicates
	return n, n > 1 && n < 1<<16
}

// refusedWords tells of a SYN that was refused so soon.
func refusedWords(after int64) wordsOf {
	return func(f *reassembly.Flow, _ int64) string {
		again := ""
		if n, several := attempts(f); several {
			again = fmt.Sprintf(", and so did the client's %d attempts in all", n)
		}
		return fmt.Sprintf("%s refused the connection: an RST answered the SYN after %s%s; nothing listens there, or a firewall rejects in its name",
			f.Addr(f.Server()), Span(after), again)
	}
}
