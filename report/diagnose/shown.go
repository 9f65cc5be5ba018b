package diagnose

import (
	"strings"

	"github.com/lastack/lastack/reassembly"
)

// Shown counts what kinds of segments flows show. What none of them shows was
// left out of the capture, by a filter for the most part: then that it is missing
// says nothing of any one of them.
type Shown struct {
	syn, synACK, fin, rst uint64 // segments
	plain                 uint64 // flows with a segment that is none of these,
	bare                  uint64 // and the others
	both                  uint64 // flows with segments of both directions
	icmp                  uint64 // flows that ICMP errors quote
	oneWay                uint64 // flows with a peer that is not captured

	closing, closed uint64 // flows with a FIN, and those of them that are bare
	half            uint64 // of these, with the FIN of one side and no RST

	// Bare flows that were watched for long enough to tell. Of those with a SYN
	// and nothing else: the SYN came again, or it did not.
	repeated, lone uint64
	// Of those with a SYN-ACK and no FIN: it came again or met an RST, so that the
	// handshake was not completed; or nothing says so.
	held, taken uint64
}

const (
	// leastFiltered flows tell that a capture was filtered.
	leastFiltered = 5
	// mostFiltered is the share of flows that do, in percent.
	mostFiltered = 80
	// answerPatience is how long after its SYN a client would have repeated it,
	// and a server its SYN-ACK (RFC 6298 §2: after 1 s, or 3 s in older hosts), ns.
	answerPatience = 3100e6
)

func (n *Shown) add(f *reassembly.Flow) {
	a, b := &f.Ends[0], &f.Ends[1]
	synACK := uint64(0)
	if f.Handshake.SYNACKRef != 0 {
		synACK = f.Endpoint(f.Server()).SYN
	}
	n.syn, n.synACK = n.syn+a.SYN+b.SYN-synACK, n.synACK+synACK
	n.fin, n.rst = n.fin+a.FIN+b.FIN, n.rst+a.RST+b.RST
	switch {
	case a.Packets > 0 && b.Packets > 0:
		n.both++
	case f.Quality&reassembly.QualityOneWay != 0:
		n.oneWay++
	}
	if f.Handshake.ICMPRef != 0 {
		n.icmp++
	}
	if a.FIN+b.FIN > 0 {
		n.closing++
	}
	if a.Packets+b.Packets != a.SYN+a.FIN+a.RST+b.SYN+b.FIN+b.RST {
		n.plain++
		return
	}
	n.bare++
	switch {
	case a.FIN+b.FIN > 0:
		n.closed++
		if min(a.FIN, b.FIN)+a.RST+b.RST == 0 {
			n.half++
		}
	case synACK > 0:
		n.answered(f)
	case a.RST+b.RST == 0 && f.Handshake.FirstSYNRef != 0 && f.Until-f.Handshake.FirstSYN >= answerPatience:
		if repeatedSYN(f.Endpoint(f.Client)) {
			n.repeated++
		} else {
			n.lone++
		}
	}
}

// answered counts a bare flow with a SYN-ACK and no FIN.
func (n *Shown) answered(f *reassembly.Flow) {
	switch {
	case halfOpen(f):
		n.held++
	case f.Until-f.Handshake.SYNACK >= answerPatience:
		n.taken++
	}
}

// repeatedSYN reports that a side sent its SYN, or SYN-ACK, more than once.
func repeatedSYN(d *reassembly.Endpoint) bool { return d.SYN > d.Duplicates+1 }

// halfOpen reports proof that a SYN-ACK was not followed up: it came again, or
// the client's host knew nothing of its SYN. A server that does not repeat its
// SYN-ACK got the third segment, or keeps no state of the SYN (SYN cookies).
func halfOpen(f *reassembly.Flow) bool {
	r := &f.Reset
	return repeatedSYN(f.Endpoint(f.Server())) ||
		r.Ref != 0 && r.By == f.Client && r.Class == reassembly.ResetPassive
}

func (n *Shown) plus(o *Shown) {
	n.syn, n.synACK, n.fin, n.rst = n.syn+o.syn, n.synACK+o.synACK, n.fin+o.fin, n.rst+o.rst
	n.plain, n.bare, n.both, n.oneWay = n.plain+o.plain, n.bare+o.bare, n.both+o.both, n.oneWay+o.oneWay
	n.icmp += o.icmp
	n.closing, n.closed, n.half = n.closing+o.closing, n.closed+o.closed, n.half+o.half
	n.repeated, n.lone, n.held, n.taken = n.repeated+o.repeated, n.lone+o.lone, n.held+o.held, n.taken+o.taken
}

// Filtered reports that the capture as a whole was filtered on flags: one flow
// without anything but SYN, FIN and RST may have been cut off.
func (n *Shown) Filtered() bool {
	return n.closed >= leastFiltered && n.closed*100 >= n.closing*mostFiltered || n.opensOnly()
}

// opensOnly reports a capture of SYNs, or of SYNs and SYN-ACKs, of which most
// must have been answered.
func (n *Shown) opensOnly() bool {
	switch {
	case n.plain+n.fin > 0:
		return false
	case n.synACK > 0:
		return n.taken >= leastFiltered && n.taken*100 >= (n.taken+n.held)*mostFiltered
	}
	return n.rst == 0 && n.lone >= leastFiltered && n.lone > n.repeated
}

// Unturned reports that several flows were captured and no segment that opens or
// closes one: a filter left them out, or none did in that time.
func (n *Shown) Unturned() bool {
	return n.plain >= leastFiltered && n.syn+n.synACK+n.fin+n.rst == 0
}

// Flows is how many flows the filter left nothing but flags of.
func (n *Shown) Flows() uint64 {
	if n.opensOnly() {
		return n.bare
	}
	return n.closed
}

// Half is how many of them show the FIN of one side alone.
func (n *Shown) Half() uint64 { return n.half }

// Cut is what a filter on flags leaves of a capture.
type Cut struct {
	Filter  string // which leaves it
	Kinds   string // the segments that it leaves
	Hides   string // what cannot be seen for that
	Besides string // what else shows the same, before the word for the filter; "" for nothing
}

// Cut is what was left of a capture that Filtered says to be.
func (n *Shown) Cut() Cut {
	const (
		opening = "whether the connections were opened"
		closing = "whether a FIN was acknowledged"
		cookies = "a flood does of a server with SYN cookies, or as "
	)
	switch {
	case n.opensOnly() && n.synACK == 0:
		return Cut{"tcp[tcpflags] == tcp-syn", "SYNs", "whether they were answered", "a scan does that nothing answers, or as "}
	case n.opensOnly() && n.rst == 0:
		return Cut{"tcp[tcpflags] & tcp-syn != 0", "SYNs and SYN-ACKs", opening, cookies}
	case n.opensOnly():
		return Cut{"tcp[tcpflags] & (tcp-syn|tcp-rst) != 0", "SYNs, SYN-ACKs and RSTs", opening, cookies}
	case n.syn+n.synACK+n.rst == 0:
		return Cut{"tcp[tcpflags] & tcp-fin != 0", "FINs", closing, ""}
	}
	return Cut{"tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0", "SYN, FIN and RST", closing, ""}
}

// deaf is why the capture holds no answers at all, so that none of its SYNs can
// be said to have had none; 0 where it may. A host that is down leaves no answers
// either, but then its clients repeat their SYNs.
func (n *Shown) deaf() reassembly.Quality {
	switch {
	case n.both+n.icmp > 0:
		return 0
	case n.oneWay > 0:
		return reassembly.QualityOneWay
	case n.plain+n.fin+n.synACK+n.rst == 0 && n.lone > n.repeated:
		return reassembly.QualityFiltered
	}
	return 0
}

// mute reports that an answer to a SYN need not be in the capture: it holds none
// of some kind. A host that is down, and nothing else captured, looks the same.
func (n *Shown) mute() bool { return n.icmp == 0 && (n.both == 0 || n.plain+n.rst == 0) }

// Weigh lowers a finding on a single flow to what the capture as a whole lets it
// say, and reports whether it did.
func (p *Patterns) Weigh(d *Finding) bool {
	r := find(p.rules, d.Rule)
	if r == nil || !r.needsAnswers || d.Confidence == Possible {
		return false
	}
	why := p.shown.deaf()
	if why == 0 && d.Slot == slotStopped && p.shown.mute() {
		why = reassembly.QualityFiltered
	}
	if why == 0 {
		return false
	}
	d.Confidence, d.LoweredBy = Possible, d.LoweredBy|why
	if d.Verdict != "" {
		d.Verdict = strings.TrimSuffix(d.Verdict, ".") + "; or the last was answered, and the capture lacks that"
	}
	return true
}

// Shown is what kinds of segments the flows show.
func (p *Patterns) Shown() *Shown { return &p.shown }
