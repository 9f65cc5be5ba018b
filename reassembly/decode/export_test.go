package decode

import "github.com/lastack/lastack/reassembly/tcp"

// Slow decodes a frame without the fast path, for tests that hold the two
// against each other.
func (d *Decoder) Slow(link uint16, data []byte, wireLen uint32, at int64, ref tcp.PacketRef, out *tcp.Segment) Result {
	return d.slow(link, data, wireLen, at, ref, out)
}

// Fast decodes a frame on the fast path alone.
func (d *Decoder) Fast(link uint16, data []byte, wireLen uint32, at int64, ref tcp.PacketRef, out *tcp.Segment) bool {
	return d.fast(link, data, wireLen, at, ref, out)
}
