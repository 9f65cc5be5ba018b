package scenario

import "encoding/binary"

// Pcap is the scenario as a capture file: pcap with nanoseconds, Ethernet.
func (s *Scenario) Pcap() []byte { return Pcap(s.Frames, s.Snaplen) }

// Pcap writes frames in their order as a capture file. A snaplen of 0 means
// that frames are whole.
func Pcap(frames []Frame, snaplen int) []byte {
	if snaplen == 0 {
		snaplen = 262144
	}
	le := binary.LittleEndian
	out := le.AppendUint32(nil, 0xa1b23c4d)
	out = le.AppendUint16(le.AppendUint16(out, 2), 4)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0)
	out = le.AppendUint32(out, uint32(snaplen))
	out = le.AppendUint32(out, 1) // LINKTYPE_ETHERNET
	for _, f := range frames {
		out = le.AppendUint32(out, uint32(f.At/1e9))
		out = le.AppendUint32(out, uint32(f.At%1e9))
		out = le.AppendUint32(out, uint32(len(f.Data)))
		out = le.AppendUint32(out, uint32(f.Len))
		out = append(out, f.Data...)
	}
	return out
}
