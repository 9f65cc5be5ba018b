package decode

import (
	"bytes"
	"encoding/binary"
)

// The 802.11 decoders of gopacket copy every frame and cut four octets off its
// end, frame check sequence or not; these read only what leads to LLC.

// radiotap is a radio header of variable length before an 802.11 frame. Only
// its Flags field matters: whether the 802.11 header is padded.
func (d *Decoder) radiotap(f frame) Result {
	const (
		more       = 1 << 31 // another bitmap of present fields follows
		hasTSFT    = 1 << 0
		hasFlags   = 1 << 1
		flagPadded = 0x20
	)
	if len(f.data) < 8 {
		return d.short(f, 8)
	}
	n := int(binary.LittleEndian.Uint16(f.data[2:]))
	if n < 8 {
		return d.malformed(badLink)
	}
	if len(f.data) < n {
		return d.short(f, n)
	}
	head := f.data[:n]
	present := binary.LittleEndian.Uint32(head[4:])
	at := 8
	for word := present; word&more != 0; at += 4 {
		if at+4 > n {
			return d.malformed(badLink)
		}
		word = binary.LittleEndian.Uint32(head[at:])
	}
	if present&hasTSFT != 0 {
		at = (at+7)&^7 + 8
	}
	padded := present&hasFlags != 0 && at < n && head[at]&flagPadded != 0
	return d.wifi(f.skip(n), padded)
}

// prism is the header of a Prism card, or of AVS, before an 802.11 frame. Both
// use both link types.
func (d *Decoder) prism(f frame) Result {
	const avsMagic = 0x80211000
	if len(f.data) < 8 {
		return d.short(f, 8)
	}
	n := binary.LittleEndian.Uint32(f.data[4:])
	if be32(f.data)&0xfffff000 == avsMagic {
		n = be32(f.data[4:])
	}
	if n < 8 || n > 0xffff {
		return d.malformed(badLink)
	}
	return d.behind(f, int(n), (*Decoder).plainWiFi)
}

func (d *Decoder) plainWiFi(f frame) Result { return d.wifi(f, false) }

// wifi is an 802.11 frame (IEEE 802.11 §9.2.3); padded says that its header
// fills up to a multiple of four octets. Fragments of 802.11 are not put
// together: the first one holds the headers, the others are not TCP's.
func (d *Decoder) wifi(f frame, padded bool) Result {
	const (
		header    = 24
		typeMask  = 0x0c
		typeData  = 0x08
		noData    = 0x40
		qos       = 0x80
		toDS      = 0x01
		fromDS    = 0x02
		protected = 0x40
		order     = 0x80
		amsdu     = 0x80
	)
	if len(f.data) < 2 {
		return d.short(f, 2)
	}
	kind, flags := f.data[0], f.data[1]
	if kind&typeMask != typeData || kind&noData != 0 {
		return NotTCP
	}
	n := header
	if flags&(toDS|fromDS) == toDS|fromDS {
		n += 6 // fourth address
	}
	control := n
	if kind&qos != 0 {
		n += 2
		if flags&order != 0 {
			n += 4 // high throughput control
		}
	}
	if padded {
		n = (n + 3) &^ 3
	}
	if len(f.data) < n {
		return d.short(f, n)
	}
	if f.data[22]&0x0f != 0 {
		return NotTCP // a later fragment
	}
	aggregate := kind&qos != 0 && f.data[control]&amsdu != 0
	f = f.skip(n)
	// Some drivers deliver what they decrypted with the bit still set.
	if flags&protected != 0 && (aggregate || !bytes.HasPrefix(f.data, []byte{0xaa, 0xaa, 0x03})) {
		return d.undecodable(encryptedWiFi)
	}
	if aggregate {
		return d.aggregated(f)
	}
	return d.logicalLink(f)
}

// aggregated is an A-MSDU (IEEE 802.11 §9.3.2.2): subframes with a header of
// two addresses and a length, padded to four octets. One frame gives one
// segment, so the first one that carries TCP counts.
func (d *Decoder) aggregated(f frame) Result {
	const subframe = 14
	r := NotTCP
	for r == NotTCP && f.wire >= subframe && d.enter() {
		if len(f.data) < subframe {
			return d.short(f, subframe)
		}
		n := int(be16(f.data[12:]))
		r = d.logicalLink(f.skip(subframe).atMost(n))
		if next := (subframe + n + 3) &^ 3; next < len(f.data) {
			f = f.skip(next)
		} else {
			f = frame{wire: f.wire - next}
		}
	}
	return r
}
