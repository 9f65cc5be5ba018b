package report

import "github.com/lastack/lastack/reassembly"

// Paused tells that nobody captured between two instants: the input goes on where
// another part of it ended before. What was open then may have gone on unseen.
func (a *Analysis) Paused(from, to int64) {
	a.pauses.add(to - from)
	a.cast(doubt{reassembly.Unwatched, from + 1, to, reassembly.AnySource})
}

// BrokeOff tells that a source ended before its time while others go on. What was
// open there may go on unseen.
func (a *Analysis) BrokeOff(source int) {
	a.pauses.broken = append(a.pauses.broken, source)
	a.cast(doubt{reassembly.Unwatched, a.watermark + 1, a.watermark + 1, source})
}

// doubt is one on the flows that began before an instant, for what lay between that
// and another, or by a clock that leapt seemed to; none if its kind is 0.
type doubt struct {
	kind          reassembly.Doubt
	before, after int64
	source        int // where they were seen, or AnySource
}

// cast puts a doubt on the flows that are open now.
func (a *Analysis) cast(d doubt) {
	if a.pool != nil {
		a.pool.doubt(d)
		return
	}
	a.step()
	for _, p := range a.panels {
		p.doubt(d)
	}
}
