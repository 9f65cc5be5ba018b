package compat_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
	"pgregory.net/rapid"
)

// model computes Zeek's fields as Zeek does, with every number kept whole and
// relative to the start of its sequence space. It is what State is held to,
// which keeps as little as it can.
type model struct {
	ends  [2]modelEnd // by tcp.Side.Index
	orig  int
	begun bool
	// beyond says that the flow needs what a State does not keep: a SYN came
	// after its sender's FIN or RST, or with another ISN after one with payload;
	// or a FIN stood before its sender's start.
	beyond  bool
	history string
}

type modelState int

const (
	mInactive modelState = iota
	mSYNSent
	mSYNACKSent
	mPartial
	mEstablished
	mClosed
	mReset
)

type modelEnd struct {
	state, prev            modelState
	start, last, ack       uint32
	lastSYN, lastFIN       int64
	lastRST                int64
	once                   map[byte]bool
	fins, rexmits, windows int
	gaps                   int
}

func (e *modelEnd) set(s modelState) {
	if s != e.state {
		e.prev, e.state = e.state, s
	}
}

// restart begins the sequence space.
func (e *modelEnd) restart(start, last uint32) {
	e.start, e.ack, e.last = start, start, last
}

func (e *modelEnd) size() int64 {
	n := int64(max(e.last, e.ack)) - int64(e.start)
	if n != 0 {
		n--
	}
	if n != 0 && e.fins > 0 {
		n--
	}
	return n
}

func (m *model) add(i int, c byte) {
	if i != m.orig && c != '^' {
		c += 'a' - 'A'
	}
	m.history += string(c)
}

func (m *model) once(i int, kind, c byte) bool {
	if m.ends[i].once[kind] {
		return false
	}
	if m.ends[i].once == nil {
		m.ends[i].once = map[byte]bool{}
	}
	m.ends[i].once[kind] = true
	m.add(i, c)
	return true
}

func (m *model) count(i int, n *int, c byte) {
	*n++
	for p := 1; p <= *n; p *= 10 {
		if p == *n {
			m.add(i, c)
		}
	}
}

func (m *model) observe(seg *tcp.Segment) {
	i := seg.From.Index()
	e, peer := &m.ends[i], &m.ends[1-i]
	syn, fin, rst, ack := seg.Flags&tcp.SYN != 0, seg.Flags&tcp.FIN != 0, seg.Flags&tcp.RST != 0, seg.Flags&tcp.ACK != 0
	seq, length := uint32(seg.Seq), seg.Len
	if !m.begun {
		m.begun, m.orig = true, i // the ports are nobody's in the tests
	}
	space := length
	if rst {
		space = 0
	}
	if syn {
		space++
	}
	if fin {
		space++
	}
	m.beyond = m.beyond || syn && (e.state >= mClosed || e.state > mInactive && seq != e.start && e.last-e.start > 2)
	if e.state == mInactive && !syn {
		e.restart(seq-1, seq)
	} else if syn && (e.state < mClosed && !(e.state == mSYNSent || e.state == mSYNACKSent) ||
		(e.state == mSYNSent || e.state == mSYNACKSent) && seq != e.start ||
		e.state == mReset && e.prev == mInactive) {
		e.restart(seq, seq+space)
	}
	m.letters(i, syn, fin, rst, ack, int64(int32(seq-e.start)), int64(length))
	if seg.Window == 0 && !rst && peer.state != mClosed && e.state != mReset {
		m.count(i, &e.windows, 'W')
	}
	if fin {
		e.fins++
	}
	if ack && !rst && peer.state != mInactive && int32(uint32(seg.Ack)-peer.start) >= 0 {
		if d := int32(uint32(seg.Ack) - peer.ack); d > 0 && (seg.Ack != 0 || d <= 1<<20) {
			peer.ack = uint32(seg.Ack)
		}
	}
	d := int32(seq + space - e.last)
	switch {
	case (syn || rst) && (d > 1<<20 || d < -1<<20):
	case fin && e.last == e.start+1:
		m.beyond = m.beyond || d < 0
		e.last = seq + space
	case e.state == mReset:
	case d > 0:
		e.last = seq + space
	case length > 0:
		m.count(i, &e.rexmits, 'T')
	}
	m.move(i, syn, fin, rst, ack, length)
}

func (m *model) letters(i int, syn, fin, rst, ack bool, rel, length int64) {
	e := &m.ends[i]
	switch {
	case fin && rst:
		m.once(i, 'I', 'I')
	case syn && (fin || rst):
		m.once(i, 'Q', 'Q')
	case syn:
		c := byte('S')
		if ack {
			c = 'H'
		}
		if !m.once(i, 'S', c) && rel != e.lastSYN {
			m.add(i, c)
		}
		e.lastSYN = rel
	case fin:
		if !m.once(i, 'F', 'F') && rel+length != e.lastFIN {
			m.add(i, 'F')
		}
		e.lastFIN = rel + length
	case rst:
		if !m.once(i, 'R', 'R') && rel != e.lastRST {
			m.add(i, 'R')
		}
		e.lastRST = rel
	case length > 0:
		m.once(i, 'D', 'D')
	case ack:
		m.once(i, 'A', 'A')
	}
}

func (m *model) move(i int, syn, fin, rst, ack bool, length uint32) {
	e, peer := &m.ends[i], &m.ends[1-i]
	switch e.state {
	case mInactive:
		m.moveInactive(i, syn, fin, rst, ack, length)
	case mSYNSent, mSYNACKSent:
		if fin {
			e.set(mClosed)
		}
		if rst {
			e.set(mReset)
		}
	case mPartial, mEstablished:
		if syn && !ack && e.state == mPartial && peer.state == mInactive {
			e.set(mSYNSent)
		}
		if fin && !rst {
			e.set(mClosed)
			if peer.state == mReset && peer.prev == mClosed {
				peer.set(mClosed)
			}
		}
		if rst {
			e.set(mReset)
		}
	case mClosed:
		if rst && peer.state != mClosed {
			e.set(mReset)
		}
	}
}

func (m *model) moveInactive(i int, syn, fin, rst, ack bool, length uint32) {
	e, peer, isOrig := &m.ends[i], &m.ends[1-i], i == m.orig
	switch {
	case syn && isOrig && ack:
		e.set(mSYNACKSent)
	case syn && isOrig:
		e.set(mSYNSent)
	case syn:
		if !ack && peer.state == mSYNACKSent {
			m.orig = i
			m.add(i, '^')
			peer.set(mEstablished)
		}
		if peer.state == mSYNSent {
			peer.set(mEstablished)
		}
		e.set(mEstablished)
	}
	if fin {
		e.set(mClosed)
	}
	if rst {
		e.set(mReset)
	}
	if e.state != mInactive || !isOrig && length == 0 && peer.state == mSYNSent {
		return
	}
	if ack && peer.state == mEstablished {
		e.set(mEstablished)
	} else {
		e.set(mPartial)
	}
}

func (m *model) gap(i int) {
	clean := func(e *modelEnd) bool {
		return e.state == mEstablished || e.state == mClosed && e.prev == mEstablished
	}
	if clean(&m.ends[i]) && clean(&m.ends[1-i]) {
		m.count(i, &m.ends[i].gaps, 'G')
	}
}

var afterSYN = regexp.MustCompile(`^\^?S[^HAFGIQ]*R`)

// connState is the originator's view.
func (m *model) connState() string {
	o, r := &m.ends[m.orig], &m.ends[1-m.orig]
	quietO := o.state == mInactive || o.state == mPartial
	quietR := r.state == mInactive || r.state == mPartial
	pick := func(cond bool, yes, no string) string {
		if cond {
			return yes
		}
		return no
	}
	switch {
	case r.state == mReset && (o.state == mSYNSent || o.state == mSYNACKSent || o.state == mReset && o.size() == 0 && r.size() == 0):
		return "REJ"
	case r.state == mReset:
		return pick(quietO, "RSTRH", "RSTR")
	case o.state == mReset && quietR:
		return pick(afterSYN.MatchString(m.history), "RSTOS0", "OTH")
	case o.state == mReset:
		return "RSTO"
	case o.state == mClosed && r.state == mClosed:
		return "SF"
	case o.state == mClosed:
		return pick(quietR, "SH", "S2")
	case r.state == mClosed:
		return pick(quietO, "SHR", "S3")
	case o.state == mSYNSent && r.state == mInactive:
		return "S0"
	case o.state == mEstablished && r.state == mEstablished:
		return "S1"
	}
	return "OTH"
}

// fits reports whether a State can hold the history: whether its letters that
// repeat by powers of ten end early enough.
func fits(history string) bool {
	n, counted := 0, 0
	for _, c := range history {
		n++
		if !strings.ContainsRune("ShADadFfRrTtWw", c) {
			n++
		}
		if strings.ContainsRune("TtWwGg", c) {
			counted = n
		}
	}
	return n <= 18 && counted <= 14
}

// segments draws a flow whose two sides keep near their own sequence spaces,
// with all the flags that a scanner sends. No number goes past 2^32, since the
// model takes them for plain ones.
func segments(t *rapid.T) []step {
	flags := rapid.SampledFrom([]string{"S", "SA", "A", "A", "PA", "PA", "F", "FA", "R", "RA", "-", "SF", "SR", "FR"})
	start := [2]uint32{rapid.SampledFrom([]uint32{100, 0x7ffffffc}).Draw(t, "client ISN"), 300}
	tr := transcript{clientPort: 40000, serverPort: unlisted, clientIsB: rapid.Bool().Draw(t, "client is B")}
	n := rapid.IntRange(0, 25).Draw(t, "segments")
	for range n {
		i := rapid.IntRange(0, 1).Draw(t, "sender")
		if rapid.IntRange(0, 20).Draw(t, "gap") == 0 {
			tr.text += "gap " + "><"[i:i+1] + ";"
			continue
		}
		f := flags.Draw(t, "flags")
		seq := start[i] + rapid.Uint32Range(0, 6).Draw(t, "seq")
		if f == "S" || f == "SA" {
			seq = start[i]
		}
		tr.text += fmt.Sprintf("%s %s %d %d", "><"[i:i+1], f, seq, start[1-i]+rapid.Uint32Range(0, 6).Draw(t, "ack"))
		if f == "PA" || rapid.IntRange(0, 9).Draw(t, "payload") == 0 {
			tr.text += fmt.Sprintf(" +%d", rapid.IntRange(1, 4).Draw(t, "length"))
		}
		if rapid.IntRange(0, 9).Draw(t, "window") == 0 {
			tr.text += " w0"
		}
		tr.text += ";"
	}
	t.Log(tr.text)
	return tr.steps(t)
}

// State keeps hashes, saturated distances and few numbers, and comes to the
// same fields as with all of them.
func TestAgainstModel(t *testing.T) {
	for range 100 { // of rapid's hundred flows each
		rapid.Check(t, againstModel)
	}
}

func againstModel(t *rapid.T) {
	var s compat.State
	var m model
	for _, st := range segments(t) {
		if st.gap {
			s.Gap(st.of)
			m.gap(st.of.Index())
			continue
		}
		s.Observe(&st.seg)
		m.observe(&st.seg)
	}
	orig := tcp.SideA
	if m.orig == tcp.SideB.Index() {
		orig = tcp.SideB
	}
	if !fits(m.history) || m.beyond {
		t.Skip("more than a State keeps")
	}
	if got := s.History(orig); got != m.history {
		t.Fatalf("history %q, the model has %q", got, m.history)
	}
	if got := s.ConnState(orig); got != m.connState() {
		t.Fatalf("conn_state %s, the model has %s", got, m.connState())
	}
}
