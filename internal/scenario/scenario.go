package scenario

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// Epoch is the time of second 0 of every scenario, in seconds since 1970 UTC:
// 2024-03-01 12:00:00.
const Epoch = 1709294400

// Scenario is a parsed transcript.
type Scenario struct {
	Name  string
	About string // the first line of comment
	Expect
	Frames  []Frame
	Snaplen int    // captured octets of a frame; 0 for whole frames
	Profile string // of the hosts' timers; "" for the default
	PortLo  uint16 // of the hosts' ephemeral ports; 0 for the profile's
	PortHi  uint16
}

// Frame is one frame of the capture, in the order of the transcript.
type Frame struct {
	At      int64  // nanoseconds since 1970 UTC
	Data    []byte // what the capture holds of it
	Len     int    // octets on the wire
	Line    int    // of the transcript, from 1
	PureACK bool   // a TCP segment with the ACK flag alone and no payload
}

// Parse reads a transcript. The error names the scenario and the line.
func Parse(name string, r io.Reader) (*Scenario, error) {
	s := &Scenario{Name: name, Expect: Expect{FlowCount: -1}}
	b := newBuilder()
	in := bufio.NewScanner(r)
	var open *block // the one that is being read
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		var err error
		switch {
		case open != nil && text != "done":
			open.text = append(open.text, text)
		case open != nil:
			err = b.repeat(open)
			open = nil
		case text == "":
		case strings.HasPrefix(text, "#"):
			err = s.comment(b, n, strings.TrimSpace(strings.TrimPrefix(text, "#")))
		case strings.HasPrefix(text, "repeat "):
			open, err = begin(text, n)
		default:
			var l line
			if l, err = parseLine(text, n); err == nil {
				err = b.add(l)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: repeat without done", name, open.no)
	}
	s.Frames = b.frames
	s.cut()
	return s, nil
}

// comment takes a line that began with '#': a directive or a remark.
func (s *Scenario) comment(b *builder, n int, text string) error {
	word, rest, found := strings.Cut(text, ":")
	if found {
		rest = strings.TrimSpace(rest)
		if word == "options" {
			return s.options(b, strings.Fields(rest))
		}
		if known, err := s.Expect.directive(n, word, rest); known {
			return err
		}
	}
	if s.About == "" {
		s.About = text
	}
	return nil
}

// options takes the words of an "options:" directive. They hold for the lines
// that follow.
func (s *Scenario) options(b *builder, words []string) error {
	for _, w := range words {
		key, val, _ := strings.Cut(w, "=")
		num, numErr := strconv.ParseUint(val, 0, 32)
		switch key {
		case "v6":
			b.v6 = true
		case "nots":
			b.nots = true
		case "nosack":
			b.nosack = true
		case "nowscale":
			b.nowscale = true
		case "isn": // "isn C=1000 S=2000": the word only introduces them
		case "profile":
			s.Profile = val
		case "ports":
			if n, err := fmt.Sscanf(val, "%d-%d", &s.PortLo, &s.PortHi); n != 2 || err != nil || s.PortLo == 0 || s.PortHi < s.PortLo {
				return fmt.Errorf("want ports=LOW-HIGH, have %q", w)
			}
		case "snap":
			if numErr != nil {
				return fmt.Errorf("option %q: the length is not a number", w)
			}
			s.Snaplen = int(num)
		default:
			h, ok := parseHost(key)
			if !ok || numErr != nil {
				return fmt.Errorf("unknown option %q", w)
			}
			b.isn[h] = uint32(num)
		}
	}
	return nil
}

// cut shortens the frames to the snaplen.
func (s *Scenario) cut() {
	if s.Snaplen == 0 {
		return
	}
	for i := range s.Frames {
		f := &s.Frames[i]
		f.Data = f.Data[:min(len(f.Data), s.Snaplen)]
	}
}

// ParseAll reads every transcript ("*/*.txt") of a file system, in the order of
// their names.
func ParseAll(fsys fs.FS) ([]*Scenario, error) {
	names, err := fs.Glob(fsys, "*/*.txt")
	if err != nil {
		return nil, err
	}
	all := make([]*Scenario, 0, len(names))
	for _, name := range names {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		s, err := Parse(name, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
