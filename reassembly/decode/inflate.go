package decode

import (
	"bytes"
	"compress/flate"
	"io"

	"github.com/google/gopacket/layers"
)

// inflater decompresses one payload after the other, with the memory of one.
type inflater struct {
	from   bytes.Reader
	reader io.ReadCloser // also a flate.Resetter
	prefix [prefixSize]byte
	rest   [4096]byte
}

// maxInflated bounds what one frame may decompress to: no IP packet is longer.
const maxInflated = 1 << 16

// inflate returns the beginning of what b decompresses to, its length, and
// whether b was whole. The memory returned is valid until the next call.
func (i *inflater) inflate(b []byte) (prefix []byte, length int, whole bool) {
	i.from.Reset(b)
	if i.reader == nil {
		i.reader = flate.NewReader(&i.from)
	} else if err := i.reader.(flate.Resetter).Reset(&i.from, nil); err != nil {
		return nil, 0, false
	}
	var err error
	for err == nil && length < maxInflated {
		into := i.rest[:]
		if length < len(i.prefix) {
			into = i.prefix[length:]
		}
		n := 0
		n, err = i.reader.Read(into)
		length += n
	}
	return i.prefix[:min(length, len(i.prefix))], length, err == io.EOF
}

// compressed is an IPComp payload (RFC 3173 §3). Which algorithm the two ends
// chose stands in an exchange that the capture may not hold; DEFLATE (RFC
// 2394) is the one in use, and shows by the result.
func (d *Decoder) compressed(f frame) Result {
	const header = 4
	if len(f.data) < header {
		return d.short(f, header)
	}
	if d.pk.inflated {
		return d.undecodable(tooDeep)
	}
	d.pk.inflated = true
	next := layers.IPProtocol(f.data[0])
	f = f.skip(header)
	prefix, length, whole := d.inner.inflate(f.data)
	inner := frame{prefix, length}
	switch {
	case whole:
	case len(f.data) < f.wire && (next == layers.IPProtocolIPv4 || next == layers.IPProtocolIPv6) && len(prefix) > 0:
		// Cut by the snaplen: the IP header inside knows the length.
		inner.wire = maxInflated
	case len(f.data) < f.wire:
		return d.undecodable(cutHeaders)
	default:
		return d.undecodable(compressedIP)
	}
	d.pk.prefixOnly = true
	return d.payload(next, inner)
}
