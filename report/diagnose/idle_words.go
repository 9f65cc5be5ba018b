package diagnose

import (
	"fmt"
	"strings"

	"github.com/lastack/lastack/reassembly"
)

// idleFinding says whose timer closes, and after what: idleness, or payload of
// the client that got no answer. filtered is the capture as a whole.
func idleFinding(k place, best *idleCell, waited, filtered bool) Finding {
	who, name, other := ServerApp, "server", "client"
	if k.side == clientRole {
		who, name, other = ClientApp, "client", "server"
	}
	did := best.did()
	before := "the last use"
	if waited {
		before = "the client's last payload, which got no answer"
	}
	d := newPattern(k, who, best.sure(waited, filtered), best.n, best.seen, func(x sighting) (string, string) {
		if x.side != k.side {
			return fmt.Sprintf("the %s %s the connection", name, did),
				fmt.Sprintf("the %s's timestamp here, and that which the %s echoed, tell for how long it was idle", other, name)
		}
		return before, fmt.Sprintf("the %s %s the connection", name, did)
	})
	doubt := ""
	if d.Confidence == Possible {
		d.LoweredBy |= reassembly.QualityFiltered
		doubt = ", unless what it did meanwhile was filtered out"
	}
	d.Typical, d.Behind = best.sum*1000/int64(best.n), best.harmed
	d.Duration = best.max - d.Time
	words := idleWords
	if waited {
		words = waitWords
	}
	d.Verdict, d.Aside = words(k.side, d.owner(), did, d.Typical, spread(best.shortest, best.longest)+count(best.n)+" connections")
	d.Verdict += doubt
	d.Aside = "A timer " + is(d.Confidence) + " behind it: " + ownerOfTimer + " " + d.Aside + "."
	if best.harmed > 0 {
		d.Verdict += fmt.Sprintf(", and on %s of them the %s did not close its own end in time", count(best.harmed), other)
	}
	return d
}

// ownerOfTimer stands in an aside where its reader names whose timer it is.
const ownerOfTimer = "{owner}"

// owner names whose timer it is.
func (d *Finding) owner() string {
	if d.Who == ClientApp {
		return "the client of " + d.Service.String()
	}
	return d.Service.String()
}

// AsideTo is the aside to findings whose party is the one of this finding too, so
// that the reader knows it, or else another.
func (d *Finding) AsideTo(same bool) string {
	owner := d.owner()
	if same {
		owner = "that side"
	}
	return strings.Replace(d.Aside, ownerOfTimer, owner, 1)
}

// is says that something is, or that it may be.
func is(sure Confidence) string {
	if sure == Possible {
		return "may be"
	}
	return "is"
}

// did is how they were closed.
func (c *idleCell) did() string {
	switch c.resets {
	case 0:
		return "closes"
	case c.n:
		return "resets"
	}
	return "closes or resets"
}

// idleWords tell an idle timer of so many ns, as a verdict, and as an aside that
// follows its owner.
func idleWords(closer part, owner, did string, ns int64, what string) (verdict, aside string) {
	name, known := "server", ""
	if closer == clientRole {
		name = "client"
	}
	if who := knownTimer(ns, closer); who != "" {
		known = ", a default of " + who
	}
	return fmt.Sprintf("%s %s connections after about %s idle (%s); the timer is the %s's%s", owner, did, Tenths(ns), what, name, known),
		fmt.Sprintf("%s after about %s idle%s", did, Tenths(ns), known)
}

// waitWords tell a time limit on what the client had sent, in the same way.
func waitWords(closer part, owner, did string, ns int64, what string) (verdict, aside string) {
	last, why := "the client's last payload, to which it sent no answer",
		"it limits how long a request may take, or, where no answer was due, for how long a connection may be idle"
	if closer == clientRole {
		last, why = "its own last payload, which got no answer",
			"it stops waiting for an answer, or, where none was due, limits for how long a connection may be idle"
	}
	return fmt.Sprintf("%s %s connections about %s after %s (%s): %s", owner, did, Tenths(ns), last, what, why),
		fmt.Sprintf("%s about %s after %s", did, Tenths(ns), last)
}

// spread is "29.9 s to 30.1 s; ", or "" where that is one length.
func spread(shortest, longest int64) string {
	if a, b := Span(shortest), Span(longest); a != b {
		return a + " to " + b + "; "
	}
	return ""
}

// knownTimer names who is known to have a default near a length in ns on the
// side that closes, "" if nobody. All of them can be configured.
func knownTimer(ns int64, closer part) string {
	names, _ := timerNear(ns, closer)
	return names
}

// timerNear is the timer near a length in ns: which servers, or which clients,
// have it as a default, and the timer itself in seconds. What stands between the
// two may close in the name of either, and a proxy is a client to its servers.
func timerNear(ns int64, closer part) (names string, seconds int64) {
	for _, k := range []struct {
		seconds        int64
		server, client string
	}{
		{5, "Apache httpd and Node.js", ""}, {10, "MySQL's connect_timeout", ""}, {15, "older Apache httpd and some proxies", ""},
		{30, "many proxies", ""}, {60, "AWS Application Load Balancer, and many proxies", "AWS Application Load Balancer, and nginx towards its servers"},
		{75, "nginx's keepalive_timeout", ""}, {90, "", "Go's net/http"},
		{240, "Azure Load Balancer", "Azure Load Balancer"}, {300, "many proxies", "many pools"},
		{350, "AWS Network Load Balancer and NAT Gateway", "AWS Network Load Balancer and NAT Gateway"},
		{600, "Google's load balancers", "HikariCP's idleTimeout and Google's load balancers"},
		{900, "several firewalls", "several firewalls"}, {3600, "many firewalls, and Envoy", "many firewalls, and Envoy"},
		{28800, "MySQL's wait_timeout", ""},
	} {
		names := k.server
		if closer == clientRole {
			names = k.client
		}
		d := k.seconds * 1e9
		if off := max(ns-d, d-ns); names != "" && off <= max(d*3/100, 300e6) {
			return names, k.seconds
		}
	}
	return "", 0
}
