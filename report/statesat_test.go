package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/report"
)

// seen is the only socket of a host at a time: its state and how sure it is;
// "-" for none.
func seen(s *report.States) string {
	out := "-"
	for st := fsm.SynSent; st <= fsm.TimeWait; st++ {
		switch {
		case s.Counts[st] == 0:
		case out != "-" || s.Counts[st] > 1:
			return "several"
		case s.Presumed[st] > 0:
			out = st.String() + "?"
		case s.Assumed[st] > 0:
			out = st.String() + "~"
		default:
			out = st.String()
		}
	}
	return out
}

// What a host's table says in the middle of each state. ? is presumed, ~ assumed.
func TestStatesAtAnyTime(t *testing.T) {
	for _, c := range []struct {
		name, transcript string
		at               []string // "seconds client server"
	}{
		{"orderly", `
0.000  C > S  S   0:0(0)
1.000  S > C  S.  0:0(0)   ack 1
2.000  C > S  .   1:1(0)   ack 1
3.000  C > S  F.  1:1(0)   ack 1
4.000  S > C  .   1:1(0)   ack 2
5.000  S > C  F.  1:1(0)   ack 2
6.000  C > S  .   2:2(0)   ack 2
90.00  end
`, []string{
			"-0.1 - -",
			"0.0 SYN_SENT SYN_RCVD", // the answer proves that the SYN arrived
			"1.5 ESTABLISHED SYN_RCVD",
			"2.5 ESTABLISHED ESTABLISHED",
			"3.5 FIN_WAIT_1 CLOSE_WAIT",
			"4.5 FIN_WAIT_2 CLOSE_WAIT",
			"5.5 TIME_WAIT LAST_ACK",
			"6.5 TIME_WAIT -",
			"64.9 TIME_WAIT -",
			"65.1 - -", // 60 s after it was entered
			"90.0 - -",
			"99.0 - -",
		}},
		{"simultaneous", `
0.000  C > S  S   0:0(0)
0.100  S > C  S.  0:0(0)   ack 1
0.200  C > S  .   1:1(0)   ack 1
1.000  C > S  F.  1:1(0)   ack 1
1.001  S > C  F.  1:1(0)   ack 1
2.000  C > S  .   2:2(0)   ack 2
3.000  S > C  .   2:2(0)   ack 2
40.00  end
`, []string{
			"1.5 CLOSING CLOSING",
			"2.5 CLOSING TIME_WAIT?", // nothing shows that the last ACKs arrived,
			"3.5 TIME_WAIT? TIME_WAIT?",
			"40 TIME_WAIT? TIME_WAIT?",
		}},
		// The ACK of 2.0 seemed to take the client to FIN_WAIT_2; the FIN of 2.5
		// says that it never came.
		{"revised", `
0.000  C > S  S   0:0(0)
0.010  S > C  S.  0:0(0)   ack 1
0.020  C > S  .   1:1(0)   ack 1
1.000  C > S  F.  1:1(0)   ack 1
2.000  S > C  .   1:1(0)   ack 2
2.500  C > S  F.  1:1(0)   ack 1
3.000  S > C  .   1:1(0)   ack 2
9.00   end
`, []string{
			"1.5 FIN_WAIT_1 CLOSE_WAIT",
			"2.2 FIN_WAIT_1 CLOSE_WAIT",
			"2.7 FIN_WAIT_1 CLOSE_WAIT",
			"3.5 FIN_WAIT_2? CLOSE_WAIT",
		}},
		{"mid-stream", `
0.000  C:40000 > S:80  .   1:101(100)  ack 1
1.000  S:80 > C:40000  .   1:1(0)      ack 101
2.000  end
`, []string{
			"0.5 ESTABLISHED~ -",
			"1.5 ESTABLISHED~ ESTABLISHED~",
		}},
		{"unanswered", `
0.000  C > S  S   0:0(0)
200    end
`, []string{"1 SYN_SENT -", "134.9 SYN_SENT -", "135.1 - -"}},
	} {
		s, err := scenario.Parse(c.name, strings.NewReader(strings.TrimPrefix(c.transcript, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		in := storyOf(s)
		for _, line := range c.at {
			var at float64
			var client, server string
			if _, err := fmt.Sscan(line, &at, &client, &server); err != nil {
				t.Fatal(err)
			}
			have := map[bool]string{true: "-", false: "-"}
			r := in.analyse(t, 1, in.start+int64(at*1e9))
			for i := range r.States[1:] {
				x := &r.States[1+i]
				have[strings.HasPrefix(x.Name(), "192.0.2.")] = seen(x)
			}
			if have[true] != client || have[false] != server {
				t.Errorf("%s: at %v s the client is in %s and the server in %s, want %s and %s",
					c.name, at, have[true], have[false], client, server)
			}
		}
	}
}
