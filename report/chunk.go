package report

import (
	"cmp"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

const (
	// chunkBytes and chunkFlows are when a chunk is handed over while flows are
	// finalised all at once.
	chunkBytes = 32 << 10
	chunkFlows = 256
	// keepBytes is the most that an empty chunk holds on to.
	keepBytes = 4 << 20
)

// chunk is what came of some flows that ended: their lines and findings.
type chunk struct {
	flows []ended
	lines []byte
	finds []found
	moves []move // where a series is wanted
}

// ended is one flow of a chunk. Its lines, findings and moves end where the next
// one's begin.
type ended struct {
	final               int64
	id                  tcp.PacketRef
	lines, finds, moves int // where they end
}

// found is a finding, and the flow that shows it if it may be the worst. A bare one
// was not put into words: so many of its group are earlier that nobody lists it.
type found struct {
	diagnose.Finding
	flow *reassembly.Flow
	bare bool
}

// before orders flows as reports list them.
func (e *ended) compare(f *ended) int {
	if c := cmp.Compare(e.final, f.final); c != 0 {
		return c
	}
	return cmp.Compare(e.id, f.id)
}

// end closes the part of f. A flow that left nothing takes no room.
func (c *chunk) end(f *reassembly.Flow) {
	var last ended
	if n := len(c.flows); n > 0 {
		last = c.flows[n-1]
	}
	if len(c.lines) > last.lines || len(c.finds) > last.finds || len(c.moves) > last.moves {
		c.flows = append(c.flows, ended{f.Final, f.ID, len(c.lines), len(c.finds), len(c.moves)})
	}
}

// part is the lines, findings and moves of flow i.
func (c *chunk) part(i int) (lines []byte, finds []found, moves []move) {
	var from ended
	if i > 0 {
		from = c.flows[i-1]
	}
	to := &c.flows[i]
	return c.lines[from.lines:to.lines], c.finds[from.finds:to.finds], c.moves[from.moves:to.moves]
}

func (c *chunk) big() bool { return len(c.lines) >= chunkBytes || len(c.flows) >= chunkFlows }

func (c *chunk) reset() {
	clear(c.finds) // they hold pointers
	*c = chunk{flows: c.flows[:0], lines: c.lines[:0], finds: c.finds[:0], moves: c.moves[:0]}
	if cap(c.lines) > keepBytes {
		*c = chunk{}
	}
}
