//go:build linux

package lab

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/lastack/lastack/reassembly/tcp"
)

// left is a frame as a host leaves it to an interface with offloads: the
// checksum is the pseudo header's, and the header says what is to be done.
func left(raw []byte, kind byte, size int) []byte {
	f := parseFrame(ToServer, raw)
	h := f.Raw[f.tcp:]
	clear(h[16:18])
	s := sum(sum(uint32(6+len(h)), f.Src.Addr().AsSlice()), f.Dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[16:], ^fold(s))
	ne := binary.NativeEndian
	b := ne.AppendUint16([]byte{needsCsum, kind}, uint16(f.tcp+minTCPLen))
	b = ne.AppendUint16(b, uint16(size))
	b = ne.AppendUint16(ne.AppendUint16(b, uint16(f.tcp)), 16)
	return append(b, raw...)
}

// intact checks a frame's lengths and checksums by making it anew.
func intact(t *testing.T, raw []byte) Frame {
	t.Helper()
	p := gopacket.NewPacket(raw, layers.LayerTypeEthernet, gopacket.Default)
	seg, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("no TCP: %v", p.ErrorLayer())
	}
	var serializable []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		if l.LayerType() != gopacket.LayerTypePayload {
			serializable = append(serializable, l.(gopacket.SerializableLayer))
		}
	}
	if err := seg.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(serializable, gopacket.Payload(seg.Payload))...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), raw) {
		t.Errorf("lengths or checksums are wrong:\n% x\n% x", raw, buf.Bytes())
	}
	return parseFrame(ToServer, raw)
}

func TestFinishCuts(t *testing.T) {
	for i, raw := range forged(t, ToServer, Forged{Flags: tcp.FIN | tcp.PSH | tcp.ACK | tcp.CWR, Seq: 0xffffff00, Ack: 9, Len: 2500, MSS: 1460}) {
		kind := []byte{gsoTCPv4 | gsoECN, gsoTCPv6}[i]
		frames, err := finish(left(raw, kind, 1000))
		if err != nil {
			t.Fatal(err)
		}
		var sent []byte
		for k, raw := range frames {
			f := intact(t, raw)
			last := k == len(frames)-1
			if f.Seq != tcp.Seq(0xffffff00).Add(uint32(1000*k)) || f.Flags.Has(tcp.FIN|tcp.PSH) != last ||
				f.Flags.Any(tcp.FIN) != last || f.Ack != 9 {
				t.Errorf("segment %d of %d: %+v", k, len(frames), f)
			}
			sent = append(sent, raw[len(raw)-int(f.Len):]...)
		}
		if len(frames) != 3 || len(sent) != 2500 {
			t.Errorf("%d segments with %d octets", len(frames), len(sent))
		}
	}
}

func TestFinishLeavesWhatIsDone(t *testing.T) {
	for _, raw := range forged(t, ToClient, Forged{Flags: tcp.SYN, Seq: 7, Len: 31}) {
		want := bytes.Clone(raw)
		for _, b := range [][]byte{left(raw, 0, 0), append(make([]byte, virtioLen), want...)} {
			frames, err := finish(b)
			if err != nil || len(frames) != 1 {
				t.Fatalf("%d frames, %v", len(frames), err)
			}
			if !bytes.Equal(frames[0], want) {
				t.Errorf("got % x, want % x", frames[0], want)
			}
		}
	}
}

func TestFinishRefuses(t *testing.T) {
	raw := forged(t, ToServer, Forged{Len: 100})[0]
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"UDP to be cut":    left(raw, 3, 50),
		"no size":          left(raw, gsoTCPv4, 0),
		"half a frame":     left(raw, gsoTCPv4, 50)[:virtioLen+30],
		"checksum outside": append([]byte{needsCsum, 0, 0, 0, 0, 0, 0xff, 0xff, 16, 0}, raw...),
	} {
		if frames, err := finish(b); err == nil {
			t.Errorf("%s: %d frames", name, len(frames))
		}
	}
}
