package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly"
)

// What a capture cannot tell is named, on the flow or under "Capture:".
func TestCaptureQuality(t *testing.T) {
	for _, c := range []struct{ what, scenario, quality, says string }{
		{"ended too early", "fin-unanswered/ends-at-the-ack.txt", "ends_early", "when the capture ended"},
		{"begun in the middle", "fin-unanswered/midstream.txt", "midstream", "1 flow began before the capture did"},
		{"lost packets", "fin-unanswered/capture-loss.txt", "capture_loss", "acknowledges what the capture does not hold"},
		{"one direction", "fin-unanswered/one-way.txt", "one_way", "Only one direction was captured; teardown cannot be judged"},
		{"filtered on flags", "fin-unanswered/flags-only.txt", "filtered", "capture 'tcp or icmp or icmp6' instead"},
		{"filtered on FIN", "capture/fin-only-filter.txt", "filtered",
			"Only FINs were captured; whether a FIN was acknowledged cannot be seen. On 5 of 12 flows only one side's FIN came."},
		{"the filter by name", "capture/fin-only-filter.txt", "filtered",
			"as the filter 'tcp[tcpflags] & tcp-fin != 0' leaves them, which matches no IPv6: capture 'tcp or icmp or icmp6' instead"},
		{"cut frames", "capture/snapped.txt", "snapped", "1 flow has frames cut short by the snap length"},
		{"copies", "fin-unanswered/every-frame-twice.txt", "duplicates", "copies of frames were set aside"},
		{"super-segments", "capture/super-segment.txt", "", "No teardown problems in 1 flow"},
		{"a clock that steps", "fin-unanswered/clock-step.txt", "clock_step", "the clock stepped back 1 time, by up to 210 ms"},
		{"a clock that leaps", "fin-unanswered/clock-leap.txt", "clock_step", "by the capture's clock more time passed than by the hosts' timestamps on 1 flow"},
		{"both sides of a NAT", "capture/both-sides-of-nat.txt", "",
			"6 connections were captured on both sides of an address translation and count as 12 flows: " +
				"192.0.2.1:40000 to 198.51.100.1:8080 is also 192.0.2.2:50000 to 198.51.100.1:8080"},
		{"where the tap stands", "capture/next-to-the-server.txt", "", "tap near the server"},
		{"lost behind the tap", "last-ack-lost/lost.txt", "", "passed our tap (frame"},
	} {
		r := reportOf(t, c.scenario)
		said := r.text
		for i := range r.Groups {
			said += " " + r.Groups[i].Verdict
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s, %s: the report does not say %q", c.what, c.scenario, c.says)
		}
		if c.quality == "" {
			continue
		}
		flows := slices.ContainsFunc(resultOf(t, c.scenario).Flows, func(f *reassembly.Flow) bool {
			return slices.Contains(f.Quality.Names(), c.quality)
		})
		if !flows {
			t.Errorf("%s, %s: no flow is marked %s", c.what, c.scenario, c.quality)
		}
	}
}

func resultOf(t *testing.T, name string) Result {
	t.Helper()
	for _, s := range scenarios(t) {
		if s.Name == name {
			r, err := Run(s)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Fatalf("no scenario %s", name)
	return Result{}
}
