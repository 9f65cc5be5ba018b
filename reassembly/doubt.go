package reassembly

import "github.com/lastack/lastack/reassembly/tcp"

// Doubt is why nothing can be said for sure of the time before it for the flows
// that are open then.
type Doubt uint8

const (
	// Unwatched: nobody captured for a while, so that what they sent is missing.
	Unwatched Doubt = 1 << iota
	// Leapt: the capture's clock leapt ahead, so that spans of time are too long.
	Leapt
)

// bit is how a flow carries the doubt.
func (d Doubt) bit() flowBits {
	if d == Unwatched {
		return flowLoss
	}
	return flowStepped
}

// AnySource stands for all sources.
const AnySource = -1

// Doubt lowers the quality of all flows that began before an instant and have
// not ended; with a source's index, of those alone that were seen there.
func (g *Tables) Doubt(d Doubt, before int64, source int) {
	for _, t := range g.list {
		t.doubt(d, before, source)
	}
}

func (t *Table) doubt(d Doubt, before int64, source int) {
	for _, v := range t.index.slots {
		switch i := uint32(v); {
		case i == 0:
		case i&openingBit != 0:
			if o := t.openings.get(i &^ openingBit); o.at < before && of(source, o.ref) {
				o.doubts |= uint8(d)
			}
		default:
			if e := t.entries.get(i); e.first < before && !e.has(flowDone) && e.seenIn(source) {
				e.bits |= d.bit()
			}
		}
	}
}

// seenIn reports whether the flow is watched in a source: it began there, or one
// end was last heard there.
func (e *entry) seenIn(source int) bool {
	return of(source, e.firstRef) || of(source, e.ends[0].lastRef) || of(source, e.ends[1].lastRef)
}

// of reports whether a packet, if there is one, is of a source.
func of(source int, ref tcp.PacketRef) bool {
	return source == AnySource || ref != 0 && ref.File() == source
}
