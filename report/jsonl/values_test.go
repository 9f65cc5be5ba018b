package jsonl

import (
	"math"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// plain is the line as a value.
func plain(f *reassembly.Flow) Flow {
	c, s := f.Endpoint(f.Client), f.Endpoint(f.Server())
	out := Flow{
		Type: "flow", ID: id(f.ID), Client: addr(f, f.Client), Server: addr(f, f.Server()), Role: f.Role.String(),
		Incarnation: f.Incarnation, Midstream: f.Midstream, Start: Time(f.Start), End: Time(f.End),
		First: packet(f.First), Last: packet(f.Last), ClientStats: stats(c), ServerStats: stats(s),
		Handshake: Handshake{Outcome: f.Handshake.Outcome.String()},
		Close:     f.Close.String(), ActiveCloser: f.ActiveCloser.String(),
		ClientState: State(c.State.String()), ServerState: State(s.State.String()), Transitions: []Transition{},
		StateNS: StateNS{times(c), times(s)}, TimeWait: []TimeWait{},
		FinWait2Expired: c.FinWait2Expired || s.FinWait2Expired, ConnState: f.ConnState(), History: string(f.AppendHistory(nil)),
		Completeness: f.Completeness(), CommunityID: string(f.AppendCommunityID(nil)), Quality: []QualityName{},
	}
	h := &f.Handshake
	between := func(from, to int64, a, b tcp.PacketRef) *int64 {
		if d := to - from; a != 0 && b != 0 && d >= 0 {
			return &d
		}
		return nil
	}
	out.Handshake.Connect = between(h.FirstSYN, h.ACK, h.FirstSYNRef, h.ACKRef)
	out.Handshake.SYNToSYNACK = between(h.LastSYN, h.SYNACK, h.LastSYNRef, h.SYNACKRef)
	out.Handshake.SYNACKToACK = between(h.SYNACK, h.ACK, h.SYNACKRef, h.ACKRef)
	if r := &f.Reset; r.Ref != 0 {
		by := string(endpoint(r.By, f.Client))
		if by == "" {
			by = "unknown"
		}
		out.Reset = &Reset{By: by, Packet: packet(r.Ref), Time: Time(r.At), Class: r.Class.String()}
		if r.InAnswerTo != 0 {
			p := packet(r.InAnswerTo)
			out.Reset.InAnswerTo = &p
		}
	}
	for _, s := range f.Steps {
		if s.From == s.To {
			continue
		}
		step := Transition{Time: Time(s.At), Endpoint: endpoint(s.Side, f.Client), From: State(s.From.String()),
			To: State(s.To.String()), Event: s.On.String(), Basis: s.Basis.String()}
		if s.Ref != 0 {
			p := packet(s.Ref)
			step.Packet = &p
		}
		out.Transitions = append(out.Transitions, step)
	}
	for _, w := range f.TimeWaits {
		tw := TimeWait{Endpoint: endpoint(w.Side, f.Client), Entered: Time(w.Entered), Expires: Time(w.Expires),
			Restarts: w.Restarts, EndedBy: w.EndedBy.String()}
		if w.EndedBy == reassembly.TimeWaitReuse {
			d := max(w.EndedAt-w.Entered, 0)
			tw.ReusedAfter = &d
		}
		out.TimeWait = append(out.TimeWait, tw)
	}
	out.Quality = append(out.Quality, qualities(f.Quality)...)
	return out
}

func addr(f *reassembly.Flow, s tcp.Side) Addr {
	a := f.Addr(s)
	return Addr{a.Addr().String(), a.Port()}
}

func stats(d *reassembly.Endpoint) Stats {
	return Stats{d.Packets, d.SYN, d.FIN, d.RST, d.PayloadBytes, d.Duplicates, d.Retransmits, d.OutOfOrder,
		d.ZeroWindows, d.Keepalives}
}

func times(d *reassembly.Endpoint) map[State]int64 {
	out := map[State]int64{}
	for st, ns := range d.StateNS {
		if ns > 0 && fsm.State(st) > fsm.Listen {
			out[State(fsm.State(st).String())] = ns
		}
	}
	return out
}

// anyFlow draws a flow with every field set somehow.
func anyFlow(t *rapid.T) *reassembly.Flow {
	ref := rapid.Custom(func(t *rapid.T) tcp.PacketRef {
		return tcp.Ref(rapid.IntRange(0, 99).Draw(t, "file"), rapid.Uint64Range(0, 1<<40).Draw(t, "frame"))
	})
	some := rapid.Custom(func(t *rapid.T) tcp.PacketRef {
		return tcp.Ref(rapid.IntRange(0, 99).Draw(t, "file"), rapid.Uint64Range(1, 1<<40).Draw(t, "frame"))
	})
	at := rapid.Int64Range(-1<<62, 1<<62)
	// Several steps of one packet, and packets of one time.
	packet1, time1 := some.Draw(t, "packet"), at.Draw(t, "time")
	which := rapid.OneOf(rapid.SampledFrom([]tcp.PacketRef{0, packet1}), ref)
	when := rapid.OneOf(rapid.SampledFrom([]int64{time1, time1 + 1}), at)
	state := rapid.Custom(func(t *rapid.T) fsm.State {
		return fsm.State(rapid.IntRange(int(fsm.Closed), int(fsm.TimeWait)).Draw(t, "state"))
	})
	side := rapid.SampledFrom([]tcp.Side{tcp.SideA, tcp.SideB})
	n := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 11), rapid.Uint64())
	end := rapid.Custom(func(t *rapid.T) reassembly.Endpoint {
		e := reassembly.Endpoint{State: state.Draw(t, "state"), Packets: n.Draw(t, "n"), SYN: n.Draw(t, "n"),
			FIN: n.Draw(t, "n"), RST: n.Draw(t, "n"), PayloadBytes: n.Draw(t, "n"), Duplicates: n.Draw(t, "n"),
			Retransmits: n.Draw(t, "n"), OutOfOrder: n.Draw(t, "n"), ZeroWindows: n.Draw(t, "n"),
			Keepalives: n.Draw(t, "n"), FinWait2Expired: rapid.Bool().Draw(t, "expired")}
		for st := range e.StateNS {
			e.StateNS[st] = rapid.Int64Range(0, 1<<40).Draw(t, "ns")
		}
		return e
	})
	step := rapid.Custom(func(t *rapid.T) reassembly.Step {
		return reassembly.Step{At: when.Draw(t, "at"), Ref: which.Draw(t, "ref"), Side: side.Draw(t, "side"),
			From: state.Draw(t, "from"), To: state.Draw(t, "to"),
			On:    fsm.Event(rapid.IntRange(1, fsm.Events-1).Draw(t, "on")),
			Basis: fsm.Basis(rapid.IntRange(int(fsm.Seen), int(fsm.Timer)).Draw(t, "basis"))}
	})
	wait := rapid.Custom(func(t *rapid.T) reassembly.TimeWait {
		return reassembly.TimeWait{Side: side.Draw(t, "side"), Entered: at.Draw(t, "at") / 2, Expires: at.Draw(t, "at"),
			Restarts: rapid.Uint32().Draw(t, "restarts"), EndedAt: at.Draw(t, "at") / 2,
			EndedBy: reassembly.TimeWaitEnd(rapid.IntRange(1, 5).Draw(t, "ended by"))}
	})
	f := &reassembly.Flow{
		ID: some.Draw(t, "id"), Client: side.Draw(t, "client"), Role: reassembly.Role(rapid.IntRange(1, 3).Draw(t, "role")),
		Incarnation: rapid.Uint32().Draw(t, "incarnation"), Midstream: rapid.Bool().Draw(t, "midstream"),
		Start: at.Draw(t, "start"), End: at.Draw(t, "end"), First: some.Draw(t, "first"), Last: some.Draw(t, "last"),
		Ends:  [2]reassembly.Endpoint{end.Draw(t, "a"), end.Draw(t, "b")},
		Steps: rapid.SliceOfN(step, 0, 6).Draw(t, "steps"), TimeWaits: rapid.SliceOfN(wait, 0, 2).Draw(t, "waits"),
		Handshake: reassembly.Handshake{Outcome: reassembly.Outcome(rapid.IntRange(1, 7).Draw(t, "outcome")),
			FirstSYN: at.Draw(t, "at") / 2, FirstSYNRef: ref.Draw(t, "ref"), LastSYN: at.Draw(t, "at") / 2,
			LastSYNRef: ref.Draw(t, "ref"), SYNACK: at.Draw(t, "at") / 2, SYNACKRef: ref.Draw(t, "ref"),
			ACK: at.Draw(t, "at") / 2, ACKRef: ref.Draw(t, "ref")},
		Close:        reassembly.Close(rapid.IntRange(1, int(reassembly.CloseOpen)).Draw(t, "close")),
		ActiveCloser: reassembly.Closer(rapid.IntRange(1, 4).Draw(t, "closer")),
		Reset: reassembly.Reset{By: rapid.SampledFrom([]tcp.Side{0, tcp.SideA, tcp.SideB}).Draw(t, "by"), At: at.Draw(t, "at"),
			Ref: ref.Draw(t, "ref"), InAnswerTo: ref.Draw(t, "ref"), Class: reassembly.ResetClass(rapid.IntRange(1, 3).Draw(t, "class"))},
		Quality: reassembly.Quality(rapid.IntRange(0, 1<<9-1).Draw(t, "quality")),
	}
	copy(f.Tuple.AddrA[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a"))
	copy(f.Tuple.AddrB[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
	if rapid.Bool().Draw(t, "v4") {
		copy(f.Tuple.AddrA[:], "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff")
	}
	f.Tuple.PortA, f.Tuple.PortB = rapid.Uint16().Draw(t, "port"), rapid.Uint16().Draw(t, "port")
	return f
}

func ids(flows []tcp.PacketRef) []string {
	out := make([]string, len(flows))
	for i, f := range flows {
		out[i] = id(f)
	}
	return out
}

func finding(d *diagnose.Finding) Finding {
	out := Finding{
		Type: "finding", Rule: d.Rule, Severity: Severity(d.Severity.String()),
		Confidence: Confidence(d.Confidence.String()), Who: Who(d.Who.String()), Time: Time(d.Time),
		Censored: d.Censored, Verdict: d.Verdict, Evidence: []Evidence{}, Wireshark: d.Wireshark,
		LoweredBy: qualities(d.LoweredBy),
	}
	if d.Duration != 0 {
		out.Duration = &d.Duration
	}
	switch {
	case d.Flow != 0:
		out.Flow = id(d.Flow)
	default:
		out.Flows = ids(d.Flows)
		if d.Service.IsValid() {
			out.Service = d.Service.String()
		} else if d.Client.IsValid() {
			out.Host = d.Client.Addr().String()
		}
	}
	for _, e := range d.Evidence {
		out.Evidence = append(out.Evidence, Evidence{
			Packet: packet(e.Ref), Time: Time(e.At), Endpoint: endpoint(e.Side, report.ClientSide(d)), What: e.What,
		})
	}
	return out
}

func qualities(q reassembly.Quality) []QualityName {
	var out []QualityName
	for _, name := range q.Names() {
		out = append(out, QualityName(name))
	}
	return out
}

func group(g *report.Group) Group {
	out := Group{
		Type: "group", Rule: g.Rule, Severity: Severity(g.Severity.String()),
		Confidence: Confidence(g.Confidence.String()), Who: Who(g.Who.String()), Count: g.Count,
		Flows: ids(g.Flows), First: Time(g.First), Last: Time(g.Last), Verdict: g.Verdict,
		Longest: g.Longest, StillOpen: g.StillOpen, Oldest: g.Oldest, Remarks: g.Remarks,
	}
	out.Clients, _ = g.Clients()
	if p := g.Pace; p != nil {
		out.PerMinuteFirst, out.PerMinuteLast = &p.First, &p.Last
	}
	if g.Service.IsValid() {
		out.Service = g.Service.String()
	}
	return out
}

func packet(r tcp.PacketRef) Packet { return Packet{File: r.File(), Frame: r.Frame()} }

// anyText draws strings that need escaping and others.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

func anyRef() *rapid.Generator[tcp.PacketRef] {
	return rapid.Custom(func(t *rapid.T) tcp.PacketRef {
		return tcp.Ref(rapid.IntRange(0, 99).Draw(t, "file"), rapid.Uint64Range(0, 1<<40).Draw(t, "frame"))
	})
}

// anyAddr draws addresses, some of them not known.
func anyAddr() *rapid.Generator[netip.AddrPort] {
	return rapid.Custom(func(t *rapid.T) netip.AddrPort {
		ip, _ := netip.AddrFromSlice(rapid.SampledFrom([][]byte{
			nil, {10, 0, 0, 1}, {255, 255, 255, 255}, netip.IPv6Loopback().AsSlice(),
			rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip"),
		}).Draw(t, "which"))
		return netip.AddrPortFrom(ip, rapid.Uint16().Draw(t, "port"))
	})
}

func anyFinding(t *rapid.T) *diagnose.Finding {
	text, at := anyText(), rapid.Int64Range(-1<<62, 1<<62)
	proof := rapid.Custom(func(t *rapid.T) diagnose.Evidence {
		return diagnose.Evidence{Ref: anyRef().Draw(t, "ref"), At: at.Draw(t, "at"),
			Side: tcp.Side(rapid.IntRange(0, 2).Draw(t, "side")), What: text.Draw(t, "what")}
	})
	return &diagnose.Finding{
		Rule: text.Draw(t, "rule"), Severity: rapid.SampledFrom(severities).Draw(t, "severity"),
		Confidence: rapid.SampledFrom(confidences).Draw(t, "confidence"), Who: rapid.SampledFrom(parties).Draw(t, "who"),
		Flow:   rapid.OneOf(rapid.Just(tcp.PacketRef(0)), anyRef()).Draw(t, "flow"),
		Flows:  rapid.SliceOfN(anyRef(), 0, 3).Draw(t, "flows"),
		Client: anyAddr().Draw(t, "client"), Service: anyAddr().Draw(t, "service"),
		Time: at.Draw(t, "time"), Duration: rapid.OneOf(rapid.Just(int64(0)), at).Draw(t, "duration"),
		Censored: rapid.Bool().Draw(t, "censored"), Verdict: text.Draw(t, "verdict"),
		Evidence: rapid.SliceOfN(proof, 0, 3).Draw(t, "evidence"), Wireshark: text.Draw(t, "filter"),
		LoweredBy: reassembly.Quality(rapid.IntRange(0, 1<<9-1).Draw(t, "quality")),
	}
}

var (
	severities  = []diagnose.Severity{diagnose.Error, diagnose.Warning, diagnose.Info}
	confidences = []diagnose.Confidence{diagnose.Certain, diagnose.Likely, diagnose.Possible}
	parties     = []diagnose.Party{diagnose.ClientApp, diagnose.ServerApp, diagnose.ClientHost, diagnose.ServerHost,
		diagnose.Path, diagnose.Middlebox, diagnose.Capture, diagnose.Nobody, diagnose.Unknown}
)

func anyGroup(t *rapid.T) *report.Group {
	text, at := anyText(), rapid.Int64Range(-1<<62, 1<<62)
	n := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, math.MaxInt64))
	g := &report.Group{
		Rule: text.Draw(t, "rule"), Severity: rapid.SampledFrom(severities).Draw(t, "severity"),
		Confidence: rapid.SampledFrom(confidences).Draw(t, "confidence"), Who: rapid.SampledFrom(parties).Draw(t, "who"),
		Service: anyAddr().Draw(t, "service"), Count: n.Draw(t, "count"),
		Flows: rapid.SliceOfN(anyRef(), 0, 3).Draw(t, "flows"), First: at.Draw(t, "first"), Last: at.Draw(t, "last"),
		Longest: int64(n.Draw(t, "longest")), StillOpen: n.Draw(t, "open"), Oldest: int64(n.Draw(t, "oldest")),
		Verdict: text.Draw(t, "verdict"), Remarks: rapid.SliceOfN(text, 0, 3).Draw(t, "remarks"),
	}
	if rapid.Bool().Draw(t, "paced") {
		g.Pace = &report.Pace{First: rapid.Float64().Draw(t, "first"), Last: rapid.Float64().Draw(t, "last")}
	}
	return g
}
