package capture

import (
	"strings"
	"testing"
)

func TestSnoop(t *testing.T) {
	records := cat(snoopRec(1000, 7, 60, 0, []byte("abc"), 1), snoopRec(1001, 999999, 2, 5, []byte("de"), 0))
	for _, c := range []struct {
		name string
		head []byte
		link uint16
	}{
		{"Ethernet", snoopHead(2, 4), 1},
		{"802.3", snoopHead(2, 0), 1},
		{"token ring", snoopHead(2, 2), 6},
		{"FDDI", snoopHead(2, 8), 10},
		{"loopback", snoopHead(2, 14), 0},
		{"ATM", snoopHead(2, 18), 123},
		{"fibre channel", snoopHead(2, 16), 122},
		{"ipnet", snoopHead(2, 0x80000005), 226},
	} {
		t.Run(c.name, formatCase{
			file: cat(c.head, records), format: "snoop", links: []uint16{c.link},
			frames: []got{
				{1, 1000*sec + 7000, 0, c.link, 60, "abc"},
				{2, 1001*sec + 999999000, 0, c.link, 2, "de"},
			},
			info: func(i Info) bool { return i.Drops == 5 },
		}.run)
	}
	t.Run("Surveyor", formatCase{
		file: cat(snoopHead(2, 12), snoopRec(1, 0, 3, 0, []byte("abc"), 17)), format: "snoop", links: []uint16{1},
		frames: []got{{1, sec, 0, 1, 3, "abc"}},
	}.run)
	t.Run("no packets", formatCase{file: snoopHead(2, 4), format: "snoop", links: []uint16{1}}.run)
}

func TestSnoopDamage(t *testing.T) {
	good := cat(snoopHead(2, 4), snoopRec(1, 0, 3, 0, []byte("abc"), 1))
	for _, c := range []struct {
		record []byte
		text   string
	}{
		{u32s(be, 60, 300000, 300024, 0, 0, 0), "frame 2 claims 300,000 captured bytes of 60"},
		{u32s(be, 300000, 60, 84, 0, 0, 0), "frame 2 claims 60 captured bytes of 300,000"},
		{u32s(be, 60, 60, 80, 0, 0, 0), "frame 2 claims 60 captured bytes in a record of 80"},
		{u32s(be, 60, 60, 1<<31, 0, 0, 0), "frame 2 claims 60 captured bytes in a record of 2,147,483,648"},
		{u32s(be, 60, 60, 84, 0, 0, 0), "file ends inside frame 2"},
	} {
		frames, info, err := readFile(t, cat(good, c.record))
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) != 1 || info.Damage == nil || info.Damage.Text != c.text {
			t.Errorf("%d frames, damage %v, want %s", len(frames), info.Damage, c.text)
		}
	}
	for text, file := range map[string][]byte{
		"is a snoop file of version 7, which cannot be read":         snoopHead(7, 4),
		"is a snoop file of data link type 99, which cannot be read": snoopHead(2, 99),
		"ends inside the snoop file header":                          snoopHead(2, 4)[:15],
	} {
		if _, _, err := readFile(t, file); err == nil || !strings.HasSuffix(err.Error(), ": "+text) {
			t.Errorf("error %v, want %s", err, text)
		}
	}
}
