package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// Rung is one packet of a flow, or one timer, with the states of both ends
// after it.
type Rung struct {
	At             int64
	Ref            tcp.PacketRef // 0 for a timer
	FromClient     bool
	What           string    // "FIN,ACK seq 413", or what the timer did
	Client, Server fsm.State // 0 before anything is known of that end
	Note           string    // what is notable beside the states, if anything
	Evidence       bool      // a finding names this packet
	Alone          bool      // What leaves no room for the states, which are those before
	Skipped        int       // rungs left out before this one
}

// Ladder lists the packets of a flow that moved a state or are notable, in
// order, and those of evidence, which are marked. What belongs to the next
// connection on the same four-tuple is left out.
func Ladder(f *reassembly.Flow, evidence []diagnose.Evidence) []Rung {
	l := ladder{flow: f}
	steps, marks := f.Steps, f.Marks
	for n := len(steps); n > 0 && steps[n-1].On == fsm.Reuse; n-- {
		steps = steps[:n-1]
	}
	for len(steps) > 0 || len(marks) > 0 {
		if len(marks) == 0 || len(steps) > 0 && !later(&steps[0], &marks[0]) {
			l.step(&steps[0])
			steps = steps[1:]
		} else {
			l.mark(&marks[0])
			marks = marks[1:]
		}
	}
	for i := range evidence {
		l.prove(&evidence[i])
	}
	return l.rungs
}

// prove marks the rung of evidence. A packet that has none gets one, where its
// side is known, so that it is of this flow.
func (l *ladder) prove(e *diagnose.Evidence) {
	if e.Ref == 0 {
		return
	}
	if i := slices.IndexFunc(l.rungs, func(r Rung) bool { return r.Ref == e.Ref }); i >= 0 {
		l.rungs[i].Evidence = true
		return
	}
	if e.Side == 0 || e.At < l.flow.Start || e.At > l.flow.End {
		return
	}
	at := slices.IndexFunc(l.rungs, func(r Rung) bool { return cmp.Or(cmp.Compare(r.At, e.At), cmp.Compare(r.Ref, e.Ref)) > 0 })
	if at < 0 {
		at = len(l.rungs)
	}
	r := Rung{At: e.At, Ref: e.Ref, FromClient: e.Side == l.flow.Client, What: brief(e.What), Evidence: true}
	r.Alone = len(r.What) > whatWidth
	if at > 0 {
		r.Client, r.Server = l.rungs[at-1].Client, l.rungs[at-1].Server
	}
	l.rungs = slices.Insert(l.rungs, at, r)
}

// brief is what evidence shows, without whose it is, cut between words to the
// width of a line.
func brief(what string) string {
	for _, whose := range [...]string{"the client's ", "the server's ", "its "} {
		what = strings.TrimPrefix(what, whose)
	}
	if len(what) <= tellWidth {
		return what
	}
	cut := max(strings.LastIndexByte(what[:tellWidth+1], ' '), 0)
	return strings.TrimRight(what[:cut], " ,:")
}

// later reports whether the step comes after the mark.
func later(s *reassembly.Step, m *reassembly.Mark) bool {
	return cmp.Or(cmp.Compare(s.At, m.At), cmp.Compare(s.Ref, m.Ref)) > 0
}

// Trim leaves about n rungs: those of evidence, what stands around them, and the
// last ones before any others.
func Trim(rungs []Rung, n int) []Rung {
	if len(rungs) <= n {
		return rungs
	}
	keep := make([]bool, len(rungs))
	left := n
	take := func(i int) {
		if i >= 0 && i < len(rungs) && !keep[i] && left > 0 {
			keep[i] = true
			left--
		}
	}
	for i := range rungs {
		if rungs[i].Evidence {
			take(i)
		}
	}
	for near := 1; left > 0 && near < len(rungs); near++ {
		for i := range rungs {
			if rungs[i].Evidence {
				take(i - near)
				take(i + near)
			}
		}
		take(len(rungs) - near)
	}
	for i := range rungs { // a line that says that one is missing is no shorter
		if !keep[i] && (i == 0 || keep[i-1]) && (i == len(rungs)-1 || keep[i+1]) {
			keep[i] = true
		}
	}
	var out []Rung
	skipped := 0
	for i, r := range rungs {
		if !keep[i] {
			skipped++
			continue
		}
		r.Skipped, skipped = skipped, 0
		out = append(out, r)
	}
	return out
}

type ladder struct {
	flow   *reassembly.Flow
	states [2]fsm.State // by tcp.Side.Index, after the last rung
	rungs  []Rung
}

// rung is the rung of a packet, new unless it is the last one.
func (l *ladder) rung(at int64, ref tcp.PacketRef, p reassembly.Packet) *Rung {
	if n := len(l.rungs); ref != 0 && n > 0 && l.rungs[n-1].Ref == ref {
		return &l.rungs[n-1]
	}
	l.rungs = append(l.rungs, Rung{At: at, Ref: ref, FromClient: p.From == l.flow.Client, What: l.describe(p)})
	r := &l.rungs[len(l.rungs)-1]
	if p.From != 0 && p.Flags.Has(tcp.RST) && l.states[p.From.Index()] == 0 {
		l.states[p.From.Index()] = fsm.Closed // it has no such connection
	}
	l.show(r)
	return r
}

// show sets the states of a rung to what they are now.
func (l *ladder) show(r *Rung) {
	r.Client = l.states[l.flow.Client.Index()]
	r.Server = l.states[l.flow.Server().Index()]
}

func (l *ladder) step(s *reassembly.Step) {
	r := l.rung(s.At, s.Ref, s.Packet)
	l.states[s.Side.Index()] = s.To
	l.show(r)
	switch {
	case s.Ref == 0:
		r.FromClient = s.Side == l.flow.Client
		r.What = timer(s.On)
	case s.On == fsm.Revise:
		r.Note = "disproves " + s.From.String()
	}
}

// timer says what ended a state without a packet.
func timer(on fsm.Event) string {
	if on == fsm.Timeout2MSL {
		return "2MSL passed"
	}
	return "gave up"
}

func (l *ladder) mark(m *reassembly.Mark) {
	r := l.rung(m.At, m.Ref, m.Packet)
	if r.Note == "" && m.Kind != reassembly.RSTSent {
		r.Note = m.Kind.String()
	}
	if m.Kind == reassembly.ICMPError {
		r.What = "ICMP error, quoting"
	}
}

// describe is a packet in words, its sequence numbers relative to the initial
// ones.
func (l *ladder) describe(p reassembly.Packet) string {
	if p.From == 0 {
		return ""
	}
	own, peer := l.flow.Endpoint(p.From), l.flow.Endpoint(p.From.Other())
	s, n := p.Flags.String(), tcp.Seq(p.Number)
	switch {
	case p.Payload:
		return s + " " + decimal(p.Number) + " bytes"
	case p.Flags.Any(tcp.SYN | tcp.FIN | tcp.RST):
		switch {
		case !knowsISS(own) || n == own.ISS:
			return s
		case p.Flags.Has(tcp.SYN) && uint32(n-own.ISS) > sent(own, peer):
			return s + " other ISN"
		}
		return s + " seq " + relative(n, own, peer)
	case p.Flags.Has(tcp.ACK) && knowsISS(peer):
		return s + " ack " + relative(n, peer, own)
	}
	return s
}

// knowsISS reports that numbers can be told relative to the endpoint's first.
func knowsISS(d *reassembly.Endpoint) bool { return d.Sent || d.ISS != 0 }

// sent is how far beyond its initial number d, whose peer is p, has sent.
func sent(d, p *reassembly.Endpoint) uint32 {
	last := d.ISS
	if d.Sent {
		last = d.Nxt
	}
	if p.SentAck {
		last = last.Max(p.Ack)
	}
	return uint32(last - d.ISS)
}

// relative is a number of d, whose peer is p, counted from its initial one: less
// than 0 where it stands nearer before that than behind what d has sent.
func relative(n tcp.Seq, d, p *reassembly.Endpoint) string {
	at, before, last := uint32(n-d.ISS), uint32(d.ISS-n), sent(d, p)
	if at > last && before < at-last {
		return "-" + decimal(before)
	}
	return decimal(at)
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// ClientSide is the client's side in the flow of a finding; 0 when the finding
// is over several.
func ClientSide(d *diagnose.Finding) tcp.Side {
	if len(d.Flows) > 0 {
		return tcp.SideA // over several flows sides are roles
	}
	if !d.Client.IsValid() || !d.Service.IsValid() {
		return 0
	}
	client, server := d.Client.Addr().As16(), d.Service.Addr().As16()
	_, side := tcp.MakeTuple(&client, &server, d.Client.Port(), d.Service.Port())
	return side
}
