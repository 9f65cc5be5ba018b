package compat

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"

	"github.com/lastack/lastack/reassembly/tcp"
)

// CommunityID is the flow's Community ID, version 1: "1:" and the base64 of a
// SHA-1 over seed, the lower and the higher address, the protocol, a zero
// octet and the two ports in the addresses' order, all big-endian. 0 is the
// seed in use everywhere. The order is that of the tuple, so both directions
// have the same ID; the tuple's tag has no part in it.
func CommunityID(t *tcp.Tuple, seed uint16) string {
	return string(AppendCommunityID(nil, t, seed))
}

// AppendCommunityID is CommunityID for a caller that brings the room.
func AppendCommunityID(dst []byte, t *tcp.Tuple, seed uint16) []byte {
	const protocolTCP = 6
	var buf [2 + 16 + 16 + 2 + 4]byte
	b := binary.BigEndian.AppendUint16(buf[:0], seed)
	if t.Is4() {
		b = append(append(b, t.AddrA[12:]...), t.AddrB[12:]...)
	} else {
		b = append(append(b, t.AddrA[:]...), t.AddrB[:]...)
	}
	b = append(b, protocolTCP, 0)
	b = binary.BigEndian.AppendUint16(b, t.PortA)
	b = binary.BigEndian.AppendUint16(b, t.PortB)
	sum := sha1.Sum(b)
	return base64.StdEncoding.AppendEncode(append(dst, "1:"...), sum[:])
}
