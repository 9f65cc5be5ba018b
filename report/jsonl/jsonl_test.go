package jsonl

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
)

// stream is the whole output for one of the canonical inputs.
func stream(t *testing.T, in canonical.Input) []byte {
	t.Helper()
	var b bytes.Buffer
	s := New(&b)
	if err := s.Meta(in.Report.Meta, in.Report.Sources); err != nil {
		t.Fatal(err)
	}
	r, err := in.Analyse(report.Options{ListFindings: true, Flows: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.End(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaOf(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every line of real output is as the schema says, and the kinds come in the
// order of the contract.
func TestLines(t *testing.T) {
	s := schema(t)
	const order = "meta flow finding group states source health summary"
	for _, in := range canonical.Inputs() {
		kinds, last := map[string]int{}, 0
		for line := range bytes.Lines(stream(t, in)) {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatalf("%s: %v in %s", in.Name, err, line)
			}
			if err := s.Validate(v); err != nil {
				t.Fatalf("%s: %s%v", in.Name, line, err)
			}
			if bytes.Contains(line, []byte("null")) {
				t.Errorf("%s: null in %s", in.Name, line)
			}
			kind := v.(map[string]any)["type"].(string)
			kinds[kind]++
			if at := strings.Index(order, kind); at < last {
				t.Fatalf("%s: %s comes too late", in.Name, kind)
			} else {
				last = at
			}
		}
		if kinds["meta"] != 1 || kinds["health"] != 1 || kinds["summary"] != 1 || kinds["states"] == 0 {
			t.Errorf("%s: %v", in.Name, kinds)
		}
		if in.Name == "mixed" && (kinds["flow"] != 15 || kinds["finding"] != 9 || kinds["group"] != 5 || kinds["source"] != 2) {
			t.Errorf("mixed: %v", kinds)
		}
	}
}

// A schema that takes anything would prove nothing.
func TestSchemaRejects(t *testing.T) {
	s := schema(t)
	good := string(stream(t, canonical.Inputs()[0]))
	for _, c := range []struct{ old, new string }{
		{`"role":"syn"`, `"role":"SYN"`},
		{`"CLOSED"`, `"closed"`},
		{`.000000000Z"`, `Z"`},
		{`"midstream":false`, `"midstream":null`},
		{`"close":"orderly",`, ``},
		{`"type":"meta"`, `"type":"mete"`},
		{`"frame":1}`, `"frame":0}`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s does not occur", c.old)
		}
		rejected := false
		for line := range strings.Lines(bad) {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			rejected = rejected || s.Validate(v) != nil
		}
		if !rejected {
			t.Errorf("%s instead of %s is accepted", c.new, c.old)
		}
	}
}

// The line that is built by hand is the one that encoding/json would build.
func TestFlowLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFlow(t)
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(plain(f)); err != nil {
			t.Fatal(err)
		}
		got := appendFlow([]byte("before"), f)
		if d := cmp.Diff("before"+want.String(), string(got)); d != "" {
			t.Fatalf("-encoding/json +appendFlow:\n%s", d)
		}
	})
}

func TestTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64().Draw(t, "ns")
		want := time.Unix(0, ns).UTC().Format(`"2006-01-02T15:04:05.000000000Z"`)
		c := newClock()
		if got := string(c.append(nil, ns)); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

func TestFlowLineAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, lineRoom)
	for _, f := range canonicalFlows(t) {
		if n := testing.AllocsPerRun(100, func() { buf = appendFlow(buf[:0], f) }); n > 0 {
			t.Errorf("%v allocations for %s", n, buf)
		}
	}
}

// canonicalFlows are the flows of all canonical inputs.
func canonicalFlows(tb testing.TB) []*reassembly.Flow {
	tb.Helper()
	var k keeper
	for _, in := range canonical.Inputs() {
		if _, err := in.Analyse(report.Options{Flows: &k}); err != nil {
			tb.Fatal(err)
		}
	}
	return k.flows
}

// keeper keeps the flows that it is shown.
type keeper struct {
	mu    sync.Mutex
	flows []*reassembly.Flow
}

func (k *keeper) AppendFlow(b []byte, f *reassembly.Flow) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flows = append(k.flows, f.Clone())
	return b
}
func (*keeper) Write(p []byte) (int, error) { return len(p), nil }

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
			d := w.EndedAt - w.Entered
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
	state := rapid.Custom(func(t *rapid.T) fsm.State {
		return fsm.State(rapid.IntRange(int(fsm.Closed), int(fsm.TimeWait)).Draw(t, "state"))
	})
	side := rapid.SampledFrom([]tcp.Side{tcp.SideA, tcp.SideB})
	n := rapid.Uint64()
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
		return reassembly.Step{At: at.Draw(t, "at"), Ref: ref.Draw(t, "ref"), Side: side.Draw(t, "side"),
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
		Steps: rapid.SliceOfN(step, 0, 4).Draw(t, "steps"), TimeWaits: rapid.SliceOfN(wait, 0, 2).Draw(t, "waits"),
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

// Provisional findings are written once.
func TestRaise(t *testing.T) {
	var b bytes.Buffer
	s := New(&b)
	r := canonical.Reports()["fin-unanswered"]
	for range 2 {
		if err := s.Raise(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(b.String(), `"provisional":true`); n != len(r.Findings) || n == 0 {
		t.Errorf("%d provisional lines for %d findings", n, len(r.Findings))
	}
}
