package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Stats counts what a Decoder was given and could not use.
type Stats struct {
	Segments, Quotes, NotTCP, Fragments, Undecodable uint64 // frames, by result

	// Reasons says why frames were undecodable, the most frequent first. The
	// counts add up to Undecodable.
	Reasons []Reason

	Checksums    uint64 // segments whose TCP checksum was verified
	BadChecksums uint64 // of these, those with a wrong one
	CutHeaders   uint64 // segments decoded although their TCP header was cut

	Reassembled uint64 // IP datagrams completed from fragments
	// Incomplete says what became of fragments whose datagram was never
	// completed, those that still wait included. It counts fragments.
	Incomplete []Reason
}

// Reason is one cause for which something could not be used.
type Reason struct {
	Name  string // in plain words
	Count uint64
	First tcp.PacketRef // where it happened first
}

// reason is a cause whose name is known beforehand, so that counting one costs
// no more than an addition.
type reason uint8

const (
	cutHeaders reason = iota
	cutTCP
	tooShort
	tooDeep
	badLink
	badIPv4
	badIPv6
	badTCP
	badFragment
	encryptedWiFi
	encryptedMACsec
	compressedVJ
	compressedIP
	failed

	lostExpired // fragments from here on
	lostEvicted
	lostOverlap
	lostPieces

	numReasons
)

var reasonNames = [numReasons]string{
	cutHeaders:      "frame cut by the snaplen within its headers",
	cutTCP:          "TCP header cut by the snaplen",
	tooShort:        "frame too short for its headers",
	tooDeep:         "too many nested headers",
	badLink:         "malformed link-layer header",
	badIPv4:         "malformed IPv4 header",
	badIPv6:         "malformed IPv6 header",
	badTCP:          "malformed TCP header",
	badFragment:     "malformed IP fragment",
	encryptedWiFi:   "encrypted 802.11 frame",
	encryptedMACsec: "encrypted MACsec frame",
	compressedVJ:    "Van Jacobson compressed TCP header",
	compressedIP:    "IPComp payload that cannot be decompressed",
	failed:          "frame that made the decoder fail",
	lostExpired:     "other fragments of the datagram did not come in time",
	lostEvicted:     "too many incomplete datagrams at once",
	lostOverlap:     "fragments of one datagram contradict each other",
	lostPieces:      "datagram in too many separate pieces",
}

const waitingName = "other fragments of the datagram have not come"

// tally counts one cause.
type tally struct {
	count uint64
	first tcp.PacketRef
}

func (t *tally) add(n uint64, ref tcp.PacketRef) {
	if t.count == 0 {
		t.first = ref
	}
	t.count += n
}

// counters is what a Decoder counts while it runs.
type counters struct {
	results      [numResults]uint64
	reasons      [numReasons]tally
	links        map[uint16]*tally // unknown link types
	checksums    uint64
	badChecksums uint64
	cutHeaders   uint64
	reassembled  uint64
}

// undecodable counts the frame in hand under a reason.
func (d *Decoder) undecodable(why reason) Result {
	d.count.reasons[why].add(1, d.pk.ref)
	return Undecodable
}

// unknownLink counts the frame in hand under its link type.
func (d *Decoder) unknownLink(link uint16) Result {
	if d.count.links == nil {
		d.count.links = map[uint16]*tally{}
	}
	t := d.count.links[link]
	if t == nil {
		t = new(tally)
		d.count.links[link] = t
	}
	t.add(1, d.pk.ref)
	return Undecodable
}

// Stats returns the counts so far.
func (d *Decoder) Stats() Stats {
	c := &d.count
	s := Stats{
		Segments:     c.results[Segment],
		Quotes:       c.results[Quote],
		NotTCP:       c.results[NotTCP],
		Fragments:    c.results[Fragment],
		Undecodable:  c.results[Undecodable],
		Checksums:    c.checksums,
		BadChecksums: c.badChecksums,
		CutHeaders:   c.cutHeaders,
		Reassembled:  c.reassembled,
	}
	for i, t := range c.reasons {
		list := &s.Reasons
		if reason(i) >= lostExpired {
			list = &s.Incomplete
		}
		appendReason(list, reasonNames[i], t)
	}
	for link, t := range c.links {
		appendReason(&s.Reasons, fmt.Sprintf("link type %d is not supported", link), *t)
	}
	appendReason(&s.Incomplete, waitingName, d.frags.waiting())
	for _, list := range [][]Reason{s.Reasons, s.Incomplete} {
		slices.SortFunc(list, func(a, b Reason) int {
			if a.Count != b.Count {
				if a.Count > b.Count {
					return -1
				}
				return 1
			}
			return strings.Compare(a.Name, b.Name)
		})
	}
	return s
}

func appendReason(list *[]Reason, name string, t tally) {
	if t.count > 0 {
		*list = append(*list, Reason{Name: name, Count: t.count, First: t.first})
	}
}
