package compat_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

// transcript is a flow as a list of segments, split by ";". A segment is
//
//	> FLAGS SEQ ACK [+LEN] [w0] [*N]
//
// ">" is from the client, "<" from the server; FLAGS are of "SAFRP" or "-";
// w0 closes the window; *N is N copies. "gap >" says that octets of the client
// were acknowledged and are not in the capture.
type transcript struct {
	clientPort, serverPort uint16
	clientIsB              bool
	text                   string
}

// step is one line of a transcript.
type step struct {
	gap bool
	of  tcp.Side // of a gap
	seg tcp.Segment
}

// client is the side on which the client stands.
func (tr *transcript) client() tcp.Side {
	if tr.clientIsB {
		return tcp.SideB
	}
	return tcp.SideA
}

// addresses are those of the client and the server.
func (tr *transcript) addresses() (c, s [16]byte) {
	low, high := [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 1}, [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 2}
	if tr.clientIsB {
		return high, low
	}
	return low, high
}

// fataler is what testing.TB and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (tr *transcript) steps(t fataler) []step {
	t.Helper()
	var out []step
	for line := range strings.SplitSeq(tr.text, ";") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if f[0] == "gap" {
			of := tr.client()
			if f[1] == "<" {
				of = of.Other()
			}
			out = append(out, step{gap: true, of: of})
			continue
		}
		seg, copies, err := tr.segment(f)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for range copies {
			out = append(out, step{seg: seg})
		}
	}
	return out
}

func (tr *transcript) segment(f []string) (seg tcp.Segment, copies int, err error) {
	if len(f) < 4 {
		return seg, 0, fmt.Errorf("too short")
	}
	c, s := tr.addresses()
	seg.Kind, seg.Window, copies = tcp.KindTCP, 1000, 1
	if f[0] == ">" {
		seg.Tuple, seg.From = tcp.MakeTuple(&c, &s, tr.clientPort, tr.serverPort)
	} else {
		seg.Tuple, seg.From = tcp.MakeTuple(&s, &c, tr.serverPort, tr.clientPort)
	}
	bits := map[rune]tcp.Flags{'S': tcp.SYN, 'A': tcp.ACK, 'F': tcp.FIN, 'R': tcp.RST, 'P': tcp.PSH, '-': 0}
	for _, r := range f[1] {
		seg.Flags |= bits[r]
	}
	number := func(s string) tcp.Seq {
		n, e := strconv.ParseUint(s, 0, 32)
		if e != nil {
			err = e
		}
		return tcp.Seq(n)
	}
	seg.Seq, seg.Ack = number(f[2]), number(f[3])
	for _, w := range f[4:] {
		switch {
		case w == "w0":
			seg.Window = 0
		case w[0] == '+':
			seg.Len = uint32(number(w[1:]))
		case w[0] == '*':
			copies = int(number(w[1:]))
		default:
			err = fmt.Errorf("what is %q?", w)
		}
	}
	return seg, copies, err
}

// run observes the transcript.
func (tr *transcript) run(t fataler) *compat.State {
	t.Helper()
	var s compat.State
	for _, st := range tr.steps(t) {
		if st.gap {
			s.Gap(st.of)
		} else {
			s.Observe(&st.seg)
		}
	}
	return &s
}
