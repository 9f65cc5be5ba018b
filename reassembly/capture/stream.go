package capture

import (
	"io"
	"sync"
)

const (
	// blockSize is what one read asks for, headroom included.
	blockSize = 512 << 10
	// headroom is left free at the begin of every block, so that the bytes of
	// a record that began in the block before can be put in front of its rest.
	headroom = 64 << 10
	// aheadBlocks is how many blocks circulate between the goroutine that
	// reads and decompresses and the one that parses.
	aheadBlocks = 4
	// keepJoined is how much memory may be kept for records that do not fit
	// the headroom.
	keepJoined = 1 << 20
)

// readAhead reads blocks in a goroutine of its own, so that reading,
// decompressing and hashing overlap with parsing. Every Read of the source is
// handed over at once, so that a slow pipe's frames are not held back.
type readAhead struct {
	full chan block  // in order; closed after the one with the error
	free chan []byte // blocks to fill again
	quit chan struct{}
	once sync.Once
}

// block is what one Read gave: data[headroom:headroom+n], and the error with
// which reading ended.
type block struct {
	data []byte
	n    int
	err  error
}

// startReadAhead reads r until it ends or stop is called. size is of a block;
// atEnd is called in the reading goroutine when r has ended, before the last
// block is handed over.
func startReadAhead(r io.Reader, size int, atEnd func()) *readAhead {
	a := &readAhead{
		full: make(chan block, aheadBlocks),
		free: make(chan []byte, aheadBlocks),
		quit: make(chan struct{}),
	}
	go a.run(r, size, atEnd)
	return a
}

func (a *readAhead) run(r io.Reader, size int, atEnd func()) {
	defer close(a.full)
	made, empty := 0, 0
	for {
		var b []byte
		if made < aheadBlocks && len(a.free) == 0 {
			b = make([]byte, size)
			made++
		} else {
			select {
			case <-a.quit:
				return
			case b = <-a.free:
			}
		}
		n, err := r.Read(b[headroom:])
		if n > 0 {
			empty = 0
		} else if empty++; empty == 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			atEnd()
		}
		select {
		case <-a.quit:
			return
		case a.full <- block{b, n, err}:
		}
		if err != nil {
			return
		}
	}
}

// next returns the next block. After stop it returns what has been read
// already, then io.EOF.
func (a *readAhead) next() block {
	select {
	case b, ok := <-a.full:
		return orEOF(b, ok)
	default:
	}
	select {
	case b, ok := <-a.full:
		return orEOF(b, ok)
	case <-a.quit:
		return block{err: io.EOF}
	}
}

func orEOF(b block, ok bool) block {
	if !ok {
		return block{err: io.EOF}
	}
	return b
}

// recycle gives a block back.
func (a *readAhead) recycle(b []byte) {
	if b != nil {
		a.free <- b
	}
}

// stop ends reading; any goroutine may call it, and more than once.
func (a *readAhead) stop() { a.once.Do(func() { close(a.quit) }) }

func (a *readAhead) stopped() bool {
	select {
	case <-a.quit:
		return true
	default:
		return false
	}
}

// stream gives the bytes of a source to a parser, in place. A parser asks with
// need for so many bytes in a row, looks at them in data and takes them with
// take. What it was shown stays as it is until the next need.
type stream struct {
	ahead *readAhead
	data  []byte // not yet taken
	off   int64  // of data in the decompressed input
	block []byte // where data lies, unless in joined
	// joined holds a record that is longer than the headroom; it grows as its
	// bytes arrive, whatever length the record claims.
	joined []byte
	inJoin bool
	err    error // why there are no more blocks
}

// need makes n bytes available in data and reports whether they are there.
// When not, err says why, and data is all that is left.
func (s *stream) need(n int) bool { return len(s.data) >= n || s.fill(n) }

func (s *stream) take(n int) {
	s.data = s.data[n:]
	s.off += int64(n)
}

func (s *stream) fill(n int) bool {
	for len(s.data) < n {
		if s.err != nil {
			return false
		}
		b := s.ahead.next()
		s.err = b.err
		if b.n == 0 {
			s.ahead.recycle(b.data)
			continue
		}
		s.add(b)
	}
	return true
}

// add puts the bytes of b behind those in data.
func (s *stream) add(b block) {
	fresh := b.data[headroom : headroom+b.n]
	if len(s.data) <= headroom {
		at := headroom - len(s.data)
		copy(b.data[at:], s.data)
		s.data = b.data[at : headroom+b.n]
		s.ahead.recycle(s.block)
		s.block = b.data
		s.inJoin = false
		if cap(s.joined) > keepJoined {
			s.joined = nil
		}
		return
	}
	if !s.inJoin {
		s.joined = append(s.joined[:0], s.data...)
		s.ahead.recycle(s.block)
		s.block, s.inJoin = nil, true
	} else if len(s.data) < len(s.joined) {
		s.joined = s.joined[:copy(s.joined, s.data)]
	}
	s.joined = append(s.joined, fresh...)
	s.ahead.recycle(b.data)
	s.data = s.joined
}

// skip takes n bytes without showing them, and reports whether they were
// there.
func (s *stream) skip(n int64) bool {
	for n > int64(len(s.data)) {
		n -= int64(len(s.data))
		s.take(len(s.data))
		if !s.fill(1) {
			return false
		}
	}
	s.take(int(n))
	return true
}

// drain reads the rest for nothing but its hash.
func (s *stream) drain() {
	for s.err == nil {
		b := s.ahead.next()
		s.err = b.err
		s.ahead.recycle(b.data)
	}
}
