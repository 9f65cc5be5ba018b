//go:build cgo

package capture

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcap"
)

// compile compiles an expression for a LINKTYPE_ value. The bindings' own
// function takes a DLT_ value of eight bits, which is another numbering and
// cuts off Linux cooked v2 (276). So libpcap is given a capture file of that
// link type, only its header, and does the mapping itself.
func compile(expr string, linkType uint16) (matcher, error) {
	handle, err := emptyCapture(linkType)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	bpf, err := handle.NewBPF(expr)
	if err != nil {
		if strings.Contains(err.Error(), "rejects all packets") {
			err = errRejectsAll
		}
		return nil, err
	}
	nothing := make([]byte, 1)
	return func(fr *Frame) bool {
		data := fr.Data
		if len(data) == 0 { // which the bindings cannot take
			data = nothing
		}
		return bpf.Matches(gopacket.CaptureInfo{CaptureLength: len(data), Length: int(fr.WireLen)}, data)
	}, nil
}

// emptyCapture opens a capture without packets, through a pipe, which leaves
// no file behind.
func emptyCapture(linkType uint16) (*pcap.Handle, error) {
	var h [fileHeader]byte
	binary.NativeEndian.PutUint32(h[0:], pcapMicro)
	binary.NativeEndian.PutUint16(h[4:], 2)
	binary.NativeEndian.PutUint16(h[6:], 4)
	binary.NativeEndian.PutUint32(h[16:], maxRecord(linkType))
	binary.NativeEndian.PutUint32(h[20:], uint32(linkType))
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	_, err = w.Write(h[:])
	if err2 := w.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	return pcap.OpenOffline(fmt.Sprintf("/dev/fd/%d", r.Fd()))
}
