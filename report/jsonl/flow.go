package jsonl

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// appendFlow appends the line of f, with its newline. No string that goes in
// needs escaping: all are addresses, numbers and words of this program.
func appendFlow(dst []byte, f *reassembly.Flow) []byte {
	c := epoch
	b := line(dst).raw(`{"type":"flow","id":"`).id(f.ID)
	return b.flowHead(f, &c).flowStory(f, &c).flowTail(f, &c).raw("]}\n")
}

// flowHead is who, when and how much.
func (b line) flowHead(f *reassembly.Flow, c *clock) line {
	b = b.addr(`","client":{"ip":"`, f, f.Client).addr(`},"server":{"ip":"`, f, f.Server())
	b = b.raw(`},"role":"`).raw(f.Role.String()).num(`","incarnation":`, uint64(f.Incarnation))
	b = b.bool(`,"midstream":`, f.Midstream).time(`,"start":`, c, f.Start).time(`,"end":`, c, f.End)
	b = b.packet(`,"first_packet":{"file":`, f.First).packet(`},"last_packet":{"file":`, f.Last)
	b = b.stats(`},"client_stats":{"packets":`, f.Endpoint(f.Client))
	return b.stats(`,"server_stats":{"packets":`, f.Endpoint(f.Server()))
}

func (b line) addr(k string, f *reassembly.Flow, s tcp.Side) line {
	a := f.Addr(s)
	b = a.Addr().AppendTo(append(b, k...))
	return b.num(`","port":`, uint64(a.Port()))
}

// stats writes at once what is below ten for nearly every end, and what is zero.
func (b line) stats(k string, d *reassembly.Endpoint) line {
	const (
		few  = `,"syn":0,"fin":0,"rst":0,"payload_bytes":`
		none = `,"duplicates":0,"retransmits":0,"out_of_order":0,"zero_windows":0,"keepalives":0}`
	)
	b = b.num(k, d.Packets)
	if max(d.SYN, d.FIN, d.RST) < 10 {
		b = append(b, few...)
		digits := b[len(b)-len(few):]
		digits[len(`,"syn":`)] = byte('0' + d.SYN)
		digits[len(`,"syn":0,"fin":`)] = byte('0' + d.FIN)
		digits[len(`,"syn":0,"fin":0,"rst":`)] = byte('0' + d.RST)
		b = appendUint(b, d.PayloadBytes)
	} else {
		b = b.num(`,"syn":`, d.SYN).num(`,"fin":`, d.FIN).num(`,"rst":`, d.RST).num(`,"payload_bytes":`, d.PayloadBytes)
	}
	if d.Duplicates|d.Retransmits|d.OutOfOrder|d.ZeroWindows|d.Keepalives == 0 {
		return append(b, none...)
	}
	b = b.num(`,"duplicates":`, d.Duplicates).num(`,"retransmits":`, d.Retransmits)
	b = b.num(`,"out_of_order":`, d.OutOfOrder).num(`,"zero_windows":`, d.ZeroWindows)
	return b.num(`,"keepalives":`, d.Keepalives).raw("}")
}

// flowStory is how the flow opened, closed and moved between.
func (b line) flowStory(f *reassembly.Flow, c *clock) line {
	b = b.handshake(&f.Handshake)
	words := wordsOfFlows()
	b = b.raw(words.closes[f.Close][f.ActiveCloser])
	if f.Reset.Ref != 0 {
		b = b.reset(f, c)
	}
	b = b.raw(words.states[f.Endpoint(f.Client).State][f.Endpoint(f.Server()).State])
	b = b.transitions(f, c, words)
	b = b.noComma().states(`],"state_ns":{"client":{`, f.Endpoint(f.Client))
	return b.states(`},"server":{`, f.Endpoint(f.Server())).raw("}}")
}

func (b line) handshake(h *reassembly.Handshake) line {
	b = b.raw(`,"handshake":{"outcome":"`).raw(h.Outcome.String()).raw(`"`)
	b = b.span(`,"connect_ns":`, h.FirstSYN, h.ACK, h.FirstSYNRef, h.ACKRef)
	b = b.span(`,"syn_to_synack_ns":`, h.LastSYN, h.SYNACK, h.LastSYNRef, h.SYNACKRef)
	return b.span(`,"synack_to_ack_ns":`, h.SYNACK, h.ACK, h.SYNACKRef, h.ACKRef)
}

// span is the time between two packets, if both were seen and in that order.
func (b line) span(k string, from, to int64, fromRef, toRef tcp.PacketRef) line {
	if fromRef == 0 || toRef == 0 || to < from {
		return b
	}
	return b.num(k, uint64(to-from))
}

func (b line) reset(f *reassembly.Flow, c *clock) line {
	r := &f.Reset
	by := Endpoint("unknown")
	if r.By != 0 {
		by = endpoint(r.By, f.Client)
	}
	b = b.raw(`,"reset":{"by":"`).raw(string(by))
	b = b.packet(`","packet":{"file":`, r.Ref).time(`},"time":`, c, r.At)
	if r.InAnswerTo != 0 {
		b = b.packet(`,"in_answer_to":{"file":`, r.InAnswerTo).raw("}")
	}
	return b.raw(`,"class":"`).raw(r.Class.String()).raw(`"}`)
}

// transitions ends in a comma unless there are none. A packet that moves both
// ends is written once and copied.
func (b line) transitions(f *reassembly.Flow, c *clock, words *flowWords) line {
	from, to := 0, 0
	var last *reassembly.Step
	for i := range f.Steps {
		s := &f.Steps[i]
		switch {
		case s.From == s.To:
			continue
		case last != nil && last.At == s.At && last.Ref == s.Ref:
			b = append(b, b[from:to]...)
		default:
			from = len(b)
			b = b.time(`{"time":`, c, s.At)
			if s.Ref != 0 {
				b = b.packet(`,"packet":{"file":`, s.Ref).raw("}")
			}
			to = len(b)
		}
		b = b.raw(words.moves[endpointIndex(s.Side, f.Client)][s.From][s.To]).raw(words.causes[s.On][s.Basis])
		last = s
	}
	return b
}

// timedStates are those that a flow spends time in, by name: the order in which
// encoding/json writes a map.
var timedStates = [...]fsm.State{
	fsm.CloseWait, fsm.Closing, fsm.Established, fsm.FinWait1, fsm.FinWait2,
	fsm.LastAck, fsm.SynRcvd, fsm.SynSent, fsm.TimeWait,
}

// stateKeys are their names as keys.
var stateKeys = func() (out [fsm.States]string) {
	for _, st := range timedStates {
		out[st] = `"` + st.String() + `":`
	}
	return out
}()

func (b line) states(k string, d *reassembly.Endpoint) line {
	b = append(b, k...)
	for _, st := range timedStates {
		if ns := d.StateNS[st]; ns > 0 {
			b = append(b.num(stateKeys[st], uint64(ns)), ',')
		}
	}
	return b.noComma()
}

// flowTail is what TIME_WAIT became of, and the fields for other programs.
func (b line) flowTail(f *reassembly.Flow, c *clock) line {
	b = b.raw(`,"time_wait":[`)
	for i := range f.TimeWaits {
		b = b.timeWait(&f.TimeWaits[i], f.Client, c)
	}
	expired := f.Ends[0].FinWait2Expired || f.Ends[1].FinWait2Expired
	b = b.noComma().bool(`],"fin_wait_2_expired":`, expired)
	if state := f.ConnState(); state != "" {
		b = b.raw(`,"conn_state":"`).raw(state).raw(`"`)
	}
	// Letters, digits, ^, +, / and = need no escaping.
	const history = `,"history":"`
	if h := f.AppendHistory(b.raw(history)); len(h) > len(b)+len(history) {
		b = append(h, '"')
	}
	b = b.num(`,"completeness":`, uint64(f.Completeness()))
	b = f.AppendCommunityID(b.raw(`,"community_id":"`))
	return b.qualities(`","quality":[`, f.Quality)
}

// timeWait ends in a comma.
func (b line) timeWait(w *reassembly.TimeWait, client tcp.Side, c *clock) line {
	b = b.raw(`{"endpoint":"`).raw(string(endpoint(w.Side, client)))
	b = b.time(`","entered":`, c, w.Entered).time(`,"expires":`, c, w.Expires)
	b = b.num(`,"restarts":`, uint64(w.Restarts)).raw(`,"ended_by":"`).raw(w.EndedBy.String()).raw(`"`)
	if w.EndedBy == reassembly.TimeWaitReuse {
		b = b.int(`,"reused_after_ns":`, max(w.EndedAt-w.Entered, 0))
	}
	return b.raw("},")
}
