package report

import (
	"net/netip"
	"strings"
	"testing"

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

func TestVerdict(t *testing.T) {
	client := netip.MustParseAddr("10.0.0.9")
	second := netip.MustParseAddrPort("10.0.0.2:80")
	leak := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 212, Longest: 521e9}
	single := Group{Rule: "fin-unanswered", Who: diagnose.ServerApp, Service: service, Count: 1,
		Example: diagnose.Finding{Verdict: "It did not answer."}}
	by := func(who diagnose.Party, c netip.Addr) Group {
		return Group{Rule: "rst-unread-data", Who: who, Service: service, Client: c, Count: 3}
	}
	other := by(diagnose.ClientApp, client)
	other.Service = second
	for _, c := range []struct {
		name   string
		report *Report
		want   string
	}{
		{"empty", &Report{}, "The input holds no packets."},
		{"no TCP", &Report{Packets: 9, Health: Health{NotTCP: 6, Undecodable: 3}},
			"The input holds no TCP: 9 packets, 6 of other protocols, 3 that could not be decoded."},
		{"clean", func() *Report {
			r := reportOf(1904)
			r.ByClose[reassembly.CloseOrderly], r.ByClose[reassembly.CloseSimultaneous] = 1800, 80
			r.ByClose[reassembly.CloseReset], r.ByClose[reassembly.CloseOpen] = 21, 3
			return r
		}(), "No teardown problems in 1,904 flows: 1,880 closed by FIN, 21 ended by RST, 3 still open."},
		{"several", reportOf(1904, leak), "10.0.0.1:80 did not answer the client's FIN on 212 of 1,904 flows, " +
			"the longest for 8m41s. The FINs were acknowledged, so the host was alive; the application did not close, " +
			"and its sockets stay in CLOSE_WAIT."},
		{"one", reportOf(7, single), "It did not answer."},
		{"clients", reportOf(7, by(diagnose.ClientApp, netip.Addr{})),
			"Clients of 10.0.0.1:80 closed with data unread, which sends an RST on 3 of 7 flows. " +
				"What the server had sent was not read."},
		{"one client", reportOf(7, by(diagnose.ClientApp, client), other),
			"10.0.0.9 closed with data unread, which sends an RST on 6 of 7 flows to 10.0.0.1:80 and 10.0.0.2:80. " +
				"What the server had sent was not read."},
		{"nobody", reportOf(7, by(diagnose.Middlebox, netip.Addr{})),
			"On 3 of 7 flows to 10.0.0.1:80 a close with data unread sent an RST (by a middlebox)."},
		{"possible", reportOf(7, unsure(leak, 0, 212)),
			"Possibly, 10.0.0.1:80 did not answer the client's FIN on 212 of 7 flows, the longest for 8m41s. "},
		{"partly possible", reportOf(7, unsure(leak, 200, 12)),
			"10.0.0.1:80 did not answer the client's FIN on 212 of 7 flows (12 of them possibly), the longest for 8m41s. "},
		{"possibly nobody", reportOf(7, unsure(by(diagnose.Path, netip.Addr{}), 0, 3)),
			"Possibly, on 3 of 7 flows to 10.0.0.1:80 a close with data unread sent an RST (by the path)."},
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
			return r
		}(), "Only one direction was captured on 97% of flows; teardown cannot be judged there. " +
			"Nothing wrong was found in what can be seen."},
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
