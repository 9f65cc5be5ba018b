// Package diagnose holds the rules: from an ended flow to findings.
//
// In comes one flow at a time, with both endpoints' steps and the notable
// packets; out come findings, each with a party, a confidence and the packets
// that prove it. A rule reads no file and no clock, keeps nothing between
// flows, and never raises a finding without evidence.
package diagnose

import (
	"net/netip"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// Severity is how much a finding matters. The zero value is none.
type Severity uint8

// The severities, worst first.
const (
	Error Severity = 1 + iota
	Warning
	Info
)

var severityNames = [...]string{Error: "error", Warning: "warning", Info: "info"}

// String is the name that JSON uses.
func (s Severity) String() string { return severityNames[s] }

// Confidence is how sure a finding is. The zero value is none.
type Confidence uint8

// Certain: free of contradiction, both directions seen, waited long enough.
// Likely: one inference. Possible: the capture ended or lost packets around it.
const (
	Certain Confidence = 1 + iota
	Likely
	Possible
)

var confidenceNames = [...]string{Certain: "certain", Likely: "likely", Possible: "possible"}

// String is the name that JSON uses.
func (c Confidence) String() string { return confidenceNames[c] }

// Lower is the next weaker confidence.
func (c Confidence) Lower() Confidence { return min(c+1, Possible) }

// Party is who is responsible. The zero value is none of them.
type Party uint8

// The parties.
const (
	ClientApp Party = 1 + iota
	ServerApp
	ClientHost
	ServerHost
	Path
	Middlebox
	Capture
	Nobody
	Unknown
)

var partyNames = [...]string{ClientApp: "client_app", ServerApp: "server_app", ClientHost: "client_host",
	ServerHost: "server_host", Path: "path", Middlebox: "middlebox", Capture: "capture",
	Nobody: "none", Unknown: "unknown"}

// String is the name that JSON uses.
func (p Party) String() string { return partyNames[p] }

// Evidence is one packet and what it shows.
type Evidence struct {
	Ref  tcp.PacketRef
	At   int64    // ns since 1970 UTC
	Side tcp.Side // its sender
	says wording  // makes What, where that is put off until Dress
	What string   // "the server's FIN, sequence 413"
}

// Finding is one verdict on one flow, or on several of one service or host.
type Finding struct {
	Rule       string
	Severity   Severity
	Confidence Confidence
	Who        Party
	Flow       tcp.PacketRef   // 0 when it is over several flows
	Flows      []tcp.PacketRef // then these, the first 20
	FlowCount  uint64          // of so many
	Client     netip.AddrPort
	Service    netip.AddrPort // the server's address and port
	Time       int64          // when the phenomenon began
	Duration   int64          // how long it lasted; 0 when that means nothing
	Slot       int            // of Duration, where Delays decide at the end whether it stands; or see slotStopped, slotOfRST; else 0
	Censored   bool           // the input ended before the phenomenon did
	Unended    bool           // its flow goes on: this is a snapshot, and more may come
	Verdict    string         // one sentence
	hedged     string         // what it says where it is less than certain after all; "" for the same
	Aside      string         // a whole sentence: what it adds to findings that it lies behind; see AsideTo
	Typical    int64          // what was measured, ns: of a pattern, or how long somebody waited; 0 for nothing
	Behind     uint64         // of so many flows with such findings
	Evidence   []Evidence     // never empty, in packet order
	Wireshark  string         // display filter
	LoweredBy  reassembly.Quality
	Silent     bool // it rests on that something is not in the capture

	say   wordsOf     // makes the verdict, where that is put off until Dress
	grade gradedWords // the same, where it depends on the confidence
}

// wordsOf makes the verdict of a finding that lasted so long. It gets no more of
// the finding than that, which would have to lie on the heap for it.
type wordsOf func(f *reassembly.Flow, lasted int64) string

// gradedWords makes a verdict that says less of what is less than certain.
type gradedWords func(f *reassembly.Flow, lasted int64, sure Confidence) string

// Dress adds what only readers need, and what takes longer to write than to
// find: the display filter, and the verdict and the words of the evidence where
// the rule put them off. f is the flow of the finding, which is still valid. In a
// flood one finding in thousands is ever read.
func (d *Finding) Dress(f *reassembly.Flow) {
	if d.Wireshark == "" {
		d.Wireshark = displayFilter(f)
	}
	if d.say != nil {
		d.Verdict, d.say = d.say(f, d.Duration), nil
	}
	if d.grade != nil {
		d.Verdict = d.grade(f, d.Duration, d.Confidence)
		if d.Confidence == Certain {
			d.hedged = d.grade(f, d.Duration, Likely)
		}
		d.grade = nil
	}
	for i := range d.Evidence {
		d.Evidence[i].say(f)
	}
}

// Weaken lowers a finding to at most sure, for a reason that showed only when all
// flows were known, and has its verdict say no more than that.
func (d *Finding) Weaken(sure Confidence, why reassembly.Quality) {
	if d.Confidence >= sure {
		return
	}
	d.Confidence, d.LoweredBy = sure, d.LoweredBy|why
	if d.hedged != "" {
		d.Verdict, d.hedged = d.hedged, ""
	}
}

// Context is what a rule may know beside the flow. It belongs to one goroutine
// and is reused from flow to flow.
type Context struct {
	Profile  reassembly.Profile
	Leaps    Leaps     // of the capture's clock, as far as they are known
	Patterns *Patterns // what Judge shows every flow to; nil when nobody asks for patterns
	Bare     bool      // Judge leaves it to the caller to Dress what it finds

	rules   []Rule  // those that checks were made of
	checks  []check // in the order of rules
	needs   signs   // of any of them
	known   [1 << knownBits]known
	judging *Rule     // the rule that is running
	reset   resetKind // what the RST was that took effect on the flow
	found   []Finding
	by      []*Rule // those that found them
	service place   // of the flow that the collectors are shown
	pair    place   // and of its client
	// serviceHosts and pairHosts are what the hosts of these add to their hashes.
	serviceHosts, pairHosts uint64
	lately                  *portion // of the service
	shown                   Shown    // of all flows, once there are no more
	collect                 func(Finding)
}

// Rule looks for one phenomenon.
type Rule struct {
	ID       string // kebab-case, an interface: never renamed
	Title    string // a few words
	Severity Severity
	// Doc is what --explain prints: what it means, the signature, look-alikes,
	// what it usually is, what to do, what would prove it.
	Doc string
	RFC []string // sections
	// Replaces names rules whose findings on the same flow this one explains:
	// they are dropped where it finds something.
	Replaces []string
	// Covers names those that a finding over many flows explains, where they are
	// others than Replaces; see Explains.
	Covers []string
	// Muted rules run, so that they replace what they explain, and are not
	// reported.
	Muted bool
	// needs are signs of which a flow shows at least one wherever Check finds
	// something: it is not asked otherwise. A rule without any is always asked.
	needs signs
	// needsAnswers: its findings say that nothing answered, and are no more than
	// possible where the capture holds no answers of any flow; see Weigh.
	needsAnswers bool
	// byDistance: who sent the RST is told by its time to live; see Settle.
	byDistance bool
	// Check calls emit for each finding on an ended flow. Judge adds the rule's
	// ID, and its severity where the finding has none. A rule over many flows
	// has New instead, or besides, and replaces what Explains says. One that must
	// know what is usual before a finding stands has both.
	Check func(c *Context, f *reassembly.Flow, emit func(Finding))
	// New makes a collector for a rule over many flows.
	New func() Collector
}
