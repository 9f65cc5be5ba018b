package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// closing is a flow whose second FIN had to be repeated.
func closing() *reassembly.Flow {
	c, s := tcp.SideB, tcp.SideA
	packet := func(from tcp.Side, flags tcp.Flags, n uint32) reassembly.Packet {
		return reassembly.Packet{From: from, Flags: flags, Number: n}
	}
	fin := packet(s, tcp.FIN|tcp.ACK, 5001)
	ack := packet(c, tcp.ACK, 5002)
	f := &reassembly.Flow{Client: c, Start: 0, End: 9e9, Until: 20e9, Ended: reassembly.EndInput}
	f.Ends[c.Index()] = reassembly.Endpoint{ISS: 1000, Nxt: 1002, Ack: 5002, Sent: true}
	f.Ends[s.Index()] = reassembly.Endpoint{ISS: 5000, Nxt: 5002, Ack: 1002, Sent: true}
	step := func(at int64, frame uint64, side tcp.Side, from, to fsm.State, on fsm.Event, p reassembly.Packet) {
		ref := tcp.PacketRef(0)
		if frame > 0 {
			ref = tcp.Ref(0, frame)
		}
		f.Steps = append(f.Steps, reassembly.Step{At: at, Ref: ref, Side: side, From: from, To: to, On: on, Packet: p})
	}
	first := packet(c, tcp.FIN|tcp.ACK, 1001)
	step(1e9, 4, c, fsm.Established, fsm.FinWait1, fsm.SendFIN, first)
	step(1e9, 4, s, fsm.Established, fsm.CloseWait, fsm.RecvFIN, first)
	step(1e9, 5, s, fsm.CloseWait, fsm.LastAck, fsm.SendFIN, fin)
	step(1e9, 5, c, fsm.FinWait1, fsm.FinWait2, fsm.RecvACKOfFIN, fin)
	step(1e9, 5, c, fsm.FinWait2, fsm.TimeWait, fsm.RecvFIN, fin)
	step(1e9, 6, s, fsm.LastAck, fsm.Closed, fsm.RecvACKOfFIN, ack)
	step(2e9, 7, s, fsm.Closed, fsm.LastAck, fsm.Revise, fin)
	step(2e9, 8, s, fsm.LastAck, fsm.Closed, fsm.RecvACKOfFIN, ack)
	f.Marks = []reassembly.Mark{
		{At: 2e9, Ref: tcp.Ref(0, 7), Side: s, Kind: reassembly.FINAgain, Packet: fin},
		{At: 2e9, Ref: tcp.Ref(0, 8), Side: c, Kind: reassembly.FINAckedAgain, Packet: ack},
		{At: 9e9, Ref: tcp.Ref(0, 9), Side: s, Kind: reassembly.Stray,
			Packet: reassembly.Packet{From: s, Flags: tcp.ACK, Number: 77, Payload: true}},
	}
	step(15e9, 0, c, fsm.TimeWait, fsm.Closed, fsm.Timeout2MSL, reassembly.Packet{})
	return f
}

func TestLadder(t *testing.T) {
	var got []string
	for _, r := range Ladder(closing(), []diagnose.Evidence{{Ref: tcp.Ref(0, 7)}}) {
		got = append(got, fmt.Sprintf("%d %v %s | %v %v | %s %v", r.Ref.Frame(), r.FromClient, r.What, r.Client, r.Server, r.Note, r.Evidence))
	}
	want := []string{
		"4 true FIN,ACK seq 1 | FIN_WAIT_1 CLOSE_WAIT |  false",
		"5 false FIN,ACK seq 1 | TIME_WAIT LAST_ACK |  false",
		"6 true ACK ack 2 | TIME_WAIT CLOSED |  false",
		"7 false FIN,ACK seq 1 | TIME_WAIT LAST_ACK | disproves CLOSED true",
		"8 true ACK ack 2 | TIME_WAIT CLOSED | FIN acknowledged again false",
		"9 false ACK 77 bytes | TIME_WAIT CLOSED | stray segment false",
		"0 true 2MSL passed | CLOSED CLOSED |  false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A packet of evidence has its rung also where it moved nothing; what is of other
// flows has none, nor has the SYN of the next connection.
func TestLadderProves(t *testing.T) {
	f := closing()
	f.Steps = append(f.Steps, reassembly.Step{At: 16e9, Ref: tcp.Ref(0, 12), Side: tcp.SideB, From: fsm.Closed, To: fsm.Closed, On: fsm.Reuse})
	list := Ladder(f, []diagnose.Evidence{
		{Ref: tcp.Ref(0, 2), At: 5e8, Side: tcp.SideA, What: "the server's payload, 900 octets"},
		{Ref: tcp.Ref(0, 3), At: 6e8, What: "of some flow"},
		{Ref: tcp.Ref(0, 12), At: 16e9, Side: tcp.SideB, What: "the next SYN"},
	})
	if r := list[0]; len(list) != 8 || !r.Evidence || r.Ref.Frame() != 2 || r.FromClient || r.What != "payload, 900 octets" {
		t.Errorf("%+v", list)
	}
	if got := brief("the client's payload, which was on its way when the server closed"); got != "payload, which was on its way when the server" {
		t.Errorf("%q", got)
	}
}

// Nothing is said of an end before anything tells its state; an RST of a host
// tells that it has no such connection.
func TestUnknownIsNoState(t *testing.T) {
	c, s := tcp.SideA, tcp.SideB
	syn := reassembly.Packet{From: c, Flags: tcp.SYN, Number: 1}
	f := &reassembly.Flow{Client: c, Steps: []reassembly.Step{
		{At: 1, Ref: tcp.Ref(0, 1), Side: c, From: fsm.Closed, To: fsm.SynSent, On: fsm.SendSYN, Packet: syn},
		{At: 2, Ref: tcp.Ref(0, 2), Side: c, From: fsm.SynSent, To: fsm.Closed, On: fsm.RecvRST,
			Packet: reassembly.Packet{From: s, Flags: tcp.RST | tcp.ACK}},
	}}
	list := Ladder(f, nil)
	if len(list) != 2 || list[0].Server != 0 || list[1].Server != fsm.Closed {
		t.Fatalf("%+v", list)
	}
	lines := (&Report{Sources: make([]Source, 1)}).Draw(&Group{Flow: f}, Clock{Relative: true}, 9)
	if !strings.HasSuffix(lines[0], "SYN_SENT    -") || !strings.HasSuffix(lines[1], "CLOSED      CLOSED") {
		t.Error(strings.Join(lines, "\n"))
	}
}

// Whether a number is a length is known and not guessed, and numbers are told
// relative to the initial one or not at all.
func TestNumbers(t *testing.T) {
	c, s := tcp.SideA, tcp.SideB
	both := [2]reassembly.Endpoint{
		{ISS: 0xfffffff0, Nxt: 100, Ack: 5002, Sent: true, SentAck: true},
		{ISS: 5000, Nxt: 5002, Ack: 100, Sent: true, SentAck: true},
	}
	client := [2]reassembly.Endpoint{{ISS: 1000, Nxt: 1001, Ack: 3250800775, Sent: true, SentAck: true}, {}}
	server := [2]reassembly.Endpoint{{ISS: 251799012}, {ISS: 3000, Nxt: 3001, Ack: 251800014, Sent: true, SentAck: true}}
	long := [2]reassembly.Endpoint{
		{ISS: 0, Nxt: 3_000_000_000, Ack: 5002, Sent: true, SentAck: true},
		{ISS: 5000, Nxt: 5002, Ack: 3_000_000_000, Sent: true, SentAck: true},
	}
	packet := func(from tcp.Side, flags tcp.Flags, n uint32) reassembly.Packet {
		return reassembly.Packet{From: from, Flags: flags, Number: n}
	}
	for _, k := range []struct {
		ends   [2]reassembly.Endpoint
		packet reassembly.Packet
		want   string
	}{
		{both, packet(c, tcp.ACK, 5001), "ACK ack 1"},
		{both, reassembly.Packet{From: c, Flags: tcp.ACK, Number: 5001, Payload: true}, "ACK 5001 bytes"},
		{both, packet(s, tcp.ACK, 100), "ACK ack 116"},
		{both, packet(s, tcp.ACK, 0xffffffe0), "ACK ack -16"},
		{both, packet(s, tcp.ACK, 100+7_000_000), "ACK ack 7000116"},
		{both, packet(s, tcp.RST, 4000), "RST seq -1000"},
		{both, packet(s, tcp.FIN|tcp.ACK, 5001), "FIN,ACK seq 1"},
		{both, packet(c, tcp.SYN, 0xfffffff0), "SYN"},
		{both, packet(c, tcp.SYN, 100), "SYN seq 116"},
		{both, packet(c, tcp.SYN, 123456789), "SYN other ISN"},
		{both, packet(c, 0, 0), "none"},
		{both, packet(c, tcp.URG, 5001), "URG"},
		{client, packet(c, tcp.ACK, 3250800775), "ACK"},
		{client, packet(c, tcp.SYN, 1000), "SYN"},
		{client, packet(s, tcp.RST|tcp.ACK, 0), "RST,ACK"},
		{server, packet(s, tcp.SYN|tcp.ACK, 3000), "SYN,ACK"},
		{server, packet(s, tcp.ACK, 251800014), "ACK ack 1002"},
		{server, packet(c, tcp.RST, 251799013), "RST seq 1"},
		{long, packet(s, tcp.ACK, 2_900_000_000), "ACK ack 2900000000"},
		{long, packet(c, tcp.RST, 3_000_000_001), "RST seq 3000000001"},
	} {
		l := ladder{flow: &reassembly.Flow{Client: c, Ends: k.ends}}
		if got := l.describe(k.packet); got != k.want {
			t.Errorf("%+v: %q, want %q", k.packet, got, k.want)
		}
	}
}

func TestDraw(t *testing.T) {
	g := &Group{Flow: closing(), Example: diagnose.Finding{Evidence: []diagnose.Evidence{{Ref: tcp.Ref(0, 7)}}}}
	r := &Report{Sources: make([]Source, 1)}
	want := []string{
		"      4 +1.000  C > S FIN,ACK seq 1      FIN_WAIT_1  CLOSE_WAIT",
		"      5 +1.000  C < S FIN,ACK seq 1      TIME_WAIT   LAST_ACK",
		"      6 +1.000  C > S ACK ack 2          TIME_WAIT   CLOSED",
		"        ... 1 s later",
		"*     7 +2.000  C < S FIN,ACK seq 1      TIME_WAIT   LAST_ACK",
		"      8 +2.000  C > S ACK ack 2          TIME_WAIT   CLOSED",
		"        ... 7 s later",
		"      9 +9.000  C < S ACK 77 bytes       (stray segment)",
		"        ... 6 s later",
		"        +15.000 C     2MSL passed        CLOSED      CLOSED",
		"        ... 11 s of silence, the capture ends",
	}
	if got := r.Draw(g, Clock{Relative: true}, 9); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	g.Flow.GoesOn = true
	if got := r.Draw(g, Clock{Relative: true}, 9); got[len(got)-1] != "        ... 11 s of silence so far" {
		t.Errorf("in a snapshot:\n%s", strings.Join(got, "\n"))
	}
	r.Sources = make([]Source, 2)
	if got := r.Draw(g, Clock{Relative: true}, 9)[0]; !strings.HasPrefix(got, "    0:4 ") {
		t.Errorf("with two files: %s", got)
	}
	if got := r.Draw(&Group{}, Clock{}, 9); got != nil {
		t.Errorf("without a flow: %v", got)
	}
}

// What is left is evidence first, then what stands around it, then the end; one
// rung alone is not left out.
func TestTrim(t *testing.T) {
	rungs := make([]Rung, 30)
	for i := range rungs {
		rungs[i].Ref = tcp.Ref(0, uint64(i+1))
	}
	rungs[9].Evidence, rungs[12].Evidence = true, true
	text := func(list []Rung) (s string) {
		for _, r := range list {
			if r.Skipped > 0 {
				s += fmt.Sprintf("..%d ", r.Skipped)
			}
			s += fmt.Sprint(r.Ref.Frame(), " ")
		}
		return s
	}
	for _, c := range []struct {
		n    int
		want string
	}{
		{2, "..9 10 ..2 13 "},
		{6, "..8 9 10 11 12 13 14 "},
		{7, "..8 9 10 11 12 13 14 ..15 30 "},
	} {
		if got := text(Trim(rungs, c.n)); got != c.want {
			t.Errorf("%d: %s, want %s", c.n, got, c.want)
		}
	}
	if got := Trim(rungs[:5], 5); len(got) != 5 {
		t.Errorf("%d left of 5", len(got))
	}
	rungs[7].Evidence = true
	if got, want := text(Trim(rungs, 3)), "..7 8 9 10 ..2 13 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
