package reassembly

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

// Doubt lowers the quality of all flows that began before an instant and have
// not ended.
func (g *Tables) Doubt(d Doubt, before int64) {
	for _, t := range g.list {
		t.doubt(d, before)
	}
}

func (t *Table) doubt(d Doubt, before int64) {
	for _, v := range t.index.slots {
		switch i := uint32(v); {
		case i == 0:
		case i&openingBit != 0:
			if o := t.openings.get(i &^ openingBit); o.at < before {
				o.doubts |= uint8(d)
			}
		default:
			if e := t.entries.get(i); e.first < before && !e.has(flowDone) {
				e.bits |= d.bit()
			}
		}
	}
}
