package capture

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sec = int64(1e9)

// formatCase is a file and what must come of it.
type formatCase struct {
	name   string
	file   []byte
	format string
	links  []uint16
	frames []got
	info   func(Info) bool // further checks
	// fileOnly: told from another variant by looking at several records,
	// which a pipe does not allow.
	fileOnly bool
}

func (c formatCase) run(t *testing.T) {
	read := map[string]func() ([]got, Info, error){
		"file": func() ([]got, Info, error) { return readFile(t, c.file) },
		"pipe": func() ([]got, Info, error) { return readPipe(t, c.file, 7) },
	}
	for how, f := range read {
		if how == "pipe" && c.fileOnly {
			continue
		}
		frames, info, err := f()
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if info.Damage != nil {
			t.Errorf("%s: %v", how, info.Damage)
		}
		if d := cmp.Diff(c.frames, frames); d != "" {
			t.Errorf("%s: frames (-want +got):\n%s", how, d)
		}
		if info.Format != c.format || !cmp.Equal(info.LinkTypes, c.links) {
			t.Errorf("%s: format %s %v, want %s %v", how, info.Format, info.LinkTypes, c.format, c.links)
		}
		if int(info.Packets) != len(c.frames) {
			t.Errorf("%s: %d packets counted, want %d", how, info.Packets, len(c.frames))
		}
		if info.Bytes != int64(len(c.file)) {
			t.Errorf("%s: %d bytes, want %d", how, info.Bytes, len(c.file))
		}
		if c.info != nil && !c.info(info) {
			t.Errorf("%s: info %+v", how, info)
		}
	}
}

func TestPcap(t *testing.T) {
	abc, de := []byte("abc"), []byte("de")
	two := func(link uint16, unit int64) []got {
		return []got{
			{1, 1000*sec + 7*unit, 0, link, 3, "abc"},
			{2, 1001*sec + 999999*unit, 0, link, 1500, "de"},
		}
	}
	cases := []formatCase{}
	for _, o := range []endian{le, be} {
		plain := cat(pcapRec(o, 1000, 7, 3, 3, nil, abc), pcapRec(o, 1001, 999999, 2, 1500, nil, de))
		swapped := cat(pcapRec(o, 1000, 7, 3, 3, nil, abc), pcapRec(o, 1001, 999999, 1500, 2, nil, de))
		add := func(name, format string, head, records []byte, link uint16, unit int64) {
			cases = append(cases, formatCase{
				name: o.String() + "/" + name, file: cat(head, records), format: format,
				links: []uint16{link}, frames: two(link, unit),
			})
		}
		add("2.4", "pcap", pcapHead(o, pcapMicro, 2, 4, 65535, 1), plain, 1, 1000)
		add("2.4 unlimited", "pcap", pcapHead(o, pcapMicro, 2, 4, 0, 1), plain, 1, 1000)
		add("ns", "pcap-ns", pcapHead(o, pcapNano, 2, 4, 65535, 101), plain, 101, 1)
		add("2.3", "pcap", pcapHead(o, pcapMicro, 2, 3, 65535, 1), plain, 1, 1000)
		add("2.3 swapped", "pcap", pcapHead(o, pcapMicro, 2, 3, 65535, 1), swapped, 1, 1000)
		add("2.2", "pcap", pcapHead(o, pcapMicro, 2, 2, 65535, 1), swapped, 1, 1000)
		add("2.0", "pcap", pcapHead(o, pcapMicro, 2, 0, 65535, 1), swapped, 1, 1000)
		add("543.0", "pcap", pcapHead(o, pcapMicro, 543, 0, 65535, 1), swapped, 1, 1000)
		add("AIX", "pcap-aix", pcapHead(o, pcapMicro, 2, 2, 65535, 6), swapped, 1, 1)
		add("SLL2", "pcap", pcapHead(o, pcapMicro, 2, 4, 65535, 276), plain, 276, 1000)
		add("checksum length in the link type", "pcap", pcapHead(o, pcapMicro, 2, 4, 65535, 0x24000001), plain, 1, 1000)
		add("dirty link type", "pcap", pcapHead(o, pcapMicro, 2, 4, 65535, 0xdead0071), plain, 113, 1000)
		add("Ixia", "pcap", cat(pcapHead(o, pcapIxia, 2, 4, 65535, 1), u32s(o, 99)), plain, 1, 1000)
		add("Ixia ns", "pcap-ns", cat(pcapHead(o, pcapIxiaNano, 2, 4, 65535, 1), u32s(o, 99)), plain, 1, 1)
		for _, v := range []struct {
			name, format string
			magic        uint32
			extra        []byte
		}{
			{"modified", "pcap-modified", pcapModified, cat(u32s(o, 2), o.AppendUint16(nil, 0x800), []byte{0, 9})},
			{"modified, 28 octets", "pcap-modified", pcapModified, cat(u32s(o, 2), o.AppendUint16(nil, 0x800), []byte{4, 200, 200, 200, 200, 200})},
			{"modified, common magic", "pcap-modified", pcapMicro, cat(u32s(o, 2), o.AppendUint16(nil, 0x86dd), []byte{4, 9})},
			{"nokia", "pcap-nokia", pcapMicro, u32s(o, 0x9fbfb601)},
		} {
			add(v.name, v.format, pcapHead(o, v.magic, 2, 4, 65535, 1), cat(
				pcapRec(o, 1000, 7, 3, 3, v.extra, abc), pcapRec(o, 1001, 999999, 2, 1500, v.extra, de)), 1, 1000)
			cases[len(cases)-1].fileOnly = v.name != "modified"
		}
	}
	cases = append(cases,
		formatCase{
			name: "no packets", file: pcapHead(le, pcapMicro, 2, 4, 96, 1), format: "pcap", links: []uint16{1},
			info: func(i Info) bool { return i.SnapLen == 96 && i.First == 0 && i.Last == 0 },
		},
		formatCase{
			name: "empty frame and time beyond 2038",
			file: cat(pcapHead(le, pcapMicro, 2, 4, 1<<31, 1), pcapRec(le, 1<<32-1, 5, 0, 60, nil, nil)), format: "pcap", links: []uint16{1},
			frames: []got{{1, (1<<32-1)*sec + 5000, 0, 1, 60, ""}},
			info:   func(i Info) bool { return i.SnapLen == 0 },
		},
		formatCase{
			name: "AIX FDDI padding",
			file: cat(pcapHead(be, pcapMicro, 2, 2, 96, 15), pcapRec(be, 1, 2, 100, 6, nil, []byte("\x00\x00\x00abc"))), format: "pcap-aix", links: []uint16{10},
			frames: []got{{1, sec + 2, 0, 10, 97, "abc"}},
		},
		formatCase{
			name: "time steps back",
			file: cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), pcapRec(le, 9, 0, 0, 0, nil, nil),
				pcapRec(le, 3, 0, 0, 0, nil, nil), pcapRec(le, 5, 0, 0, 0, nil, nil)),
			format: "pcap", links: []uint16{1},
			frames: []got{{1, 9 * sec, 0, 1, 0, ""}, {2, 3 * sec, 0, 1, 0, ""}, {3, 5 * sec, 0, 1, 0, ""}},
			info:   func(i Info) bool { return i.First == 3*sec && i.Last == 9*sec },
		},
	)
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

// Damage in the first records does not make a common file a rare one.
func TestPcapEarlyDamage(t *testing.T) {
	head := pcapHead(le, pcapMicro, 2, 4, 96, 1)
	rec := pcapRec(le, 1, 0, 3, 3, nil, []byte("abc"))
	for name, file := range map[string][]byte{
		"cut":                       cat(head, rec, rec[:18]),
		"absurd length":             cat(head, rec, u32s(le, 1, 0, 1<<30, 3), rec),
		"frame above the snaplen":   cat(pcapHead(le, pcapMicro, 2, 4, 2, 1), rec, rec[:18]),
		"a microsecond of a second": cat(head, rec, pcapRec(le, 1, 1e6, 1<<30, 3, nil, nil)),
	} {
		frames, info, err := readFile(t, file)
		if err != nil || info.Format != "pcap" || len(frames) != 1 || frames[0].Data != "abc" {
			t.Errorf("%s: %v %s, %v", name, frames, info.Format, err)
		}
	}
}

// A frame may be as long as Wireshark accepts for its link type, or as the file
// declares, and no longer.
func TestPcapLongFrames(t *testing.T) {
	for _, c := range []struct {
		name          string
		link, snaplen uint32
		length        int
		ok            bool
	}{
		{"longest", 1, 262144, 262144, true},
		{"too long", 1, 262144, 262145, false},
		{"declared", 1, 300000, 300000, true},
		{"beyond the declared", 1, 300000, 300001, false},
		{"absurd declaration", 1, 1 << 31, 262145, false},
		{"USB", 249, 65535, 1 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := bytes.Repeat([]byte("0123456789abcdef"), c.length/16+1)[:c.length]
			file := cat(pcapHead(le, pcapMicro, 2, 4, c.snaplen, c.link),
				pcapRec(le, 1, 0, 1, 1, nil, []byte("x")),
				pcapRec(le, 2, 0, uint32(c.length), uint32(c.length), nil, data),
				pcapRec(le, 3, 0, 1, 1, nil, []byte("y")))
			for _, read := range []func() ([]got, Info, error){
				func() ([]got, Info, error) { return readFile(t, file) },
				func() ([]got, Info, error) { return readPipe(t, file, 1000) },
			} {
				frames, info, err := read()
				if err != nil {
					t.Fatal(err)
				}
				if !c.ok {
					if len(frames) != 1 || info.Damage == nil || info.Damage.Frame != 2 {
						t.Fatalf("%d frames, damage %v", len(frames), info.Damage)
					}
					continue
				}
				if len(frames) != 3 || info.Damage != nil {
					t.Fatalf("%d frames, damage %v", len(frames), info.Damage)
				}
				if frames[1].Data != string(data) || frames[2].Data != "y" {
					t.Error("wrong data")
				}
			}
		})
	}
}
