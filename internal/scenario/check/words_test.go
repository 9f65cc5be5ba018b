package check

import (
	"strings"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/report/diagnose"
)

// translated is a connection captured on both sides of an address translator: S
// is what the client sees, S2 the real server.
const translated = `0.0000  C > S   S   0:0(0)  isn=70000
0.0001  C > S2  S   0:0(0)  isn=70000
0.0100  S2 > C  S.  0:0(0)  ack 1  isn=90000
0.0101  S > C   S.  0:0(0)  ack 1  isn=90000
0.0200  C > S   .   1:1(0)  ack 1
0.0201  C > S2  .   1:1(0)  ack 1
1.0000  C > S   F.  1:1(0)  ack 1
1.0001  C > S2  F.  1:1(0)  ack 1
1.0100  S2 > C  .   1:1(0)  ack 2
1.0101  S > C   .   1:1(0)  ack 2
`

// An application that is seen to close behind a translator is not blamed for
// what the translator did not hand on; one that closes on neither side is.
func TestBehindATranslator(t *testing.T) {
	for name, c := range map[string]struct {
		then string
		want diagnose.Confidence
	}{
		"closed":         {"9.0000  S2 > C  F.  1:1(0)  ack 2\n9.4000  S2 > C  F.  1:1(0)  ack 2\n", diagnose.Possible},
		"reset":          {"9.0000  S2 > C  R.  1:1(0)  ack 2\n", diagnose.Possible},
		"closes nowhere": {"", diagnose.Certain},
	} {
		s, err := scenario.Parse(name, strings.NewReader(translated+c.then+"90.000  end\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := render(t, s)
		for i := range r.Groups {
			g := &r.Groups[i]
			if g.Rule != "fin-unanswered" {
				continue
			}
			if g.Confidence != c.want || g.Example.Confidence != c.want || r.Tally.Any(diagnose.Error) != (c.want == diagnose.Certain) {
				t.Errorf("%s: %s, the example %s", name, g.Confidence, g.Example.Confidence)
			}
			if doubt := strings.Contains(g.Verdict, "no FIN of its own passed the tap within"); doubt != (c.then != "") {
				t.Errorf("%s: that it did not close is in doubt: %v in %s", name, doubt, g.Verdict)
			}
			if said := strings.Contains(r.text, "passed the tap behind an address translation (frame 11, between 192.0.2.1:40001 and 198.51.100.2:8080)"); said != (c.then != "") {
				t.Errorf("%s: what passed behind the translator: %v in %s", name, said, r.text)
			}
		}
		if r.line("group", "fin-unanswered") == nil {
			t.Errorf("%s: no fin-unanswered", name)
		}
	}
}

// told is the text report of a transcript.
func told(t *testing.T, transcript string) reported {
	t.Helper()
	s, err := scenario.Parse("told", strings.NewReader(transcript))
	if err != nil {
		t.Fatal(err)
	}
	return render(t, s)
}

// A FIN, a NULL and an Xmas probe began no connection before the capture.
func TestProbesDidNotBeginBefore(t *testing.T) {
	r := told(t, "0.0  C:1 > S F 1:1(0) noopts\n0.1 C:2 > S none 1:1(0) noopts\n0.2 C:3 > S FPU 1:1(0) noopts\n"+
		"0.3 C:4 > S . 1:1(0) ack 1\n0.4 S > C:4 . 1:1(0) ack 1\n9.0 end\n")
	if !strings.Contains(r.text, "no SYN was seen of 3 flows on which one side alone spoke") || !strings.Contains(r.text, "1 flow began before the capture did") {
		t.Error(r.text)
	}
}

// A probe of a closed window is not called a keepalive, and one after the window
// opened again is.
func TestWindowProbes(t *testing.T) {
	r := told(t, `0.000  S > C  P.  1:101(100)  ack 1
0.010  C > S  .   1:1(0)      ack 101 win=0
3.400  S > C  .   100:100(0)  ack 1
3.410  C > S  .   1:1(0)      ack 101 win=0
10.20  S > C  .   100:100(0)  ack 1
10.21  C > S  .   1:1(0)      ack 101 win=0
23.70  S > C  .   100:100(0)  ack 1
23.71  C > S  .   1:1(0)      ack 101 win=0
60.00  end
`)
	if !strings.Contains(r.text, "(window probe)") || strings.Contains(r.text, "(keepalive)") || !strings.Contains(r.text, "through 3 probes") {
		t.Error(r.text)
	}
}

// A timer is named by its length, once.
func TestTimerIsNamed(t *testing.T) {
	for _, name := range []string{"idle-timeout-close/stale-pool.txt", "idle-timeout-close/keep-alive.txt"} {
		r := reportOf(t, name)
		g := r.line("group", "idle-timeout-close")
		if g == nil {
			t.Fatalf("%s: none", name)
		}
		if v := g["verdict"].(string); !strings.Contains(v, "connections after about ") || strings.Contains(v, "the longest for") || strings.Contains(v, "notice") || strings.Contains(v, "(each") {
			t.Errorf("%s: %q", name, v)
		}
	}
}

// What is told of a close fits what went before it.
func TestCloseIsToldByWhatWentBefore(t *testing.T) {
	for _, c := range []struct {
		name, rule, want string
		not              []string
	}{
		{"idle-timeout-close/client-gives-up.txt", "idle-timeout-close", "about 5 s after its own last payload, which got no answer", []string{"5 s idle", "Apache"}},
		{"idle-timeout-close/server-gives-up.txt", "idle-timeout-close", "about 5 s after the client's last payload, to which it sent no answer", []string{"5 s idle", "Apache"}},
		{"idle-timeout-close/client-pool.txt", "idle-timeout-close", "after about 30.1 s idle", []string{"a default of"}},
		{"idle-timeout-close/client-gives-up.txt", "write-after-fin", "stopped waiting after about 5 s on 10 of 10 flows to 198.51.100.1:8080; the answers came after about 6.5 s. A timer is behind it: that side closes about 5 s after its own last payload", []string{"a default of", "the client of"}},
		{"write-after-fin/closed-behind-request.txt", "write-after-fin", "closed as soon as it had sent its last payload, without waiting", []string{"stopped waiting"}},
		{"write-after-fin/slow-server.txt", "write-after-fin", "stopped waiting 5 s after its last payload; the answer, 300 octets, came 6.5 s after that payload", nil},
		{"write-after-fin/v6.txt", "write-after-fin", "having sent nothing: a port check; the server's first payload, 100 octets, came 500 ms later", []string{"answer"}},
		{"write-after-fin/download-cancelled.txt", "write-after-fin", "stopped reading after 2,896 octets: it closed, and what the server went on to send 2 ms after that FIN", []string{"answer"}},
		{"write-after-fin/stale-pool.txt", "write-after-fin", "wrote to a connection that was over", []string{"answer"}},
		{"rst-unread-data/abort-after-idle.txt", "rst-unread-data", "an abort after that silence, or a close with payload unread", nil},
		{"rst-unread-data/answers-read-with-linger-0.txt", "rst-unread-data", "198.51.100.1:8080: SO_LINGER 0, or payload left unread", []string{"ossibly"}},
		{"rst-unread-data/client-stops.txt", "rst-unread-data", "after the server's last 900 octets: SO_LINGER 0, or a close with payload unread", nil},
		{"rst-unread-data/health-check-of-http.txt", "rst-unread-data", "after the server's last 233 octets and its FIN, when nothing more was to come: SO_LINGER 0, as of a health check, or", nil},
		{"rst-unread-data/request-dropped.txt", "rst-unread-data", "did not answer: it closed with payload unread, or aborted (SO_LINGER 0)", nil},
		{"rst-unread-data/port-check-meets-greeting.txt", "rst-unread-data", "without a word of its own: a health check, or a scan", []string{"unread"}},
		{"rst-unread-data/download-aborted.txt", "rst-unread-data", "while 2,896 octets were on their way: it did not read to the end", nil},
		{"rst-unread-data/download-aborted-near-client.txt", "rst-unread-data", "more of it passed behind the RST", nil},
		{"abortive-close/one-way-download.txt", "abortive-close", "whether it had read all cannot be told (nothing of the server is in the capture)", []string{"nothing for it to read"}},
		{"abortive-close/window-closed.txt", "abortive-close", "though it had answered all that it received, while the client's window was closed (for 4.4 s, probed 3 times): it may have closed earlier", []string{"did not close with a FIN"}},
		{"abortive-close/window-opened-in-time.txt", "abortive-close", "its application did not close with a FIN", []string{"window"}},
		{"abortive-close/answer-never-arrives.txt", "abortive-close", "never acknowledged the server's last 1,448 octets, which may not have reached it", []string{"answered"}},
		{"simultaneous-close/crossing.txt", "simultaneous-close", "so both passed CLOSING", nil},
		{"simultaneous-close/fin-lost-while-crossing.txt", "simultaneous-close", "; 198.51.100.1:8080 passed CLOSING", []string{"both passed"}},
		{"handshake-abandoned/before-the-syn-ack.txt", "handshake-abandoned", "sent an RST 200 ms after its SYN, before the SYN-ACK", []string{"answered"}},
		{"fin-unanswered/socket-gone-when-reused.txt", "fin-unanswered", "no FIN of its own passed the tap within 98.9 s, when the socket was gone", []string{"did not send"}},
		{"fin-unanswered/kept-alive-then-reused.txt", "fin-unanswered", "did not send its own within 1m59s", []string{"gone"}},
		{"close-behind-zero-window/reader-has-half-closed.txt", "close-behind-zero-window", "after its own FIN, through 5 probes: its application does not read", nil},
		{"abortive-close/health-check.txt", "abortive-close", "before either side had sent anything: a health check, or a scan", []string{"answered"}},
		{"abortive-close/health-check-often.txt", "abortive-close", "Nothing had been sent: a health check, or a scan.", []string{"discards"}},
	} {
		r := reportOf(t, c.name)
		g := r.line("group", c.rule)
		if g == nil {
			t.Errorf("%s: no %s", c.name, c.rule)
			continue
		}
		v := g["verdict"].(string)
		if !strings.Contains(v, c.want) {
			t.Errorf("%s: %q does not say %q", c.name, v, c.want)
		}
		for _, s := range c.not {
			if strings.Contains(v, s) {
				t.Errorf("%s: %q says %q", c.name, v, s)
			}
		}
	}
}

// What the writer did, what the closer did and what is only a remark are told
// apart, each in a row of its own, whose numbers are those of its sentence.
func TestKindsOfLateDataAreToldApart(t *testing.T) {
	text := strings.Join(strings.Fields(reportOf(t, "write-after-fin/three-kinds-at-once.txt").text), " ")
	for _, want := range []string{
		"192.0.2.1 sent data to a server that had closed already on 2 of 6 flows to 198.51.100.1:8080. An RST answered the data",
		"They also stopped waiting after about 1 s on 2 flows; the answers came after about 3 s.",
		"! write-after-fin 2 client_app certain", "* write-after-fin 2 client_app likely", "(1 more kind, no warnings)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q: %s", want, text)
		}
	}
}

// groupSays checks the sentence of a rule's group, in a transcript of the rule.
func groupSays(t *testing.T, rule, name, want string) {
	t.Helper()
	r := reportOf(t, rule+"/"+name+".txt")
	if g := r.line("group", rule); g == nil || !strings.Contains(g["verdict"].(string), want) {
		t.Errorf("%s: %v does not say %q", name, g, want)
	}
}

// Why a tuple could be used again is said as far as the packets prove it.
func TestReuseIsExplainedAsFarAsItIsProved(t *testing.T) {
	for name, want := range map[string]string{
		"own-time-wait":     "the client's own host gave it up; the client's new initial sequence number",
		"own-host-no-proof": "nothing proves that the client's own host gave it up: an address translator may have",
		"translator":        "its timestamps went back, which speaks for another host behind that address, or for an address translator",
		"newer-timestamp":   "sequence number is lower, but its timestamp is newer; the server's new initial",
		"lower-and-older":   "so the server's TIME_WAIT must have been gone",
	} {
		groupSays(t, "tuple-reused", name, want)
	}
}

// A pool is advised where each connection carried one request, and not to a
// client that has one.
func TestChurnIsAdvisedByWhatWasCarried(t *testing.T) {
	for name, want := range map[string]string{
		"a-connection-per-request": "connections/s; a pool of 1 would carry the same load",
		"server-closes":            "connections/s; a pool of 1 would carry the same load",
		"ten-requests-each":        "each carried about 10 requests before that: a limit of requests per connection",
		"in-parts":                 "connections/s; where each carried one request, a pool of 1 would",
	} {
		groupSays(t, "time-wait-churn", name, want)
	}
}

// Where a device on the way may be behind it, the verdict says what points there.
func TestThePathIsExplained(t *testing.T) {
	for name, want := range map[string]string{
		"retransmission-timeout/after-a-silence.txt":   "; the server had been silent for 10m00s before, so a device on the way may have forgotten the connection",
		"retransmission-timeout/icmp.txt":              ": 203.0.113.1 returned an ICMP error (administratively prohibited), so it gets no further than there",
		"keepalive-failed/icmp.txt":                    ": 203.0.113.1 returned an ICMP error (host unreachable), so it gets no further than there",
		"fin-unacked/icmp.txt":                         ": 203.0.113.1 returned an ICMP error (host administratively prohibited), so it gets no further than there",
		"fin-unacked/goes-on-and-meets-an-rst.txt":     "it went on with the connection and sent payload 5 s after the FIN, which an RST answered",
		"fin-unanswered/behind-lost-payload.txt":       "unless one waits behind its payload, which the client does not acknowledge",
		"rst-forged/state-lost-on-the-way.txt":         "has a time to live of 64, its other segments 63: something in front of it must have sent it, which no longer knew a connection",
		"tuple-reuse-rejected/behind-a-translator.txt": "used a four-tuple again that the server still held in TIME_WAIT",
	} {
		r := reportOf(t, name)
		said := strings.Join(r.Verdict, " ")
		for i := range r.Groups {
			said += " " + r.Groups[i].Verdict
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: %q is not said, but %s", name, want, said)
		}
	}
}
