//go:build linux

package lab

import (
	"bytes"
	"encoding/binary"

	"github.com/lastack/lastack/reassembly/tcp"
)

// merged is a run of segments that a receiver's network card puts together
// (LRO, GRO; tcp_gro_receive in net/ipv4/tcp_offload.c): neighbours in the
// sequence space that differ in number, length, PSH and checksum alone, all of
// one length but the last.
type merged struct {
	first   Frame
	payload []byte // of all
	last    tcp.Flags
	size    uint32 // payload of each but the last
	whole   bool   // nothing may follow
}

// maxMerged is how much payload fits an IP packet, with room for its headers.
const maxMerged = 1<<16 - 1 - 120

func newMerged(d Dir, raw []byte) *merged {
	f := parseFrame(d, raw)
	m := &merged{first: f, size: f.Len, last: f.Flags}
	if m.whole = !mergeable(&f) || f.Flags.Has(tcp.PSH); !m.whole {
		m.payload = append(m.payload, payloadOf(&f)...)
	}
	return m
}

// mergeable reports whether a segment is one of those that are put together.
func mergeable(f *Frame) bool {
	return f.IsTCP() && f.Len > 0 && f.Flags&^tcp.PSH == tcp.ACK
}

func payloadOf(f *Frame) []byte {
	at := f.tcp + int(f.Raw[f.tcp+flagsField]>>4)*4
	return f.Raw[at : at+int(f.Len)]
}

// options are those of the segment.
func (f *Frame) options() []byte {
	h := f.Raw[f.tcp:]
	return h[minTCPLen : int(h[flagsField]>>4)*4]
}

// take adds the next segment, if it belongs to the run.
func (m *merged) take(raw []byte) bool {
	if m.whole {
		return false
	}
	f := parseFrame(m.first.Dir, raw)
	if !mergeable(&f) || f.Src != m.first.Src || f.Dst != m.first.Dst || f.Seq != m.first.Seq.Add(uint32(len(m.payload))) ||
		f.Ack != m.first.Ack || f.Window != m.first.Window || f.Len > m.size || len(m.payload)+int(f.Len) > maxMerged ||
		!bytes.Equal(f.options(), m.first.options()) {
		return false
	}
	m.payload = append(m.payload, payloadOf(&f)...)
	m.last = f.Flags
	m.whole = f.Len < m.size || f.Flags.Has(tcp.PSH)
	return true
}

// frame is the run as one frame, and the size of the segments in it; 0 when it
// is a single segment. Its checksum covers the pseudo header alone.
func (m *merged) frame() (raw []byte, size int) {
	f := &m.first
	if len(m.payload) <= int(m.size) {
		return f.Raw, 0
	}
	head := f.tcp + int(f.Raw[f.tcp+flagsField]>>4)*4
	raw = append(append(make([]byte, 0, head+len(m.payload)), f.Raw[:head]...), m.payload...)
	h := raw[f.tcp:]
	h[flagsField+1] |= byte(m.last & tcp.PSH)
	binary.BigEndian.PutUint16(h[16:], ^fold(pseudo(f, len(h))))
	setLength(raw, f)
	return raw, int(m.size)
}

// setLength puts the length of a changed frame into its IP header.
func setLength(raw []byte, f *Frame) {
	if f.Src.Addr().Is6() {
		binary.BigEndian.PutUint16(raw[f.ip+4:], uint16(len(raw)-f.tcp))
		return
	}
	binary.BigEndian.PutUint16(raw[f.ip+2:], uint16(len(raw)-f.ip))
	clear(raw[f.ip+10 : f.ip+12])
	binary.BigEndian.PutUint16(raw[f.ip+10:], fold(sum(0, raw[f.ip:f.tcp])))
}
