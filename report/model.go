// Package report turns judged flows into one report: it spreads segments over
// partitions, runs the rules on the flows that end, adds the counters up, and
// writes the sentences of the verdict. Renderers below it print the model.
//
// In come segments and, at the end, what the reader and the decoder counted;
// out comes a Report, the same for any number of threads. It opens no file and
// reads no clock.
package report

import (
	"net/netip"
	"slices"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// Report is everything that a renderer prints. Times are nanoseconds since
// 1970 UTC on the capture's clock.
type Report struct {
	Meta       Meta
	Sources    []Source
	Health     Health
	Start, End int64 // of the input; both 0 when it holds no packets
	AsOf       int64 // a snapshot's time; 0 for the final report
	Packets    uint64
	Filter     Filter
	Listened   int64 // how long a live capture has run, ns; 0 of files
	Flows      uint64
	ByClose    [reassembly.Closes]uint64
	// Findings are by (time, flow, rule), at most 1,000 of a group; none when
	// the analysis was not asked to list them.
	Findings []diagnose.Finding
	Unlisted uint64           // findings that are counted and, although lists were asked for, not listed
	Groups   []Group          // the most harmful first
	Tally    Tally            // of all findings
	Rules    []string         // IDs of those that were run and are reported
	NotAsked []string         // IDs of those that are not reported, because others were asked for
	States   []States         // the sum over all hosts first
	Asked    bool             // States were asked for: renderers for people print them
	Series   *Series          // nil unless asked for
	Ports    []diagnose.Ports // the highest use first
	Verdict  []string         // sentences; one function writes them for all renderers

	behind []*Group // that can lie behind others
}

// Meta says what was run.
type Meta struct {
	Version string
	Command []string
	Profile reassembly.Profile
	Clock   Clock // of the times in sentences
}

// Source is one input.
type Source struct {
	Name        string
	Format      string
	LinkTypes   []uint16
	Snaplen     uint32
	Packets     uint64
	Bytes       uint64
	First, Last int64  // both 0 when no packet has a time
	SHA256      string // hexadecimal, when asked for
	Error       string // what is damaged, if anything
}

// Input is what the reader and the decoder know when a report is made.
type Input struct {
	Meta    Meta
	Sources []Source
	// Start is the time of the earliest frame; 0 without any.
	Start                                     int64
	Packets, NotTCP, Undecodable, KernelDrops uint64
	BadChecksums                              uint64
	Filter                                    Filter
	Listened                                  int64 // how long a live capture has run, ns; 0 of files
	Notes                                     []Note
	DropsCounted                              bool // every source keeps an account of its drops
	Damaged                                   bool // a source was cut off, corrupted or could not be opened
}

// Filter is what was read before a filter left packets out of it. The zero value
// is none.
type Filter struct {
	Expr   string
	Read   uint64 // packets, whether they match or not; live nobody knows, and it is 0
	Tagged bool   // none matches, and some carry a VLAN tag
}

// Health is what could be read and what could not. Every packet is a TCP
// segment, not TCP (fragments of a datagram that another frame completes, and
// ICMP errors, among these), or undecodable.
type Health struct {
	Packets, TCPSegments, NotTCP, Undecodable uint64
	Duplicates, AckedUnseen, KernelDrops      uint64
	EvictedFlows                              uint64
	// TimeWentBackwards is how often a source's clock stepped back: a frame is
	// stamped more than 1 ms earlier than the one before it in its source.
	TimeWentBackwards uint64
	BadChecksums      uint64
	Notes             []Note
	Incomplete        bool // cut off, corrupted, drops or evictions
	DropsCounted      bool // KernelDrops is all: every source keeps an account
	Vantage           Vantage

	// Flows of which the packets cannot tell everything.
	OneWay, Midstream, Filtered uint64

	unseen      uint64 // flows of which the capture lacks something that was acknowledged
	steppedBack bool   // the clock did, by a millisecond or more
	endings     endings
	filter      *diagnose.Shown // of the capture as a whole; nil for none
	unturned    bool            // it holds nothing that opens or closes a connection
}

// Note is one remark on the input.
type Note struct {
	Text string
	File int           // index of the source; -1 for none
	Ref  tcp.PacketRef // 0 for none
	// Twice: flows count more often than connections, so every number of the report
	// is to be read with it, and no renderer leaves it out.
	Twice bool
	// States: it is on the instant that States were asked for. Renderers that
	// print the table print it there.
	States bool
}

// Remarks are the notes on the input itself, that with which every number is to be
// read first, and those on the instant that the state table was asked for.
func (h *Health) Remarks() (input, states []Note) {
	for _, n := range h.Notes {
		switch {
		case n.States:
			states = append(states, n)
		case n.Twice:
			input = slices.Insert(input, 0, n)
		default:
			input = append(input, n)
		}
	}
	return input, states
}

// Group is the findings of one cause: rule, party and service, and the severity
// where that tells several things. A group without
// a service is of a rule that has none, or of the services beyond a thousand.
type Group struct {
	Rule        string
	Severity    diagnose.Severity   // the worst of its findings
	Confidence  diagnose.Confidence // the best of its findings
	Who         diagnose.Party
	Service     netip.AddrPort
	Count       uint64
	Counts      Tally
	FlowCount   uint64          // flows that they are on
	Flows       []tcp.PacketRef // the first 20
	First, Last int64
	Longest     int64  // ns
	StillOpen   uint64 // findings that were still so when the input ended
	Oldest      int64  // the longest of those, ns
	Pace        *Pace  // nil where there is too little to tell
	Verdict     string
	Remarks     []string         // what the worst one's flow shows beside
	Example     diagnose.Finding // the worst
	Flow        *reassembly.Flow // the worst one's flow, for the ladder

	clients          hosts
	onsets           bins
	measured, passed spans
	usual            *diagnose.Delays
	doubt            string // a sentence on what speaks against the party, if anything
}

// Clients is how many client addresses the findings are about, and whether
// there are more than are told apart; 0 where they are about none.
func (g *Group) Clients() (n uint64, more bool) { return uint64(len(g.clients.set)), g.clients.more }

// Tally counts findings by severity and confidence.
type Tally [diagnose.Info + 1][diagnose.Possible + 1]uint64

// Total is the number of findings.
func (t *Tally) Total() (n uint64) {
	for _, row := range t {
		for _, c := range row {
			n += c
		}
	}
	return n
}

// Any reports whether there is a finding of that severity or above, certain or
// likely.
func (t *Tally) Any(s diagnose.Severity) bool {
	for _, row := range t[:s+1] {
		if row[diagnose.Certain]+row[diagnose.Likely] > 0 {
			return true
		}
	}
	return false
}

// of is the number of findings of that confidence.
func (t *Tally) of(c diagnose.Confidence) (n uint64) {
	for _, row := range t {
		n += row[c]
	}
	return n
}

// mild is the number of remarks among findings.
func (t *Tally) mild() uint64 { return t.grade(diagnose.Info) }

// grade is the number of findings of that severity.
func (t *Tally) grade(s diagnose.Severity) (n uint64) {
	for _, c := range t[s] {
		n += c
	}
	return n
}

// worst is the gravest severity that occurs.
func (t *Tally) worst() diagnose.Severity {
	for s := diagnose.Error; s < diagnose.Info; s++ {
		if t[s] != [len(t[s])]uint64{} {
			return s
		}
	}
	return diagnose.Info
}

// surest is the best confidence that occurs.
func (t *Tally) surest() diagnose.Confidence {
	for c := diagnose.Certain; c < diagnose.Possible; c++ {
		for _, row := range t {
			if row[c] > 0 {
				return c
			}
		}
	}
	return diagnose.Possible
}

// capped is the tally when nothing may be surer than limit.
func (t *Tally) capped(limit diagnose.Confidence) (out Tally) {
	for s, row := range t {
		for c, n := range row {
			if n > 0 {
				out[s][max(diagnose.Confidence(c), limit)] += n
			}
		}
	}
	return out
}

// raised is the tally when all are certain.
func (t *Tally) raised() (out Tally) {
	for s := range t {
		out[s][diagnose.Certain] = t.grade(diagnose.Severity(s))
	}
	return out
}

func (t *Tally) plus(o *Tally) {
	for s, row := range o {
		for c, n := range row {
			t[s][c] += n
		}
	}
}

// States is how many sockets a host held in each state at Time, as finally
// believed; LISTEN is how many listeners had been seen by then.
type States struct {
	Time   int64
	Host   netip.Addr // invalid for the sum over all hosts
	Counts [fsm.States]uint64
	// Presumed are those of Counts whose state follows from a segment that
	// nothing proved to have arrived; Assumed those that a later packet implies
	// or whose opening was not seen. The rest is certain.
	Presumed, Assumed [fsm.States]uint64
}

// Name is the host's address, or "*" for all hosts.
func (s *States) Name() string { return hostName(s.Host) }

// Sockets is how many sockets the host held in any state, listeners included.
func (s *States) Sockets() (n uint64) {
	for _, c := range s.Counts {
		n += c
	}
	return n
}

func hostName(a netip.Addr) string {
	if !a.IsValid() {
		return "*"
	}
	return a.String()
}
