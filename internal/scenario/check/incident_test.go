package check

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
	"github.com/lastack/lastack/report/jsonl"
	"github.com/lastack/lastack/report/md"
	"github.com/lastack/lastack/report/text"
)

// reported is what the program says of one scenario: the report, and the words
// of each renderer on one line.
type reported struct {
	*report.Report
	text, md string
	lines    int // of the text report
	json     []map[string]any
}

func reportOf(t *testing.T, name string) reported {
	t.Helper()
	for _, s := range scenarios(t) {
		if s.Name == name {
			return render(t, s)
		}
	}
	t.Fatalf("no scenario %s", name)
	return reported{}
}

func render(t *testing.T, s *scenario.Scenario) reported {
	t.Helper()
	file := filepath.Join(t.TempDir(), "s.pcap")
	if err := os.WriteFile(file, s.Pcap(), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := analyse(file, s, 2)
	if err != nil {
		t.Fatal(err)
	}
	out := reported{Report: r}
	var b bytes.Buffer
	if err := text.Write(&b, r, text.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	out.lines = strings.Count(b.String(), "\n")
	out.text = strings.Join(strings.Fields(b.String()), " ")
	b.Reset()
	if err := md.Write(&b, r, report.Clock{}); err != nil {
		t.Fatal(err)
	}
	out.md = strings.Join(strings.Fields(b.String()), " ")
	b.Reset()
	if err := jsonl.New(&b).End(r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		out.json = append(out.json, v)
	}
	return out
}

// line is the first JSON line of a type, of a rule unless that is "".
func (r *reported) line(kind, rule string) map[string]any {
	for _, v := range r.json {
		if v["type"] == kind && (rule == "" || v["rule"] == rule) {
			return v
		}
	}
	return nil
}

// A published capture of a CLOSE_WAIT leak: what its packets say must be said to
// whoever reads any of the reports.
func TestPublishedIncident(t *testing.T) {
	r := reportOf(t, "fin-unanswered/published-incident.txt")
	group, finding := r.line("group", "fin-unanswered"), r.line("finding", "fin-unanswered")
	if group == nil || finding == nil {
		t.Fatal("no fin-unanswered")
	}
	for what, want := range map[string]string{
		"the server is the active closer":     "The server closed first",
		"idle since the handshake":            "30.01 s after the handshake",
		"idle by the timestamps":              "by the timestamps it had last heard of the client 29.96 s before (100 ticks a second)",
		"the timer":                           "which fits a timer of 30 s (",
		"a delayed ACK":                       "The 47.5 ms to the acknowledgement of the server's FIN are a delayed ACK of the client, not the path",
		"what was acknowledged unseen":        "122 octets of the server and 143 of the client were acknowledged and are not in the capture",
		"one host":                            "Both ends took their timestamps from one clock (2997352 and 2997352 in the handshake): the same host",
		"who holds CLOSE_WAIT, and till when": "192.0.2.1:40001 acknowledged the server's FIN after 47 ms and had not sent its own when the capture ended right after: the socket was in CLOSE_WAIT",
	} {
		json := group["verdict"].(string)
		for _, s := range group["remarks"].([]any) {
			json += " " + s.(string)
		}
		for where, said := range map[string]string{"text": r.text, "md": r.md, "JSON": json} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the %s report does not say %q", what, where, want)
			}
		}
	}
	if strings.Contains(r.text, "60 s") {
		t.Error("a timer of 60 s is named")
	}
	if group["confidence"] != "possible" || finding["censored"] != true || finding["who"] != "client_app" || len(r.Groups) != 1 {
		t.Errorf("%v, %v", group, finding)
	}
	if d := r.Findings[0]; d.Confidence != diagnose.Possible || len(d.LoweredBy.Names()) == 0 {
		t.Errorf("%s, lowered by %v", d.Confidence, d.LoweredBy.Names())
	}
}

// A load balancer's timer, two hosts that stop closing at once, and a leak that
// grows: the verdict tells the whole of it, the same in every report.
func TestIncidentExplainsItself(t *testing.T) {
	r := reportOf(t, "synchronized-onset/load-balancer-before-mysql.txt")
	whole := strings.Join(r.Verdict, " ")
	for _, want := range []string{
		"192.0.2.1 and 192.0.2.2 did not answer the server's FIN on 60 of 84 flows to 198.51.100.1:3306",
		"since 12:01:55 UTC, growing from 14 to 47 a minute",
		"all still in CLOSE_WAIT, the oldest for 2m39s",
		"the application does not close",
		"Two clients began within 432 ms, after 85.4 s without a leak",
		"A timer is behind it: 198.51.100.1:3306 closes after about 30 s idle, a default of many proxies",
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("the verdict does not say %q", want)
		}
	}
	if r.lines > 24 {
		t.Errorf("the text report has %d lines, more than a screen", r.lines)
	}
	if !strings.Contains(r.text, whole) || !strings.Contains(strings.ReplaceAll(r.md, "**", ""), whole) || r.line("summary", "")["verdict"] != whole {
		t.Error("the reports do not tell the same")
	}
	g := r.line("group", "fin-unanswered")
	if v := g["verdict"].(string); !strings.HasPrefix(whole, v[:strings.Index(v, ". A timer")]) || !strings.Contains(v, "A timer is behind it") {
		t.Errorf("the group says %q", v)
	}
	if g["count"] != 60. || g["clients"] != 2. || g["still_open"] != 60. || g["oldest_ns"].(float64) < 159e9 ||
		g["per_minute_first"].(float64) < 13 || g["per_minute_last"].(float64) < 40 {
		t.Errorf("the group's figures: %v", g)
	}
}

// How late answers come is told with the distribution of all.
func TestLateAnswersAreSeenAgainstTheUsualOnes(t *testing.T) {
	r := reportOf(t, "fin-answered-late/out-of-proportion.txt")
	const want = "Of 26 answers half came within about 25 ms, 95% within about 3.1 s, the last after 5.1 s."
	if v := r.line("group", "fin-answered-late")["verdict"].(string); !strings.HasSuffix(v, want) || !strings.Contains(r.text, want) {
		t.Errorf("%q does not end with %q", v, want)
	}
	if r.line("group", "fin-answered-late")["count"] != 2. {
		t.Error("not two")
	}
	if r := reportOf(t, "fin-answered-late/usually-slow.txt"); len(r.Groups)+len(r.Findings) != 0 {
		t.Errorf("%d groups where nothing is unusual", len(r.Groups))
	}
}
