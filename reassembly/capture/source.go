package capture

import (
	"bufio"
	"errors"
	"io"
	"math"
	"sync/atomic"
)

// Source reads one capture file or standard input. Next, Info and Close belong
// to one goroutine; Progress and Stop may be called from any.
type Source struct {
	name string
	opts Options
	file int

	taken    atomic.Int64 // bytes read of the input
	size     atomic.Int64 // of the input, 0 if unknown
	ahead    atomic.Pointer[readAhead]
	stopping atomic.Bool

	in      *input
	regular bool
	parser  parser
	dec     decoder // nil when parked, before, or at the end
	ended   bool

	head     Frame // the first frame, while peeked
	peeked   bool
	hasFirst bool
	firstAt  int64
}

// decoder reads one file format. next returns io.EOF at the end or a *Damage.
type decoder interface{ next(f *Frame) error }

// Open opens a capture by its name, "-" for standard input, and reads its
// header; of a pipe it waits for the first bytes. The error names the file and
// says in words what is wrong: no such file, empty, or what it is instead of a
// capture.
func Open(name string, o Options) (*Source, error) {
	s := &Source{name: name, opts: o}
	if err := s.start(blockSize); err != nil {
		return nil, err
	}
	return s, nil
}

// start opens the input and reads the file header. size is of the blocks that
// are read.
func (s *Source) start(size int) error {
	in, err := openInput(s.name, s.opts, &s.taken)
	if err != nil {
		return err
	}
	s.in, s.regular = in, in.regular
	s.size.Store(in.size)
	if err := s.readHeader(size); err != nil {
		s.release()
		return err
	}
	return nil
}

func (s *Source) readHeader(size int) error {
	br := bufio.NewReaderSize(s.in, 128<<10)
	r, compression, err := decompress(br)
	if err != nil {
		return &openError{s.name, readFailure(compression, err), err}
	}
	if compression == "" && s.in.regular {
		// A block need not be larger than the file, and one byte to see its end.
		size = int(min(int64(size), headroom+s.in.size+1))
	}
	in := s.in
	a := startReadAhead(r, size, func() { in.sum = in.finish() })
	s.ahead.Store(a)
	if s.stopping.Load() {
		a.stop()
	}
	s.parser = parser{
		s:     &stream{ahead: a},
		info:  Info{Name: s.name, Bytes: s.in.size},
		first: math.MaxInt64, last: math.MinInt64,
		compression: compression,
	}
	s.dec, err = detect(&s.parser, s.in.regular)
	if compression != "" {
		s.parser.info.Format += "+" + compression
	}
	return err
}

// Next fills f with the next frame; io.EOF at the end or at damage, which then
// stands in Info.
func (s *Source) Next(f *Frame) error {
	if s.peeked {
		*f, s.peeked = s.head, false
		f.File = s.file
		return nil
	}
	if s.dec == nil {
		if s.ended {
			return io.EOF
		}
		if err := s.unpark(blockSize); err != nil {
			return err
		}
	}
	if err := s.dec.next(f); err != nil {
		s.finish(err)
		return io.EOF
	}
	f.File = s.file
	return nil
}

// peek reads the first frame ahead of Next and remembers its time.
func (s *Source) peek() {
	if s.peeked || s.hasFirst || s.ended {
		return
	}
	if s.Next(&s.head) == nil {
		s.peeked, s.hasFirst, s.firstAt = true, true, s.head.At
	}
}

// park gives up the file and the memory of a source of which only the first
// frame has been looked at; Next begins anew. Only a regular file can be
// parked: others stay as they are.
func (s *Source) park() {
	if !s.regular || !s.peeked {
		return
	}
	i := s.parser.info
	s.release()
	s.taken.Store(0)
	s.peeked, s.head = false, Frame{}
	s.parser = parser{
		info:  Info{Name: i.Name, Format: i.Format, LinkTypes: i.LinkTypes, SnapLen: i.SnapLen, Bytes: s.size.Load()},
		first: math.MaxInt64, last: math.MinInt64,
	}
}

// unpark opens a parked source again; io.EOF if that is no longer possible.
func (s *Source) unpark(size int) error {
	if s.stopping.Load() {
		s.ended = true
		return io.EOF
	}
	parked := s.parser
	if err := s.start(size); err != nil {
		s.ended, s.parser = true, parked
		if s.stopping.Load() {
			return io.EOF
		}
		var oe *openError
		errors.As(err, &oe)
		s.parser.info.Damage = &Damage{Name: s.name, Text: "cannot be read a second time: " + oe.text, Err: err}
		return io.EOF
	}
	return nil
}

// finish notes why reading ended and lets go of the input.
func (s *Source) finish(err error) {
	st := s.parser.s
	var d *Damage
	if errors.As(err, &d) {
		d.Name = s.name
		s.parser.info.Damage = d
	}
	stopped := s.stopping.Load()
	if s.opts.SHA256 && !stopped {
		st.drain()
		s.parser.info.SHA256 = s.in.sum
	}
	switch clean := d == nil && !stopped; {
	case clean, s.in.size == 0 && s.parser.compression != "":
		s.parser.info.Bytes = s.taken.Load()
	case s.in.size == 0: // what was read beyond the damage is a matter of luck
		s.parser.info.Bytes = st.off
	}
	s.ended = true
	s.release()
}

// release stops the reading goroutine and closes the file.
func (s *Source) release() error {
	if a := s.ahead.Swap(nil); a != nil {
		a.stop()
	}
	s.dec, s.parser.s = nil, nil
	if s.in == nil {
		return nil
	}
	err := s.in.close()
	s.in = nil
	return err
}

// Close lets go of the file. Standard input is left open, and a read of it
// under way is left to end by itself.
func (s *Source) Close() error {
	if s.in != nil && s.parser.s != nil {
		s.parser.info.Bytes = max(s.in.size, s.taken.Load())
	}
	s.ended, s.peeked = true, false
	return s.release()
}

// Stop makes Next return io.EOF soon, also when it waits for a pipe: frames
// that have been read already still come, and the cut is no damage.
func (s *Source) Stop() {
	s.stopping.Store(true)
	if a := s.ahead.Load(); a != nil {
		a.stop()
	}
}

// Progress says how many bytes of the input have been read and how many there
// are, 0 if unknown, as with a pipe.
func (s *Source) Progress() (read, size int64) { return s.taken.Load(), s.size.Load() }

// Info is what is known of the source by now.
func (s *Source) Info() Info {
	i := s.parser.info
	if s.parser.last >= s.parser.first {
		i.First, i.Last = s.parser.first, s.parser.last
	}
	i.End = s.parser.believedEnd()
	if s.in != nil {
		i.Bytes = max(s.in.size, s.taken.Load())
	}
	return i
}
