package diagnose

import (
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

func TestSpan(t *testing.T) {
	for ns, want := range map[time.Duration]string{
		0: "0 us", -5: "0 us", 999: "0 us", 12 * time.Microsecond: "12 us", 99_999: "99 us",
		100 * time.Microsecond: "0.1 ms", 449 * time.Microsecond: "0.4 ms", 3 * time.Millisecond: "3 ms",
		9_990 * time.Microsecond: "9.9 ms", 10 * time.Millisecond: "10 ms", 312_900 * time.Microsecond: "312 ms",
		999_999_999: "999 ms", time.Second: "1 s", 8_290 * time.Millisecond: "8.2 s", 59_960 * time.Millisecond: "59.9 s",
		99_999 * time.Millisecond: "99.9 s", 100 * time.Second: "1m40s", 521 * time.Second: "8m41s",
		3599 * time.Second: "59m59s", time.Hour: "1h00m", 125*time.Minute + 59*time.Second: "2h05m", 48*time.Hour - 1: "47h59m", 48 * time.Hour: "2d00h", 147072 * time.Hour: "6128d00h",
	} {
		if have := Span(int64(ns)); have != want {
			t.Errorf("Span(%d) is %q, want %q", ns, have, want)
		}
	}
}

func TestNumbersInWords(t *testing.T) {
	for n, want := range map[uint32]string{0: "0", 999: "999", 1000: "1,000", 65537: "65,537", 1234567: "1,234,567"} {
		if have := count(n); have != want {
			t.Errorf("count(%d) is %q, want %q", n, have, want)
		}
	}
	if octets(1) != "1 octet" || octets(1448) != "1,448 octets" {
		t.Error(octets(1), octets(1448))
	}
	if times(1) != "once" || times(2) != "twice" || times(3) != "3 times" {
		t.Error(times(1), times(2), times(3))
	}
}

// flow is an ended flow between two documentation addresses, client first.
func flow(client, server string) *reassembly.Flow {
	f := &reassembly.Flow{ID: tcp.Ref(0, 1), First: tcp.Ref(0, 1), Last: tcp.Ref(0, 9), Role: reassembly.RoleSYN,
		Handshake: reassembly.Handshake{Outcome: reassembly.Complete}, Close: reassembly.CloseOpen}
	a, b := addr(client), addr(server)
	f.Tuple, f.Client = tcp.MakeTuple(&a, &b, 40001, 8080)
	return f
}

func addr(s string) (a [16]byte) {
	if !strings.Contains(s, ":") {
		a[10], a[11] = 0xff, 0xff
		copy(a[12:], []byte{192, 0, 2, s[len(s)-1] - '0'})
		return a
	}
	copy(a[:], []byte{0x20, 0x01, 0x0d, 0xb8})
	a[15] = s[len(s)-1] - '0'
	return a
}

// Of a flow that was judged early nobody knows whether it is still so.
func TestJudgedEarlyIsNotStillSo(t *testing.T) {
	rules := []Rule{{ID: "x", Severity: Error, Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) {
		emit(Finding{Confidence: Likely, Censored: true, Client: f.Addr(f.Client), Service: f.Addr(f.Server())})
	}}}
	for ended, want := range map[reassembly.Ending]bool{reassembly.EndInput: true, reassembly.EndEvicted: false} {
		f := flow("192.0.2.9", "192.0.2.1")
		f.Ended = ended
		n := 0
		Judge(&Context{}, rules, f, func(d Finding) {
			if n++; d.Censored != want {
				t.Errorf("%v: censored is %v", ended, d.Censored)
			}
		})
		if n != 1 {
			t.Errorf("%d findings", n)
		}
	}
}

// A filter that is to fit names as much of the flow as there is room for.
func TestShortFilter(t *testing.T) {
	v4, v6 := flow("192.0.2.9", "192.0.2.1"), flow("2001:db8::1", "2001:db8::2")
	for _, c := range []struct {
		f    *reassembly.Flow
		n    int
		want string
	}{
		{v4, 200, displayFilter(v4)},
		{v4, 80, "ip.addr==192.0.2.9 && tcp.port==40001 && frame.number in {1..9}"},
		{v4, 82, "ip.addr==192.0.2.9 && tcp.port==40001 && tcp.port==8080 && frame.number in {1..9}"},
		{v4, 62, "tcp.port==40001 && tcp.port==8080 && frame.number in {1..9}"},
		{v6, 58, "tcp.port==40001 && frame.number in {1..9}"},
		{v6, 9, displayFilter(v6)},
	} {
		if have := ShortFilter(c.f, c.n); have != c.want {
			t.Errorf("in %d: %s, want %s", c.n, have, c.want)
		}
	}
	v4.Last = tcp.Ref(1, 3)
	if have := ShortFilter(v4, 30); have != displayFilter(v4) {
		t.Errorf("over two files: %s", have)
	}
}

func TestDisplayFilter(t *testing.T) {
	f := flow("192.0.2.9", "192.0.2.1")
	want := "ip.addr==192.0.2.9 && ip.addr==192.0.2.1 && tcp.port==40001 && tcp.port==8080 && frame.number in {1..9}"
	if have := displayFilter(f); have != want {
		t.Errorf("%s\nwant\n%s", have, want)
	}
	f.Marks = []reassembly.Mark{{Ref: tcp.Ref(0, 12), Kind: reassembly.ICMPError}}
	if have := displayFilter(f); !strings.HasSuffix(have, "{1..12}") {
		t.Errorf("%s leaves out an ICMP error behind the last segment", have)
	}
	f.Marks = nil
	if f.Last = f.First; !strings.HasSuffix(displayFilter(f), " && frame.number==1") {
		t.Error(displayFilter(f))
	}
	f.Last = tcp.Ref(1, 3) // another file counts its own frames
	if have := displayFilter(f); strings.Contains(have, "frame") {
		t.Error(have)
	}
	if have := displayFilter(flow("2001:db8::1", "2001:db8::2")); !strings.HasPrefix(have, "ipv6.addr==2001:db8::1 && ipv6.addr==2001:db8::2 &&") {
		t.Error(have)
	}
}

func TestEvidenceIsInPacketOrder(t *testing.T) {
	f := flow("192.0.2.1", "192.0.2.2")
	d := newFinding(f, Path, Certain,
		Evidence{Ref: tcp.Ref(0, 7), At: 70}, Evidence{Ref: tcp.Ref(0, 3), At: 30}, Evidence{},
		Evidence{Ref: tcp.Ref(0, 7), At: 70, What: "twice"}, Evidence{Ref: tcp.Ref(0, 4), At: 30})
	if len(d.Evidence) != 3 || d.Evidence[0].Ref.Frame() != 3 || d.Evidence[1].Ref.Frame() != 4 || d.Evidence[2].Ref.Frame() != 7 || d.Time != 30 {
		t.Errorf("%+v", d)
	}
}

// The gate lowers by each flaw what rests on it, names the flaw, and never
// raises anything.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		flaw reassembly.Quality
		on   basis
		from Confidence
		to   Confidence // 0: not raised
	}{
		{0, onSilence | onPayload | onClock, Certain, Certain},
		{reassembly.QualityOneWay, onSilence, Possible, 0},
		{reassembly.QualityOneWay, onPayload, Certain, Possible},
		{reassembly.QualityOneWay, onPackets, Certain, Certain},
		{reassembly.QualityCaptureLoss, onSilence, Certain, Possible},
		{reassembly.QualityCaptureLoss, onPayload, Certain, Likely},
		{reassembly.QualityCaptureLoss, onPayload, Possible, Possible},
		{reassembly.QualityFiltered, onSilence, Certain, Possible},
		{reassembly.QualityFiltered, onClock, Likely, Possible},
		{reassembly.QualityClockStep, onClock, Certain, Likely},
		{reassembly.QualityClockStep, onPayload, Certain, Certain},
		{reassembly.QualityDuplicates | reassembly.QualitySnapped, onSilence | onPayload | onClock, Certain, Certain},
	} {
		f := flow("192.0.2.1", "192.0.2.2")
		f.Quality = c.flaw
		d := Finding{Confidence: c.from}
		ok := d.rests(f, c.on)
		switch {
		case ok != (c.to != 0):
			t.Errorf("%v on %d: raised is %v", c.flaw.Names(), c.on, ok)
		case ok && d.Confidence != c.to:
			t.Errorf("%v on %d: %s becomes %s, want %s", c.flaw.Names(), c.on, c.from, d.Confidence, c.to)
		case ok && (d.LoweredBy != 0) != (c.from != c.to) || d.LoweredBy&^c.flaw != 0:
			t.Errorf("%v on %d: lowered by %v", c.flaw.Names(), c.on, d.LoweredBy.Names())
		}
	}
	f := flow("192.0.2.1", "192.0.2.2")
	d := Finding{Confidence: Possible}
	if d.lower(f, Certain, reassembly.QualityMidstream); d.Confidence != Possible {
		t.Error("lower raised a confidence")
	}
}

// What is lowered once its words are made says what it would have said at first.
func TestWeaken(t *testing.T) {
	for _, sure := range []Confidence{Certain, Likely} {
		d := Finding{Confidence: sure, Evidence: []Evidence{}}
		d.grade = func(_ *reassembly.Flow, _ int64, c Confidence) string { return c.String() }
		d.Dress(flow("192.0.2.1", "192.0.2.2"))
		if d.Verdict != sure.String() {
			t.Errorf("%s says %s", sure, d.Verdict)
		}
		if d.Weaken(Certain, reassembly.QualityCaptureLoss); d.Confidence != sure || d.LoweredBy != 0 || d.Verdict != sure.String() {
			t.Errorf("%s becomes %s, and says %s", sure, d.Confidence, d.Verdict)
		}
		if d.Weaken(Possible, reassembly.QualityCaptureLoss); d.Confidence != Possible || d.LoweredBy != reassembly.QualityCaptureLoss || d.Verdict != Likely.String() {
			t.Errorf("%s becomes %s, and says %s", sure, d.Confidence, d.Verdict)
		}
	}
}

// always is a rule that finds one thing on every flow.
func always(id string, s Severity, replaces ...string) Rule {
	return Rule{ID: id, Severity: s, Replaces: replaces,
		Check: func(_ *Context, f *reassembly.Flow, emit func(Finding)) { emit(Finding{Flow: f.ID}) }}
}

func judged(rules []Rule) (ids []string) {
	Judge(&Context{}, rules, flow("192.0.2.1", "192.0.2.2"), func(d Finding) {
		if d.Severity != find(rules, d.Rule).Severity {
			ids = append(ids, "wrong severity:")
		}
		ids = append(ids, d.Rule)
	})
	return ids
}

func TestJudge(t *testing.T) {
	if have := strings.Join(judged([]Rule{always("a", Error), always("b", Info)}), " "); have != "a b" {
		t.Errorf("two rules: %s", have)
	}
	rules := []Rule{always("a", Error), always("b", Warning, "a"), always("c", Info)}
	if have := strings.Join(judged(rules), " "); have != "b c" {
		t.Errorf("b replaces a: %s", have)
	}
	rules[1].Muted = true
	if have := strings.Join(judged(rules), " "); have != "c" {
		t.Errorf("a muted rule still replaces: %s", have)
	}
}

func TestJudgeDoesNotAllocate(t *testing.T) {
	c, rules, f := &Context{Profile: reassembly.Profiles()[0]}, Rules(), flow("192.0.2.1", "192.0.2.2")
	f.Marks, f.Steps = make([]reassembly.Mark, 8), make([]reassembly.Step, 8)
	emit := func(d Finding) { t.Errorf("found %s on a clean flow", d.Rule) }
	Judge(c, rules, f, emit)
	if n := testing.AllocsPerRun(100, func() { Judge(c, rules, f, emit) }); n != 0 {
		t.Errorf("%v allocations for a flow on which nothing is found", n)
	}
}

func TestSelect(t *testing.T) {
	muted := func(rules []Rule) (ids []string) {
		for _, r := range rules {
			if r.Muted {
				ids = append(ids, r.ID)
			}
		}
		return ids
	}
	all, err := Select(nil, nil)
	if err != nil || len(all) != len(Rules()) || muted(all) != nil {
		t.Errorf("no choice: %v, %v", muted(all), err)
	}
	one, err := Select([]string{"fin-unacked"}, nil)
	if err != nil || len(muted(one)) != len(one)-1 || find(one, "fin-unacked").Muted {
		t.Errorf("only one: %v, %v", muted(one), err)
	}
	rest, err := Select(nil, []string{"fin-unacked"})
	if err != nil || len(muted(rest)) != 1 || !find(rest, "fin-unacked").Muted {
		t.Errorf("all but one: %v, %v", muted(rest), err)
	}
	if _, err := Select([]string{"no-such-rule"}, nil); err == nil || !strings.Contains(err.Error(), `"no-such-rule"`) {
		t.Errorf("a rule that does not exist: %v", err)
	}
	if _, ok := Named("fin-unacked"); !ok {
		t.Error("fin-unacked has no name")
	}
	if _, ok := Named("no-such-rule"); ok {
		t.Error("no-such-rule has a name")
	}
}

// Advice that is widespread and wrong is named where it tempts.
func TestMythsAreNamed(t *testing.T) {
	for rule, claims := range map[string][]string{
		"fin-unanswered": {"Sysctls do not help", "Keepalive does not either", "tcp_tw_reuse and\n  tcp_fin_timeout concern other states",
			"does not come from a crash", "A few hundred are enough"},
		"late-close-reset":     {"does not shorten TIME_WAIT"},
		"last-ack-lost":        {"does not leave TIME_WAIT after the answer: it restarts the wait"},
		"fin-unacked":          {"tcp_orphan_retries=0 means 8"},
		"time-wait-missing":    {"Do not lower tcp_max_tw_buckets"},
		"abortive-close":       {"it is no cure for TIME_WAIT"},
		"tuple-reused":         {"tcp_tw_recycle is no cure", "tcp_tw_reuse concerns outgoing connections only", "SO_REUSEADDR lets a listener bind and ends no TIME_WAIT"},
		"tuple-reuse-rejected": {"tcp_tw_reuse on the server does nothing"},
		"syn-dropped-by-paws":  {"Turn tcp_tw_recycle off", "Do not turn timestamps off"},
		"port-exhaustion": {"28,232 ports", "not 65,535 divided by 2MSL", "it takes no port of the\n  client's",
			"tcp_fin_timeout does not shorten\n  TIME_WAIT", "tcp_tw_recycle is gone", "SO_LINGER 0 discards\n  data"},
		"time-wait-churn":       {"no port and no file descriptor", "60 s are compiled in"},
		"accept-queue-overflow": {"Leave tcp_abort_on_overflow at 0"},
	} {
		r, ok := Named(rule)
		if !ok {
			t.Fatalf("no rule %s", rule)
		}
		for _, c := range claims {
			if !strings.Contains(r.Doc, c) {
				t.Errorf("%s does not say %q", rule, c)
			}
		}
	}
}
