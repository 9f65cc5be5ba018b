package report

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

// reportOf is a report with n flows and the groups given.
func reportOf(n uint64, groups ...Group) *Report {
	r := &Report{Packets: 10 * n, Flows: n, Groups: groups}
	for i := range groups {
		g := &groups[i]
		if g.Severity == 0 {
			g.Severity, g.Confidence = diagnose.Error, diagnose.Certain
		}
		if g.FlowCount == 0 {
			g.FlowCount = g.Count
		}
		r.Tally.plus(&g.Counts)
	}
	r.look()
	return r
}

// unsure is the group with its findings certain or only possible.
func unsure(g Group, certain, possible uint64) Group {
	g.Severity, g.Confidence = diagnose.Error, diagnose.Certain
	if certain == 0 {
		g.Confidence = diagnose.Possible
	}
	g.Counts[g.Severity][diagnose.Certain], g.Counts[g.Severity][diagnose.Possible] = certain, possible
	return g
}

// crowd is the group with n clients instead of its own.
func crowd(g Group, n int) Group {
	g.clients = hosts{}
	for i := range n {
		g.clients.add(netip.AddrFrom4([4]byte{10, 0, byte(1 + i/250), byte(1 + i%250)}), true)
	}
	return g
}

// minutes is a group of a finding at each of the times that n per minute gives.
func minutes(g Group, n ...int) Group {
	g.First = at14
	for m, n := range n {
		for i := range n {
			g.onsets.add(at14+int64(m)*60*second+int64(i)*60*second/int64(n), 1)
		}
		if n > 0 {
			g.Last = at14 + int64(m)*60*second + 59*second
		}
	}
	return g
}

// at14 is 14:00 UTC on a day.
var at14 = time.Date(2026, 1, 31, 14, 0, 0, 0, time.UTC).UnixNano()

// growing is a leak that is told once, however often it happened.
func growing() *Report {
	g := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 20_000, Longest: 521e9,
		StillOpen: 12_000, Oldest: 521e9,
		usual: &diagnose.Delays{N: 40, P50: 12e6, P95: 20e6, Max: 3e9}}
	g = unsure(minutes(g, 250, 250, 250, 250, 750, 750, 750, 750, 1750, 1750, 1750, 1750), 20_000, 0)
	r := reportOf(30_000, g)
	r.Start, r.End = at14, at14+12*60*second
	return r
}

// over is one that ended long before the capture did.
func over() *Report {
	g := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 60, Longest: 8e9}
	r := reportOf(100, minutes(g, 60, 0, 0))
	r.Start, r.End = at14, at14+600*second
	return r
}

// incident is what several rules tell of one.
func incident() *Report {
	client := netip.MustParseAddr("10.0.0.9")
	leak := Group{Rule: "fin-unanswered", Who: diagnose.ClientApp, Service: service, Count: 60}
	write := Group{Rule: "write-after-fin", Who: diagnose.ClientApp, Service: service, Count: 5}
	leak.clients.add(client, true)
	write.clients.add(client, true)
	onset := Group{Rule: "synchronized-onset", Who: diagnose.ClientApp, Service: service, Count: 1, FlowCount: 60,
		Example: diagnose.Finding{Verdict: "x", Aside: "Three clients began together.", Behind: 60}}
	timer := Group{Rule: "idle-timeout-close", Who: diagnose.ServerApp, Service: service, Count: 1, FlowCount: 84,
		Severity: diagnose.Warning, Confidence: diagnose.Certain,
		Example: diagnose.Finding{Verdict: "y", Aside: "A timer is behind it.", Behind: 60}}
	// What is behind few of the flows, or the same side's timer, is not.
	rare, own := timer, timer
	rare.Service, rare.Example.Behind, rare.Example.Aside = netip.MustParseAddrPort("10.0.0.7:80"), 1, "Wrong service."
	own.Who, own.Example.Aside = diagnose.ClientApp, "Wrong side."
	return reportOf(84, leak, onset, rare, own, timer, write)
}

// writes are findings of write-after-fin by the client's application: so many
// errors and warnings, of which some measured how long it waited. A timer of either
// side is there.
func writes(wrote, left, waited uint64) *Report {
	var groups []Group
	for s, n := range map[diagnose.Severity]uint64{diagnose.Error: wrote, diagnose.Warning: left} {
		g := Group{Rule: "write-after-fin", Who: diagnose.ClientApp, Service: service, Count: n, Severity: s, Confidence: diagnose.Certain}
		if g.Counts[s][diagnose.Certain] = n; n == 0 {
			continue
		}
		if s == diagnose.Warning {
			g.measured, g.passed = spans{waited, 1e9, 2e9}, spans{waited, 3e9, 3e9}
		}
		g.clients.add(netip.MustParseAddr("10.0.0.9"), true)
		groups = append(groups, g)
	}
	own := Group{Rule: "idle-timeout-close", Who: diagnose.ClientApp, Service: service, Count: 1, FlowCount: 9,
		Severity: diagnose.Info, Confidence: diagnose.Certain, Example: diagnose.Finding{Aside: "The client's timer.", Behind: 9}}
	other := own
	other.Who, other.Example.Aside = diagnose.ServerApp, "The server's timer."
	return reportOf(9, append(groups, own, other)...)
}

// dual is a leak on two addresses of one service, and the timer of each.
func dual() *Report {
	var groups []Group
	for _, s := range []netip.AddrPort{service, netip.MustParseAddrPort("[2001:db8::1]:80")} {
		groups = append(groups, Group{Rule: "fin-unanswered", Who: diagnose.ClientApp, Service: s, Count: 30},
			Group{Rule: "idle-timeout-close", Who: diagnose.ServerApp, Service: s, Count: 1, FlowCount: 30,
				Severity: diagnose.Warning, Confidence: diagnose.Certain,
				Example: diagnose.Finding{Verdict: "y", Aside: "A timer is behind it.", Behind: 15}})
	}
	return reportOf(84, groups...)
}

func TestVerdict(t *testing.T) {
	client := netip.MustParseAddr("10.0.0.9")
	second := netip.MustParseAddrPort("10.0.0.2:80")
	leak := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 212, Longest: 521e9}
	single := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 1,
		Example: diagnose.Finding{Verdict: "It did not answer."}}
	by := func(who diagnose.Party, c netip.Addr) Group {
		g := Group{Rule: "rst-unread-data", Who: who, Service: service, Count: 3}
		g.clients.add(c, true)
		return g
	}
	other := by(diagnose.ClientApp, client)
	other.Service = second
	hedged := by(diagnose.ServerApp, client)
	hedged.Confidence = diagnose.Likely
	hedged.Counts[diagnose.Warning][diagnose.Likely], hedged.Counts[diagnose.Info][diagnose.Possible] = 2, 1
	for _, c := range []struct {
		name   string
		report *Report
		want   string
	}{
		{"the client wrote", writes(3, 0, 0), "10.0.0.9 sent data to a server that had closed already on 3 of 9 flows to 10.0.0.1:80. " +
			"An RST answered the data: whatever it asked for was not done. The server's timer."},
		{"the client left", writes(0, 3, 2), "10.0.0.9 closed before all that the server had to send had come on 3 of 9 flows to 10.0.0.1:80. " +
			"An RST answered what came after the FIN. The client's timer."},
		{"the client waited", writes(0, 3, 3), "10.0.0.9 stopped waiting after 1 s to 2 s on 3 of 9 flows to 10.0.0.1:80; " +
			"the answers came after about 3 s. The client's timer."},
		{"the client did both", writes(2, 3, 0), "10.0.0.9 sent data to a server that had closed already on 2 of 9 flows to 10.0.0.1:80. " +
			"An RST answered the data: whatever it asked for was not done. The server's timer. " +
			"They also closed before all that the server had to send had come on 3 flows."},
		{"empty", &Report{}, "The input holds no packets."},
		{"empty behind a filter", &Report{Filter: Filter{Expr: "udp"}}, "The input holds no packets."},
		{"no match", &Report{Filter: Filter{Expr: "udp", Read: 4533}}, "None of 4,533 packets matches the filter 'udp'."},
		{"the one", &Report{Filter: Filter{Expr: "udp", Read: 1}}, "The one packet does not match the filter 'udp'."},
		{"no match behind tags", &Report{Filter: Filter{Expr: "tcp or udp", Read: 2, Tagged: true}},
			"None of 2 packets matches the filter 'tcp or udp'. Packets with VLAN tags are among them, which it passes over: " +
				"'vlan and (tcp or udp)' looks behind the tags."},
		{"no TCP", &Report{Packets: 9, Health: Health{NotTCP: 6, Undecodable: 3}},
			"The input holds no TCP: 9 packets, 6 of other protocols, 3 that could not be decoded."},
		{"clean", func() *Report {
			r := reportOf(1904)
			r.ByClose[reassembly.CloseOrderly], r.ByClose[reassembly.CloseSimultaneous] = 1800, 80
			r.ByClose[reassembly.CloseReset], r.ByClose[reassembly.CloseOpen] = 21, 3
			return r
		}(), "No finding in 1,904 flows: 1,880 closed by FIN, 21 ended by RST, 3 still open."},
		{"several", reportOf(1904, leak), "10.0.0.1:80 did not answer the client's FIN on 212 of 1,904 flows, " +
			"the longest for 8m41s. The kernel acknowledged each FIN; the application does not close."},
		{"one", reportOf(7, single), "It did not answer."},
		{"clients", reportOf(7, by(diagnose.ClientApp, netip.Addr{})),
			"Clients of 10.0.0.1:80 reset 3 of 7 flows, leaving data unread. " +
				"What the server had sent last was not read, or not answered."},
		{"not certain, some of it a remark", reportOf(7, hedged),
			"10.0.0.1:80 reset 3 of 7 flows, leaving data unread or unanswered (1 of them possibly). " +
				"What the client had sent last was not read, or not answered; on 1 of these flows " +
				"nothing had been asked, or all been answered: a health check, or a scan."},
		{"one client", reportOf(7, by(diagnose.ClientApp, client), other),
			"10.0.0.9 reset 6 of 7 flows to 10.0.0.1:80 and 10.0.0.2:80, leaving data unread. " +
				"What the server had sent last was not read, or not answered."},
		{"two clients", reportOf(7, crowd(by(diagnose.ClientApp, client), 2)),
			"10.0.1.1 and 10.0.1.2 reset 3 of 7 flows to 10.0.0.1:80, leaving data unread. " +
				"What the server had sent last was not read, or not answered."},
		{"many clients", reportOf(7, crowd(by(diagnose.ClientApp, client), 3)),
			"3 clients of 10.0.0.1:80 reset 3 of 7 flows, leaving data unread. " +
				"What the server had sent last was not read, or not answered."},
		{"more clients than are told apart", reportOf(7, crowd(by(diagnose.ClientApp, client), groupHosts+1)),
			"More than 1,000 clients of 10.0.0.1:80 reset 3 of 7 flows, leaving data unread. " +
				"What the server had sent last was not read, or not answered."},
		{"growing", growing(), "10.0.0.1:80 did not answer the client's FIN on 20,000 of 30,000 flows, " +
			"since 14:00:00 UTC, growing from 250 to 1,750 a minute; 12,000 still in CLOSE_WAIT, the oldest for 8m41s. " +
			"The kernel acknowledged each FIN; the application does not close. " +
			"Of 40 answers half came within about 12 ms, 95% within about 20 ms, the last after 3 s."},
		{"over", over(), "10.0.0.1:80 did not answer the client's FIN on 60 of 100 flows, from 14:00:00 to 14:00:59 UTC, " +
			"the longest for 8 s. "},
		{"two addresses", dual(), "Clients of 10.0.0.1:80 and [2001:db8::1]:80 did not answer the server's FIN on 60 of 84 flows. " +
			"The kernel acknowledged each FIN; the application does not close. A timer is behind it."},
		{"an incident", incident(), "10.0.0.9 did not answer the server's FIN on 60 of 84 flows to 10.0.0.1:80. " +
			"The kernel acknowledged each FIN; the application does not close. Three clients began together. " +
			"A timer is behind it. They also sent data to a server that had closed already on 5 flows."},
		{"nobody", reportOf(7, by(diagnose.Middlebox, netip.Addr{})),
			"On 3 of 7 flows to 10.0.0.1:80 a close with data unread sent an RST (a middlebox did)."},
		{"possible", reportOf(7, unsure(leak, 0, 212)),
			"Possibly, 10.0.0.1:80 did not answer the client's FIN on 212 of 7 flows, the longest for 8m41s. "},
		{"partly possible", reportOf(7, unsure(leak, 200, 12)),
			"10.0.0.1:80 did not answer the client's FIN on 212 of 7 flows (12 of them possibly), the longest for 8m41s. "},
		{"possibly unread", reportOf(7, unsure(by(diagnose.ClientApp, client), 0, 3)),
			"10.0.0.9 reset 3 of 7 flows to 10.0.0.1:80: SO_LINGER 0, or payload left unread."},
		{"possibly a middlebox", reportOf(7, unsure(Group{Rule: "connection-refused", Who: diagnose.Middlebox, Service: service, Count: 3}, 0, 3)),
			"On 3 of 7 flows to 10.0.0.1:80 an RST refused the connection (possibly a middlebox's)."},
		{"possibly forged", reportOf(7, unsure(Group{Rule: "rst-forged", Who: diagnose.Middlebox, Service: service, Count: 3}, 0, 3)),
			"Possibly, on 3 of 7 flows to 10.0.0.1:80 an RST came that the end it names did not send (a middlebox did)."},
		{"possibly nobody", reportOf(7, unsure(by(diagnose.Path, netip.Addr{}), 0, 3)),
			"Possibly, on 3 of 7 flows to 10.0.0.1:80 a close with data unread sent an RST."},
		{"unknown rule", reportOf(7, Group{Rule: "new-rule", Who: diagnose.ServerHost, Service: service, Count: 2}),
			"10.0.0.1:80 caused new-rule on 2 of 7 flows."},
		{"remarks", func() *Report {
			r := reportOf(7, Group{Rule: "half-close", Who: diagnose.Nobody, Severity: diagnose.Info, Count: 2})
			r.ByClose[reassembly.CloseOrderly] = 7
			return r
		}(), "No teardown problems in 7 flows: 7 closed by FIN. 2 remarks below."},
		{"one way", func() *Report {
			r := reportOf(100)
			r.Health.OneWay = 97
			r.ByClose[reassembly.CloseFINUnacked] = 100
			return r
		}(), "Only one direction was captured on 97% of flows; teardown cannot be judged there. " +
			"No finding in what can be seen of 100 flows: 100 with a FIN not acknowledged yet."},
		{"filtered", func() *Report {
			r := reportOf(100, leak)
			r.Health.Filtered = 100
			return r
		}(), "Only SYN, FIN and RST were captured; whether a FIN was acknowledged cannot be seen. " +
			"10.0.0.1:80 did not answer the client's FIN on 212 of 100 flows"},
		{"drops", func() *Report {
			r := reportOf(100)
			r.Health.KernelDrops = 5
			r.ByClose[reassembly.CloseOpen] = 100
			return r
		}(), "The capture lost 5 packets, so no finding is surer than likely. No teardown problems"},
	} {
		got := strings.Join(c.report.verdict(), " ")
		exact := strings.HasSuffix(c.want, ".")
		if exact && got != c.want || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Every rule has words of its own, and no sentence is left with a blank to fill.
func TestPhrases(t *testing.T) {
	known := phrases()
	for _, rule := range diagnose.Rules() {
		if _, ok := known[rule.ID]; !ok {
			t.Errorf("%s has no phrase", rule.ID)
		}
		for who := diagnose.ClientApp; who <= diagnose.Unknown; who++ {
			r := reportOf(9, Group{Rule: rule.ID, Who: who, Service: service, Count: 2, Longest: 5e9})
			s := strings.Join(r.verdict(), " ")
			if strings.ContainsAny(s, "{}") || !strings.Contains(s, "2 of 9 flows") || !strings.HasSuffix(s, ".") {
				t.Errorf("%s, %v: %s", rule.ID, who, s)
			}
		}
	}
}

// A row is as sure as the most of its findings.
func TestRowIsAsSureAsMost(t *testing.T) {
	for _, c := range []struct {
		certain, likely, possible uint64
		want                      diagnose.Confidence
	}{
		{1, 0, 19, diagnose.Possible},
		{5, 0, 1, diagnose.Certain},
		{1, 0, 1, diagnose.Certain},
		{1, 3, 2, diagnose.Likely},
		{0, 0, 3, diagnose.Possible},
	} {
		g := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service}
		g.Counts[diagnose.Error] = [...]uint64{diagnose.Certain: c.certain, diagnose.Likely: c.likely, diagnose.Possible: c.possible}
		g.Severity, g.Confidence = diagnose.Error, g.Counts.surest()
		r := Report{Groups: []Group{g}}
		if got := r.Rows()[0].Sure(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
