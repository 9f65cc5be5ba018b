package diagnose

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lastack/lastack/internal/scenario"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/reassembly/decode"
	"github.com/lastack/lastack/reassembly/tcp"
)

// A rule finds nothing on a flow that shows none of the signs which it needs:
// over all transcripts, all captures here, and those from elsewhere if there are.
func TestRulesNeedTheirSigns(t *testing.T) {
	flows, skipped := 0, 0
	c := &Context{Profile: reassembly.Profiles()[0]}
	rules := Rules()
	judge := func(name string) func(*reassembly.Flow) {
		return func(f *reassembly.Flow) {
			flows++
			shows := signsOf(f)
			c.reset = kindOfReset(c, f)
			if c.reset != resetNone && shows&signReset == 0 {
				t.Errorf("%s: flow %v has a reset and no sign of it", name, f.ID)
			}
			for i := range rules {
				r := &rules[i]
				if r.Check == nil || r.needs == 0 || r.needs&shows != 0 {
					continue
				}
				skipped++
				r.Check(c, f, func(d Finding) { t.Errorf("%s: %s on flow %v without a sign", name, r.ID, f.ID) })
			}
		}
	}
	all, err := scenario.ParseAll(os.DirFS("../../testdata/scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "in.pcap")
	for _, s := range all {
		if err := os.WriteFile(file, s.Pcap(), 0o666); err != nil {
			t.Fatal(err)
		}
		src, err := capture.Open(file, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		readFlows(src, judge(s.Name))
	}
	for _, dir := range []string{"../../testdata/captures", "../../testdata/captures/lab", os.Getenv("LASTACK_CORPUS")} {
		names, err := filepath.Glob(filepath.Join(dir, "*.*"))
		if err != nil || dir == "" {
			continue
		}
		for _, name := range names {
			src, err := capture.Open(name, capture.Options{})
			if err != nil {
				continue // no capture
			}
			readFlows(src, judge(filepath.Base(name)))
		}
	}
	t.Logf("%d flows, on each of which %d rules were not asked", flows, skipped/max(flows, 1))
	if flows < 1_000 {
		t.Errorf("only %d flows", flows)
	}
}

// readFlows shows the flows of a capture, as far as it can be read.
func readFlows(src *capture.Source, show func(*reassembly.Flow)) {
	defer src.Close()
	table := reassembly.NewTable(reassembly.Options{MaxFlows: 1 << 20}, show)
	dec := decode.New(decode.Options{})
	var frame capture.Frame
	var seg tcp.Segment
	end := int64(0)
	for src.Next(&frame) == nil {
		end = max(end, frame.At)
		switch dec.Decode(frame.LinkType, frame.Data, frame.WireLen, frame.At, tcp.Ref(0, frame.Number), &seg) {
		case decode.Segment, decode.Quote:
			table.Step(&seg)
		}
		reassembly.Together(table).Sweep(end)
	}
	reassembly.Together(table).Finish(end)
}
