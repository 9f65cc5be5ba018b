package report

import (
	"sync"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	batchSize = 512
	// batchesEach is how many batches a worker may have waiting.
	batchesEach = 6
)

// batch is what a worker gets: segments, each with its partition, and perhaps
// the watermark up to which its panels are to be swept afterwards.
type batch struct {
	segs      []tcp.Segment
	parts     []uint8
	sweep     bool
	settle    bool // the worker and the collector are to report when they have come this far
	watermark int64
	doubt     doubt // of the flows that are open after the segments
}

func newBatch(size int) *batch {
	return &batch{segs: make([]tcp.Segment, 0, size), parts: make([]uint8, 0, size)}
}

// pool spreads batches over workers and their ended flows on to the collector.
// A panel belongs to one worker, so nothing is locked.
type pool struct {
	workers []*worker
	filling []*batch // one for each worker
	free    chan *batch
	settled chan struct{}
	done    sync.WaitGroup
}

// worker owns every panel whose number leaves its own when divided by the
// number of workers.
type worker struct {
	in      chan *batch
	out     chan *chunk // nil when everything before was handed over, and drain waits
	current *chunk      // of the flows that end until the next sweep
	free    chan *chunk // those that the collector has read
	own     []*panel
	all     []*panel
}

func startPool(threads int, panels []*panel, c *collector) *pool {
	p := &pool{
		free:    make(chan *batch, threads*(batchesEach+1)),
		settled: make(chan struct{}),
	}
	for range cap(p.free) {
		p.free <- newBatch(batchSize)
	}
	for i := range threads {
		w := &worker{
			in: make(chan *batch, batchesEach), out: make(chan *chunk, 1), free: make(chan *chunk, 3), all: panels,
		}
		for range cap(w.free) {
			w.free <- &chunk{pool: &c.blocks}
		}
		for k := i; k < len(panels); k += threads {
			w.own = append(w.own, panels[k])
		}
		p.workers = append(p.workers, w)
		p.filling = append(p.filling, <-p.free)
		p.done.Add(1)
		go func() {
			defer p.done.Done()
			w.run(p.free)
		}()
	}
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		p.collect(c)
	}()
	return p
}

func (p *pool) add(part uint8, s *tcp.Segment) {
	k := int(part/panelTables) % len(p.workers)
	b := p.filling[k]
	b.segs = append(b.segs, *s)
	b.parts = append(b.parts, part)
	if len(b.segs) == batchSize {
		p.send(k)
	}
}

// send hands the batch that is being filled to worker k.
func (p *pool) send(k int) {
	p.workers[k].in <- p.filling[k]
	p.filling[k] = <-p.free
}

// sweep sends every worker what it has, with the order to sweep.
func (p *pool) sweep(watermark int64) {
	for k, b := range p.filling {
		b.sweep, b.watermark = true, watermark
		p.send(k)
	}
}

// doubt sends every worker what it has, and a doubt on the flows that are open
// then.
func (p *pool) doubt(d doubt) {
	for k, b := range p.filling {
		b.doubt = d
		p.send(k)
	}
}

// drain sends every worker what it has, and returns when all of it is stepped
// and the collector has taken what was handed over before.
func (p *pool) drain() {
	for k, b := range p.filling {
		b.settle = true
		p.send(k)
	}
	<-p.settled
}

// stop ends the goroutines; what was sent has been settled before.
func (p *pool) stop() {
	for _, w := range p.workers {
		close(w.in)
	}
	p.done.Wait()
}

func (w *worker) run(free chan<- *batch) {
	w.direct(<-w.free)
	for b := range w.in {
		b.step(w.all)
		if b.doubt.kind != 0 {
			for _, p := range w.own {
				p.doubt(b.doubt)
			}
		}
		if b.sweep {
			for _, p := range w.own {
				p.sweep(b.watermark)
			}
			w.out <- w.current
			w.direct(<-w.free)
		}
		if b.settle {
			w.out <- nil
		}
		*b = batch{segs: b.segs[:0], parts: b.parts[:0]}
		free <- b
	}
	close(w.out)
}

// step works the segments of a batch in, some at a time, so that the flows of
// all of them are on their way from memory before the first is needed.
func (b *batch) step(panels []*panel) {
	var spots [ahead]reassembly.Spot
	for from := 0; from < len(b.segs); from += ahead {
		segs := b.segs[from:min(from+ahead, len(b.segs))]
		parts := b.parts[from:]
		for i := range segs {
			spots[i] = panels[parts[i]/panelTables].table(parts[i]).Look(&segs[i])
		}
		for i := range segs {
			panels[parts[i]/panelTables].table(parts[i]).StepAt(&segs[i], &spots[i])
		}
	}
}

// ahead is how many segments are looked up together.
const ahead = 32

// direct has the flows that end in the worker's panels go to out.
func (w *worker) direct(out *chunk) {
	w.current = out
	for _, p := range w.own {
		p.judge.out = out
	}
}

// collect merges what the workers hand over at each sweep.
func (p *pool) collect(c *collector) {
	chunks := make([]*chunk, len(p.workers))
	for {
		for i, w := range p.workers {
			chunk, ok := <-w.out
			if !ok {
				return
			}
			chunks[i] = chunk
		}
		if chunks[0] == nil {
			p.settled <- struct{}{}
			continue
		}
		c.merge(chunks)
		for i, w := range p.workers {
			chunks[i].reset()
			w.free <- chunks[i]
		}
	}
}
