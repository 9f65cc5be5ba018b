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
			if said := strings.Contains(r.text, "did pass the tap between 192.0.2.1:40001 and 198.51.100.2:8080 (frame 11)"); said != (c.then != "") {
				t.Errorf("%s: what passed behind the translator: %v in %s", name, said, r.text)
			}
		}
		if r.line("group", "fin-unanswered") == nil {
			t.Errorf("%s: no fin-unanswered", name)
		}
	}
}
