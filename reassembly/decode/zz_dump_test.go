package decode_test

import (
	"fmt"
	"os"
	"testing"
)

func TestZZDump(t *testing.T) {
	dir := "/tmp/lk/decode/dump"
	os.MkdirAll(dir, 0o755)
	all := append(append([]wrapping{}, linkWrappings...), wifiWrappings...)
	for _, w := range tunnelWrappings {
		w.link = 1
		all = append(all, w)
	}
	long := spec4
	long.Payload = 1400
	all = append(all, wrapping{name: "ipcomp-tunnel", link: 1, data: ether(0x0800, outer(108, concat([]byte{4, 0, 0, 2}, deflated(packet4()))))},
		wrapping{name: "ipcomp-transport", link: 1, data: ether(0x0800, ipv4(108, concat([]byte{6, 0, 0, 2}, deflated(long.bytes()))))})
	for i, w := range all {
		b := concat(le32(0xa1b2c3d4), le16(2), le16(4), le32(0), le32(0), le32(65535), le32(uint32(w.link)),
			le32(0), le32(0), le32(uint32(len(w.data))), le32(uint32(len(w.data))), w.data)
		os.WriteFile(fmt.Sprintf("%s/%03d_%s.pcap", dir, i, w.name), b, 0o644)
	}
}
