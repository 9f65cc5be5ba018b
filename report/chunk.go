package report

import (
	"cmp"
	"sync"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

const (
	// chunkBytes and chunkFlows are when a chunk is handed over while flows are
	// finalised all at once.
	chunkBytes = 32 << 10
	chunkFlows = 256
	// blockBytes is the size of a block of lines, and lineRoom what must be left of
	// it for the next flow: a line is seldom longer, and then the block grows.
	blockBytes = 64 << 10
	lineRoom   = 8 << 10
	// blocksKept is how many blocks wait for their next use.
	blocksKept = 256
)

// chunk is what came of some flows that ended: their lines and findings.
type chunk struct {
	flows []ended
	lines [][]byte // blocks of the pool
	pool  *blocks
	finds []found
	moves []move // where a series is wanted
	spare []*reassembly.Flow
}

// blocks is memory for lines that whoever judges takes and whoever writes gives
// back: a second in which many flows end has megabytes of lines, and the next may
// have none.
type blocks struct {
	mu   sync.Mutex
	free [][]byte
}

func (p *blocks) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return make([]byte, 0, blockBytes)
	}
	b := p.free[n-1]
	p.free = p.free[:n-1]
	return b
}

// give gives blocks back.
func (p *blocks) give(list [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range list {
		if cap(b) == blockBytes && len(p.free) < blocksKept {
			p.free = append(p.free, b[:0])
		}
	}
}

// ended is one flow of a chunk. Its findings and moves end where the next one's
// begin, and so do its lines, unless the next one's are in another block.
type ended struct {
	final               int64
	id                  tcp.PacketRef
	block               int32
	lines, finds, moves int32 // where they end
}

// found is a finding, and the flow that shows it if it may be the worst. A bare one
// was not put into words: so many of its group are earlier that nobody lists it.
// What is kept is its flow.
type found struct {
	diagnose.Finding
	flow       *reassembly.Flow
	bare, kept bool
}

// compare orders flows as reports list them.
func (e *ended) compare(f *ended) int {
	if c := cmp.Compare(e.final, f.final); c != 0 {
		return c
	}
	return cmp.Compare(e.id, f.id)
}

// write adds the lines of a flow.
func (c *chunk) write(w FlowWriter, f *reassembly.Flow) {
	n := len(c.lines)
	if n == 0 || cap(c.lines[n-1])-len(c.lines[n-1]) < lineRoom {
		c.lines = append(c.lines, c.pool.take())
		n++
	}
	c.lines[n-1] = w.AppendFlow(c.lines[n-1], f)
}

// block is the number of the last block of lines, and where they end in it.
func (c *chunk) block() (n, end int32) {
	if len(c.lines) == 0 {
		return 0, 0
	}
	return int32(len(c.lines) - 1), int32(len(c.lines[len(c.lines)-1]))
}

// end closes the part of f. A flow that left nothing takes no room.
func (c *chunk) end(f *reassembly.Flow) {
	var last ended
	if n := len(c.flows); n > 0 {
		last = c.flows[n-1]
	}
	to := ended{final: f.Final, id: f.ID, finds: int32(len(c.finds)), moves: int32(len(c.moves))}
	to.block, to.lines = c.block()
	if to.block > last.block || to.lines > last.lines || to.finds > last.finds || to.moves > last.moves {
		c.flows = append(c.flows, to)
	}
}

// part is the lines, findings and moves of flow i.
func (c *chunk) part(i int) (lines []byte, finds []found, moves []move) {
	var from ended
	if i > 0 {
		from = c.flows[i-1]
	}
	to := &c.flows[i]
	if to.block > from.block {
		from.lines = 0
	}
	if len(c.lines) > 0 {
		lines = c.lines[to.block][from.lines:to.lines]
	}
	return lines, c.finds[from.finds:to.finds], c.moves[from.moves:to.moves]
}

func (c *chunk) big() bool {
	block, bytes := c.block()
	return block > 0 || bytes >= chunkBytes || len(c.flows) >= chunkFlows
}

// clone copies a flow, into one that nobody kept if there is any: in a scan each
// finding may be the worst of its service, and hardly any is.
func (c *chunk) clone(f *reassembly.Flow) *reassembly.Flow {
	n := len(c.spare)
	if n == 0 {
		return f.Clone()
	}
	spare := c.spare[n-1]
	c.spare = c.spare[:n-1]
	f.CloneTo(spare)
	return spare
}

// reset empties it and gives the blocks back.
func (c *chunk) reset() {
	c.pool.give(c.lines)
	for i := range c.finds {
		if f := &c.finds[i]; f.flow != nil && !f.kept && len(c.spare) < chunkFlows {
			c.spare = append(c.spare, f.flow)
		}
	}
	clear(c.lines)
	clear(c.finds) // they hold pointers
	*c = chunk{flows: c.flows[:0], lines: c.lines[:0], pool: c.pool, finds: c.finds[:0], moves: c.moves[:0], spare: c.spare}
}
