//go:build linux

package judge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

var (
	here  = netip.MustParseAddrPort("10.0.0.11:40001")
	there = netip.MustParseAddrPort("10.0.0.5:8000")
)

// flowOf is a flow between the two, with a number.
func flowOf(id tcp.PacketRef, start int64) *reassembly.Flow {
	a, b := here.Addr().As16(), there.Addr().As16()
	tuple, side := tcp.MakeTuple(&a, &b, here.Port(), there.Port())
	return &reassembly.Flow{ID: id, Tuple: tuple, Client: side, Start: start}
}

func found(rule string, flow tcp.PacketRef, s diagnose.Severity, who diagnose.Party) diagnose.Finding {
	return diagnose.Finding{Rule: rule, Flow: flow, Severity: s, Confidence: diagnose.Certain, Who: who, Service: there}
}

func TestLabels(t *testing.T) {
	label := func(l lab.Label) lab.Label {
		l.Behaviour, l.Client, l.Server = "x", here, there
		return l
	}
	unanswered := found("fin-unanswered", 1, diagnose.Error, diagnose.ServerApp)
	unsure := unanswered
	unsure.Confidence = diagnose.Possible
	halfClose := found("half-close", 1, diagnose.Info, diagnose.Nobody)
	flood := found("syn-flood", 0, diagnose.Error, diagnose.Unknown)
	for _, tt := range []struct {
		name   string
		labels []lab.Label
		found  []diagnose.Finding
		at     Vantage
		want   string // part of the only line; "" for none
	}{
		{"normal, nothing found", []lab.Label{label(lab.Label{})}, nil, AtClient, ""},
		{"normal, a note", []lab.Label{label(lab.Label{})}, []diagnose.Finding{halfClose}, AtClient, ""},
		{"normal, an error", []lab.Label{label(lab.Label{})}, []diagnose.Finding{unanswered}, AtClient, "has fin-unanswered (error"},
		{"an error that may be", []lab.Label{label(lab.Label{Possible: []string{"fin-unanswered"}})}, []diagnose.Finding{unanswered}, AtClient, ""},
		{"an error that may be, if not sure", []lab.Label{label(lab.Label{Doubtful: []string{"fin-unanswered"}})},
			[]diagnose.Finding{unsure}, AtClient, ""},
		{"an error that is too sure", []lab.Label{label(lab.Label{Doubtful: []string{"fin-unanswered"}})},
			[]diagnose.Finding{unanswered}, AtClient, "has fin-unanswered (error"},
		{"expected and found", []lab.Label{label(lab.Label{Expect: []string{"fin-unanswered"}})}, []diagnose.Finding{unanswered}, AtClient, ""},
		{"expected and missed", []lab.Label{label(lab.Label{Expect: []string{"half-close"}})}, nil, AtClient, "has no half-close, but nothing"},
		{"expected at the other end only", []lab.Label{label(lab.Label{Expect: []string{"half-close"}, ExpectServer: []string{}})}, nil, AtServer, ""},
		{"a rule that is not written", []lab.Label{label(lab.Label{Expect: []string{"no-such-rule"}})}, nil, AtClient, "has no no-such-rule"},
		{"on the tuple's other connection", []lab.Label{label(lab.Label{Expect: []string{"fin-unanswered"}}), label(lab.Label{})},
			[]diagnose.Finding{found("fin-unanswered", 2, diagnose.Info, diagnose.ServerApp)}, AtClient, "has no fin-unanswered"},
		{"of the service", []lab.Label{label(lab.Label{Expect: []string{"syn-flood"}})}, []diagnose.Finding{flood}, AtClient, ""},
		{"of the service, for nothing", []lab.Label{label(lab.Label{})}, []diagnose.Finding{flood}, AtClient, "syn-flood (error"},
	} {
		in := &Reading{Flows: []*reassembly.Flow{flowOf(1, 10), flowOf(2, 20)}, Findings: tt.found}
		got := strings.Join(Labels(tt.labels, in, tt.at), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestContradicts(t *testing.T) {
	rules := diagnose.Rules()
	i := slices.IndexFunc(rules, func(r diagnose.Rule) bool { return len(r.Replaces) > 0 })
	if i < 0 {
		t.Fatal("no rule explains another")
	}
	better, worse := rules[i].ID, rules[i].Replaces[0]
	const again, explained, elsewhere, gone = 7, 8, 9, 10
	whole := &Reading{Findings: []diagnose.Finding{
		found(worse, again, diagnose.Error, diagnose.ServerApp),
		found(better, explained, diagnose.Warning, diagnose.ServerApp),
		found(better, elsewhere, diagnose.Warning, diagnose.ClientApp),
	}}
	for _, tt := range []struct {
		name  string
		flow  tcp.PacketRef
		who   diagnose.Party
		still bool
		want  bool
	}{
		{"of a party that was not known", again, diagnose.Unknown, true, false},
		{"said again", again, diagnose.ServerApp, true, false},
		{"of another party", again, diagnose.ClientApp, true, true},
		{"explained", explained, diagnose.ServerApp, false, false},
		{"explained by another party", elsewhere, diagnose.ServerApp, true, true},
		{"gone, and was waiting", gone, diagnose.ServerApp, true, false},
		{"gone, and was not waiting", gone, diagnose.ServerApp, false, true},
		{"gone, and blamed nobody", gone, diagnose.Nobody, false, false},
	} {
		if got := whole.contradicts(worse, tt.flow, tt.who, tt.still); (got != "") != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
