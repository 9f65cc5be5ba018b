package jsonl

import (
	"strconv"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// line builds one line by appending. There is one flow line for a dozen
// packets, and encoding/json would cost more than their analysis: about six
// times as much, with an allocation for every field. A test holds the two to
// the same bytes. No string that goes in needs escaping: all are addresses,
// numbers and words of this program.
type line []byte

func (b line) raw(s string) line           { return append(b, s...) }
func (b line) num(k string, n uint64) line { return strconv.AppendUint(append(b, k...), n, 10) }
func (b line) int(k string, n int64) line  { return strconv.AppendInt(append(b, k...), n, 10) }
func (b line) time(k string, t int64) line { return appendTime(append(b, k...), t) }
func (b line) str(k, s string) line        { return append(append(append(append(b, k...), '"'), s...), '"') }
func (b line) bool(k string, v bool) line  { return strconv.AppendBool(append(b, k...), v) }

func (b line) packet(k string, r tcp.PacketRef) line {
	b = b.raw(k).int(`{"file":`, int64(r.File()))
	return b.num(`,"frame":`, r.Frame()).raw("}")
}

func (b line) addr(k string, f *reassembly.Flow, s tcp.Side) line {
	a := f.Addr(s)
	b = a.Addr().AppendTo(b.raw(k).raw(`{"ip":"`))
	return b.num(`","port":`, uint64(a.Port())).raw("}")
}

// appendFlow appends the line of f, with its newline.
func appendFlow(dst []byte, f *reassembly.Flow) []byte {
	b := appendID(line(dst).raw(`{"type":"flow","id":"`), f.ID)
	return line(b).raw(`"`).flowHead(f).flowStory(f).flowTail(f).raw("}\n")
}

// flowHead is who, when and how much.
func (b line) flowHead(f *reassembly.Flow) line {
	b = b.addr(`,"client":`, f, f.Client).addr(`,"server":`, f, f.Server())
	b = b.str(`,"role":`, f.Role.String()).num(`,"incarnation":`, uint64(f.Incarnation))
	b = b.bool(`,"midstream":`, f.Midstream).time(`,"start":`, f.Start).time(`,"end":`, f.End)
	b = b.packet(`,"first_packet":`, f.First).packet(`,"last_packet":`, f.Last)
	return b.stats(`,"client_stats":`, f.Endpoint(f.Client)).stats(`,"server_stats":`, f.Endpoint(f.Server()))
}

func (b line) stats(k string, d *reassembly.Endpoint) line {
	b = b.raw(k).num(`{"packets":`, d.Packets)
	b = b.num(`,"syn":`, d.SYN).num(`,"fin":`, d.FIN).num(`,"rst":`, d.RST)
	b = b.num(`,"payload_bytes":`, d.PayloadBytes)
	b = b.num(`,"duplicates":`, d.Duplicates).num(`,"retransmits":`, d.Retransmits)
	b = b.num(`,"out_of_order":`, d.OutOfOrder).num(`,"zero_windows":`, d.ZeroWindows)
	return b.num(`,"keepalives":`, d.Keepalives).raw("}")
}

// flowStory is how the flow opened, closed and moved between.
func (b line) flowStory(f *reassembly.Flow) line {
	b = b.handshake(&f.Handshake)
	b = b.str(`,"close":`, f.Close.String()).str(`,"active_closer":`, f.ActiveCloser.String())
	if f.Reset.Ref != 0 {
		b = b.reset(f)
	}
	b = b.str(`,"client_state":`, f.Endpoint(f.Client).State.String())
	b = b.str(`,"server_state":`, f.Endpoint(f.Server()).State.String())
	b = b.raw(`,"transitions":[`)
	first := true
	for i := range f.Steps {
		if s := &f.Steps[i]; s.From != s.To {
			b = b.comma(&first).step(s, f.Client)
		}
	}
	b = b.states(`],"state_ns":{"client":`, f.Endpoint(f.Client))
	return b.states(`,"server":`, f.Endpoint(f.Server())).raw("}")
}

func (b line) comma(first *bool) line {
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return b
}

func (b line) handshake(h *reassembly.Handshake) line {
	b = b.raw(`,"handshake":{`).str(`"outcome":`, h.Outcome.String())
	b = b.span(`,"connect_ns":`, h.FirstSYN, h.ACK, h.FirstSYNRef, h.ACKRef)
	b = b.span(`,"syn_to_synack_ns":`, h.LastSYN, h.SYNACK, h.LastSYNRef, h.SYNACKRef)
	return b.span(`,"synack_to_ack_ns":`, h.SYNACK, h.ACK, h.SYNACKRef, h.ACKRef).raw("}")
}

// span is the time between two packets, if both were seen and in that order.
func (b line) span(k string, from, to int64, fromRef, toRef tcp.PacketRef) line {
	if fromRef == 0 || toRef == 0 || to < from {
		return b
	}
	return b.int(k, to-from)
}

func (b line) reset(f *reassembly.Flow) line {
	r := &f.Reset
	by := "unknown"
	if r.By != 0 {
		by = string(endpoint(r.By, f.Client))
	}
	b = b.str(`,"reset":{"by":`, by).packet(`,"packet":`, r.Ref).time(`,"time":`, r.At)
	if r.InAnswerTo != 0 {
		b = b.packet(`,"in_answer_to":`, r.InAnswerTo)
	}
	return b.str(`,"class":`, r.Class.String()).raw("}")
}

func (b line) step(s *reassembly.Step, client tcp.Side) line {
	b = b.time(`{"time":`, s.At)
	if s.Ref != 0 {
		b = b.packet(`,"packet":`, s.Ref)
	}
	b = b.str(`,"endpoint":`, string(endpoint(s.Side, client)))
	b = b.str(`,"from":`, s.From.String()).str(`,"to":`, s.To.String())
	return b.str(`,"event":`, s.On.String()).str(`,"basis":`, s.Basis.String()).raw("}")
}

// timedStates are those that a flow spends time in, by name: the order in which
// encoding/json writes a map.
var timedStates = [...]fsm.State{
	fsm.CloseWait, fsm.Closing, fsm.Established, fsm.FinWait1, fsm.FinWait2,
	fsm.LastAck, fsm.SynRcvd, fsm.SynSent, fsm.TimeWait,
}

func (b line) states(k string, d *reassembly.Endpoint) line {
	b = b.raw(k).raw("{")
	first := true
	for _, st := range timedStates {
		if ns := d.StateNS[st]; ns > 0 {
			b = b.comma(&first).str("", st.String()).int(":", ns)
		}
	}
	return b.raw("}")
}

// flowTail is what TIME_WAIT became of, and the fields for other programs.
func (b line) flowTail(f *reassembly.Flow) line {
	b = b.raw(`,"time_wait":[`)
	for i := range f.TimeWaits {
		if i > 0 {
			b = b.raw(",")
		}
		b = b.timeWait(&f.TimeWaits[i], f.Client)
	}
	expired := f.Ends[0].FinWait2Expired || f.Ends[1].FinWait2Expired
	b = b.bool(`],"fin_wait_2_expired":`, expired)
	if state := f.ConnState(); state != "" {
		b = b.str(`,"conn_state":`, state)
	}
	// Letters, digits, ^, +, / and = need no escaping.
	const history = `,"history":"`
	if h := f.AppendHistory(b.raw(history)); len(h) > len(b)+len(history) {
		b = append(h, '"')
	}
	b = b.num(`,"completeness":`, uint64(f.Completeness()))
	b = append(f.AppendCommunityID(b.raw(`,"community_id":"`)), '"')
	b = b.raw(`,"quality":[`)
	first := true
	for q := reassembly.Quality(1); q <= f.Quality && q != 0; q <<= 1 {
		if f.Quality&q != 0 {
			b = b.comma(&first).str("", q.Names()[0])
		}
	}
	return b.raw("]")
}

func (b line) timeWait(w *reassembly.TimeWait, client tcp.Side) line {
	b = b.str(`{"endpoint":`, string(endpoint(w.Side, client)))
	b = b.time(`,"entered":`, w.Entered).time(`,"expires":`, w.Expires)
	b = b.num(`,"restarts":`, uint64(w.Restarts)).str(`,"ended_by":`, w.EndedBy.String())
	if w.EndedBy == reassembly.TimeWaitReuse {
		b = b.int(`,"reused_after_ns":`, w.EndedAt-w.Entered)
	}
	return b.raw("}")
}
