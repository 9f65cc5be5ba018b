package report

import (
	"strings"

	"github.com/lastack/lastack/reassembly"
)

// endings counts what the ways in which flows closed do not tell. The zero value
// is empty.
type endings struct {
	unopened uint64 // open by name, and the handshake was not completed
	unheard  uint64 // open by name, and one side sent nothing
	lone     uint64 // a SYN-ACK of which the SYN was not seen, and nothing after it
	oneSaid  uint64 // mid-stream by name, and only one side spoke, but for RSTs
	repeats  uint64 // of segments in flows of one direction,
	vain     uint64 // and the flows that hold them
}

func (n *endings) add(f *reassembly.Flow) {
	a, b := &f.Ends[0], &f.Ends[1]
	if f.Quality&reassembly.QualityOneWay != 0 && a.Retransmits+b.Retransmits > 0 {
		n.repeats += a.Retransmits + b.Retransmits
		n.vain++
	}
	h := &f.Handshake
	if f.Midstream && !(a.Sent && b.Sent) {
		n.oneSaid++
	}
	if client, server := f.Endpoint(f.Client), f.Endpoint(f.Server()); h.SYNACKRef != 0 && h.FirstSYNRef == 0 &&
		client.Packets == client.RST && server.Packets == server.SYN+server.RST {
		n.lone++
	}
	if f.Close != reassembly.CloseOpen {
		return
	}
	switch {
	case h.Outcome != reassembly.Complete && h.Outcome != reassembly.Simultaneous && h.Outcome != reassembly.Unseen:
		n.unopened++
	case !a.Sent || !b.Sent:
		n.unheard++
	}
}

func (n *endings) plus(o *endings) {
	n.unopened, n.unheard = n.unopened+o.unopened, n.unheard+o.unheard
	n.oneSaid += o.oneSaid
	n.lone, n.repeats, n.vain = n.lone+o.lone, n.repeats+o.repeats, n.vain+o.vain
}

// fine says that nothing was found, and how the flows ended. That there are no
// problems it says only where every flow was seen to close in order, or is open, and
// the capture may hold what tells.
func (r *Report) fine(judged bool, remarks uint64) string {
	how, clean := r.ended()
	n := Plural(r.Flows, "flow", "flows")
	flows := " in " + n
	found := "No finding" + flows
	switch {
	case len(r.NotAsked) > 0:
		return "No " + r.asked() + " found" + flows + " (" + r.others() + "): " + how + "."
	case !judged:
		found = "No finding in what can be seen of " + n
	case clean && !r.Health.unturned:
		found = "No teardown problems" + flows
	}
	found += ": " + how + "."
	if remarks > 0 {
		found += " " + Plural(remarks, "remark", "remarks") + " below."
	}
	return found
}

// ended is how the flows ended, and whether all of them did so in order or were
// open to the end.
func (r *Report) ended() (how string, clean bool) {
	n, e := &r.ByClose, &r.Health.endings
	var parts []string
	add := func(count uint64, what string) {
		if count > 0 {
			parts = append(parts, Count(count)+" "+what)
		}
	}
	add(n[reassembly.CloseOrderly]+n[reassembly.CloseSimultaneous], "closed by FIN")
	add(n[reassembly.CloseReset], "ended by RST")
	add(n[reassembly.CloseRefused], "refused")
	add(n[reassembly.CloseUnanswered], "unanswered")
	add(n[reassembly.CloseFINUnacked], "with a FIN not acknowledged yet")
	add(n[reassembly.CloseHalf], "closed by one side so far")
	add(e.unopened, "not seen to open")
	add(e.unheard, "heard from one side only")
	open := n[reassembly.CloseOpen] - e.unopened - e.unheard
	add(open, "still open")
	closed := n[reassembly.CloseOrderly] + n[reassembly.CloseSimultaneous]
	return strings.Join(parts, ", "), closed+open == r.Flows && r.Health.OneWay == 0
}

// fewRules is up to how many rules are named one by one.
const fewRules = 3

// asked names the rules that were asked for.
func (r *Report) asked() string {
	if len(r.Rules) > fewRules || len(r.Rules) == 0 {
		return "finding of the " + Plural(uint64(len(r.Rules)), "rule", "rules") + " asked for was"
	}
	return list(r.Rules, "or")
}

// others names the rules that were not asked for.
func (r *Report) others() string {
	switch n := len(r.NotAsked); {
	case n == 1:
		return "the rule " + r.NotAsked[0] + " was not asked for"
	case n <= fewRules:
		return "the rules " + list(r.NotAsked, "and") + " were not asked for"
	default:
		return Count(uint64(n)) + " other rules were not asked for"
	}
}

// list is "a", "a and b", "a, b and c".
func list(words []string, and string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + " " + and + " " + words[n-1]
}

// Capture says in a few words what the input was good for: whether it was read
// whole, what the capturing host lost by its own account, and where it was taken.
// A flaw that a note tells is named here: complete is what shows no gap, and was
// not looked at through a filter.
func (r *Report) Capture() string {
	h := &r.Health
	state, read := "complete", "read to its end"
	if r.AsOf != 0 {
		state, read = "complete so far", "not at its end"
	}
	switch {
	case h.Incomplete:
		state = "incomplete"
	case h.OneWay > 0 || h.AckedUnseen > 0 || h.unseen > 0 || h.Filtered > 0:
		state = read + ", with gaps"
	case h.steppedBack:
		state = read + ", with a clock that stepped back"
	case r.Filter.Read > r.Packets:
		state = read + ", through a filter"
	}
	drops := Count(h.KernelDrops) + " drops"
	if h.KernelDrops == 0 && !h.DropsCounted {
		drops = "drops not recorded"
	}
	if v := h.Vantage.String(); v != "" {
		drops += ", " + v
	}
	return state + ", " + drops
}
