package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/report"
)

// livePass is one of two interfaces, opened a while ago.
func livePass(s *session) *pass {
	return &pass{
		s: s, in: &input{live: true}, analysis: report.New(report.Options{}), packets: 1234, opened: time.Now().Add(-62500 * time.Millisecond),
		infos: []capture.Info{{Name: "eth0", Filter: "tcp", Drops: 3}, {Name: "eth1", Filter: "tcp", Drops: 4}},
	}
}

// What came so far stands in one line, which is taken away before anything else is
// said and at the end.
func TestLiveLine(t *testing.T) {
	var out bytes.Buffer
	s := &session{cfg: &config{}, say: &speaker{w: &out}, turn: newTurn()}
	p := livePass(s)
	const line = "lastack: eth0, eth1, 62 s: 1,234 packets, 0 flows, 7 drops"
	if said := "lastack: " + p.soFar(); said != line {
		t.Errorf("%q, want %q", said, line)
	}
	s.turn.take()
	stop := s.showLive(p)
	for deadline := time.Now().Add(10 * time.Second); !s.turn.asked() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	stop() // although nobody lends the turn
	s.turn.give()
	s.say.say("ended")
	if got := out.String(); !strings.HasPrefix(got, "\r\x1b[Klastack: eth0, eth1, 6") || !strings.HasSuffix(got, " drops\r\x1b[Klastack: ended\n") {
		t.Errorf("%q", got)
	}
}

// It is said at once where packets are waited for, unless nothing is to be said.
func TestListening(t *testing.T) {
	for _, c := range []struct {
		cfg  config
		want string
	}{
		{config{}, "lastack: listening on eth0, filter 'tcp' (the default)\nlastack: listening on eth1, filter 'tcp' (the default)\n"},
		{config{filter: "tcp"}, "lastack: listening on eth0, filter 'tcp'\nlastack: listening on eth1, filter 'tcp'\n"},
		{config{quiet: true}, ""},
	} {
		var out bytes.Buffer
		s := &session{cfg: &c.cfg, say: &speaker{w: &out, quiet: c.cfg.quiet}, turn: newTurn()}
		s.showProgress(livePass(s))()
		if out.String() != c.want {
			t.Errorf("%q, want %q", out.String(), c.want)
		}
	}
}
