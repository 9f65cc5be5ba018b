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
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// Report is everything that a renderer prints. Times are nanoseconds since
// 1970 UTC on the capture's clock; 0 is unknown.
type Report struct {
	Meta       Meta
	Sources    []Source
	Health     Health
	Start, End int64 // of the input; End as the contract's "When the input ends"
	AsOf       int64 // a snapshot's time; 0 for the final report
	Packets    uint64
	Flows      uint64
	ByClose    [reassembly.Closes]uint64
	Findings   []diagnose.Finding // by (time, flow, rule), at most 1,000 of a group
	Groups     []Group            // worst first
	States     []States
	Verdict    []string // sentences; one function writes them for all renderers
}

// Meta says what was run.
type Meta struct {
	Version string
	Command []string
	Profile reassembly.Profile
}

// Source is one input.
type Source struct {
	Name        string
	Format      string
	LinkTypes   []uint16
	Snaplen     uint32
	Packets     uint64
	Bytes       uint64
	First, Last int64
	SHA256      string // hexadecimal, when asked for
	Error       string // what is damaged, if anything
}

// Health is what could be read and what could not.
type Health struct {
	Packets, TCPSegments, NotTCP, Undecodable uint64
	Duplicates, AckedUnseen, KernelDrops      uint64
	EvictedFlows, TimeWentBackwards           uint64
	BadChecksums                              uint64
	Notes                                     []Note
	Incomplete                                bool // --strict's question: cut off, corrupted, drops or evictions
	Vantage                                   string
}

// Note is one remark on the input.
type Note struct {
	Text string
	File int           // index of the source; -1 for none
	Ref  tcp.PacketRef // 0 for none
}

// Group is the findings of one cause: rule, party and service.
type Group struct {
	Rule        string
	Severity    diagnose.Severity
	Confidence  diagnose.Confidence // the best of its findings
	Who         diagnose.Party
	Service     netip.AddrPort
	Count       uint64
	Flows       []tcp.PacketRef // the first 20
	First, Last int64
	Longest     time.Duration
	Verdict     string
	Example     diagnose.Finding // the worst
	Flow        *reassembly.Flow // the worst one's flow, for the ladder
}

// States is how many sockets a host held in each state at Time.
type States struct {
	Time   int64
	Host   netip.Addr // invalid for the sum over all hosts
	Counts [fsm.States]uint64
}
