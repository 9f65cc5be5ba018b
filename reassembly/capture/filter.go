package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Filter is a BPF expression, compiled for each link type that frames turn out
// to have. It is matched frame by frame and never installed on a file, so that
// the frames that it leaves out keep their numbers. It belongs to one
// goroutine.
type Filter struct {
	expr     string
	programs map[uint16]*program
	link     uint16 // of current
	current  *program
}

// program is the expression compiled for one link type, or why it does not
// compile.
type program struct {
	match matcher
	err   error
}

// commonLinkTypes are those for which some expressions compile that do not for
// Ethernet: Ethernet, raw IP, Linux cooked, IEEE 802.11 with radiotap, PPP, pflog.
var commonLinkTypes = [...]uint16{1, 101, 113, 127, 9, 117}

// CompileFilter checks an expression of pcap-filter(7) and returns it for
// Match. The expression has to compile for at least one common link type;
// whether it does for those of a capture shows when frames come. An empty
// expression matches everything.
func CompileFilter(expr string) (*Filter, error) {
	f := &Filter{expr: expr, programs: map[uint16]*program{}}
	var first error
	for _, lt := range commonLinkTypes {
		_, err := compile(expr, lt)
		if err == nil {
			return f, nil
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, errNoLibpcap) || strings.Contains(err.Error(), "syntax error") {
			break
		}
	}
	return nil, fmt.Errorf("filter %q: %w", expr, first)
}

// Match reports whether the expression matches a frame of the given link type.
// The error says that the expression does not compile for that link type.
func (f *Filter) Match(linkType uint16, fr *Frame) (bool, error) {
	if f.current == nil || f.link != linkType {
		p := f.programs[linkType]
		if p == nil {
			p = new(program)
			p.match, p.err = compile(f.expr, linkType)
			if errors.Is(p.err, errRejectsAll) { // true, and no error where other link types are about
				p.match, p.err = func(*Frame) bool { return false }, nil
			}
			if p.err != nil {
				p.err = fmt.Errorf("filter %q cannot be used with link type %d: %w", f.expr, linkType, p.err)
			}
			f.programs[linkType] = p
		}
		f.link, f.current = linkType, p
	}
	if f.current.err != nil {
		return false, f.current.err
	}
	return f.current.match(fr), nil
}

// matcher is a compiled expression.
type matcher func(fr *Frame) bool

// errRejectsAll is what compile returns for an expression that no frame of the
// link type can match.
var errRejectsAll = errors.New("no packet can match it")

var errNoLibpcap = errors.New("filters and live capture need libpcap, and this program was built without it (CGO_ENABLED=0)")

// VLANTagged reports whether a frame carries a VLAN tag that makes expressions
// miss what is behind it, and that "vlan" in an expression takes off: of
// Ethernet, 802.1Q and 802.1ad.
func VLANTagged(f *Frame) bool {
	const ethernet, typeAt = 1, 12
	if f.LinkType != ethernet || len(f.Data) < typeAt+2 {
		return false
	}
	switch binary.BigEndian.Uint16(f.Data[typeAt:]) {
	case 0x8100, 0x88a8, 0x9100:
		return true
	}
	return false
}
