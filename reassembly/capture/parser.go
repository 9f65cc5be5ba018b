package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"
)

// parser is what the readers of all formats share: the bytes, the frame count
// and what becomes known of the source.
type parser struct {
	s           *stream
	info        Info
	compression string
	number      uint64 // of the last record that takes a frame number
	prev        int64  // time of the last frame that had one
	first, last int64  // earliest and latest time
	end         int64  // latest time at which an interface still captured
	swap        bool   // the fields are big-endian
}

// u32 and u16 read a field in the byte order of the file or section.
func (p *parser) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if p.swap {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (p *parser) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if p.swap {
		v = bits.ReverseBytes16(v)
	}
	return v
}

// emit numbers a packet captured at the given time and takes the record's
// bytes.
func (p *parser) emit(f *Frame, at int64, size int) {
	p.number++
	p.info.Packets++
	p.prev = at
	p.first, p.last = min(p.first, at), max(p.last, at)
	f.At, f.Number = at, p.number
	p.s.take(size)
}

// emitUntimed is emit for a packet without a time.
func (p *parser) emitUntimed(f *Frame, size int) {
	p.number++
	p.info.Packets++
	p.info.Untimed++
	f.At, f.Number = p.prev, p.number
	p.s.take(size)
}

func (p *parser) addLinkType(lt uint16) {
	if !slices.Contains(p.info.LinkTypes, lt) {
		p.info.LinkTypes = append(p.info.LinkTypes, lt)
	}
}

// believedEnd is the latest time that an interface gave for its end, 0 if
// there is none, or if it lies so far after the packets that its unit must be
// wrong, as some writers have it.
func (p *parser) believedEnd() int64 {
	if p.last < p.first || p.end <= 0 || p.end-p.last > int64(366*24*time.Hour) {
		return 0
	}
	return p.end
}

// over is the error when need has failed at the begin of a record: io.EOF, or
// a Damage if bytes are left or the input could not be read. what names the
// record, "" for a frame.
func (p *parser) over(what string) error {
	if p.s.err == io.EOF && len(p.s.data) == 0 {
		return io.EOF
	}
	return p.cut(what)
}

// cut is the error when need or skip has failed inside a record: a Damage,
// unless reading was stopped.
func (p *parser) cut(what string) error {
	var d *Damage
	switch {
	case p.s.ahead.stopped():
		return io.EOF
	case p.s.err != io.EOF:
		d = p.afterFrame(p.s.err, "%s", readFailure(p.compression, p.s.err))
	case what == "":
		d = p.inFrame(nil, "%s ends inside frame %s", p.inputWord(), grouped(p.number+1))
	default:
		d = p.afterFrame(nil, "%s ends inside %s", p.inputWord(), what)
	}
	d.cut = true
	return d
}

func (p *parser) inputWord() string {
	if p.info.Name == "-" {
		return "standard input"
	}
	return "file"
}

// inFrame is damage in the next frame.
func (p *parser) inFrame(err error, format string, args ...any) *Damage {
	return &Damage{Frame: p.number + 1, Text: fmt.Sprintf(format, args...), Err: err}
}

// badFrame is inFrame where the text is about the frame as the subject.
func (p *parser) badFrame(format string, args ...any) *Damage {
	return p.inFrame(nil, "frame "+grouped(p.number+1)+" "+format, args...)
}

// afterFrame is damage in something else, after the last frame.
func (p *parser) afterFrame(err error, format string, args ...any) *Damage {
	text := fmt.Sprintf(format, args...)
	if p.number > 0 {
		text += " after frame " + grouped(p.number)
	} else {
		text += " before the first frame"
	}
	return &Damage{Frame: p.number, Text: text, Err: err}
}
