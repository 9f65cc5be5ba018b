package prom_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/prom"
)

// write makes the metrics of a canonical input.
func write(t *testing.T, in canonical.Input) (*report.Report, string) {
	t.Helper()
	r, err := in.Analyse(report.Options{Series: true})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := prom.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return r, b.String()
}

// values reads metrics as Prometheus does: "name|label=value|..." to value.
func values(t *testing.T, text string) map[string]float64 {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += "|" + l.GetName() + "=" + l.GetValue()
			}
			if _, twice := out[key]; twice {
				t.Errorf("%s twice", key)
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// Every number of the report is there, zeros included, and nothing else.
func TestWrite(t *testing.T) {
	for _, in := range canonical.Inputs() {
		in.Report.KernelDrops = 3
		r, text := write(t, in)
		have, want := values(t, text), map[string]float64{
			"lastack_capture_dropped_total": 3, "lastack_packets_total": float64(r.Packets), "lastack_flows_total": float64(r.Flows),
		}
		if r.Packets > 0 {
			want["lastack_capture_end_timestamp_seconds"] = float64(r.End) / 1e9
		}
		for _, rule := range canonical.Rules() {
			want["lastack_findings_total|rule="+rule.ID] = 0
		}
		for i := range r.Groups {
			want["lastack_findings_total|rule="+r.Groups[i].Rule] += float64(r.Groups[i].Count)
		}
		for st := fsm.Closed; st <= fsm.TimeWait; st++ {
			for i := 0; r.Series != nil && i < len(r.Series.Hosts); i++ {
				want["lastack_sockets|host="+r.Series.Hosts[i].Name()+"|state="+st.String()] = 0
			}
			for i := range r.States {
				want["lastack_sockets|host="+r.States[i].Name()+"|state="+st.String()] = float64(r.States[i].Counts[st])
			}
			for i := 0; r.Series != nil && i < len(r.Series.Hosts); i++ {
				h := &r.Series.Hosts[i]
				want["lastack_transitions_total|host="+h.Name()+"|state="+st.String()] = float64(r.Series.Entered(h)[st])
			}
		}
		for k, v := range want {
			if got, ok := have[k]; !ok || got != v {
				t.Errorf("%s: %s is %v (%v), want %v", in.Name, k, got, ok, v)
			}
		}
		if len(have) != len(want) {
			t.Errorf("%s: %d numbers, want %d", in.Name, len(have), len(want))
		}
		if _, again := write(t, in); again != text {
			t.Errorf("%s: the second time it is written otherwise", in.Name)
		}
	}
}

// However many hosts there are, few have lines, those with the most sockets.
func TestManyHosts(t *testing.T) {
	r := &report.Report{States: make([]report.States, 1, 1001)}
	for i := range 1000 {
		s := report.States{Host: hostNumber(i)}
		s.Counts[fsm.Established] = uint64(i)
		r.States = append(r.States, s)
	}
	var b bytes.Buffer
	if err := prom.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), `state="ESTABLISHED"`); n != 257 {
		t.Errorf("%d hosts", n)
	}
	if s := b.String(); !strings.Contains(s, `host="*"`) || !strings.Contains(s, hostNumber(999).String()) || strings.Contains(s, `"`+hostNumber(3).String()+`"`) {
		t.Error("not the sum and those with the most sockets")
	}
}

// promtool finds nothing to complain of.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (package prometheus): the metrics were not checked by it")
	}
	check := func(text string) (string, error) {
		c := exec.Command(tool, "check", "metrics")
		c.Stdin = strings.NewReader(text)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, in := range canonical.Inputs() {
		_, text := write(t, in)
		if out, err := check(text); err != nil || out != "" {
			t.Errorf("%s: %v: %s", in.Name, err, out)
		}
	}
	if out, err := check("# TYPE bad_name gauge\nbad_total 1\n"); err == nil {
		t.Errorf("promtool finds nothing wrong with anything: %s", out)
	}
}

func hostNumber(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}) }

type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

// What cannot be written is said.
func TestWriteFails(t *testing.T) {
	i := slices.IndexFunc(canonical.Inputs(), func(in canonical.Input) bool { return in.Name == "mixed" })
	r, err := canonical.Inputs()[i].Analyse(report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := prom.Write(full{}, r); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

// Where the input keeps no account of drops there is no number of them.
func TestDropsUnknown(t *testing.T) {
	const name = "lastack_capture_dropped_total"
	for counted, want := range map[bool]string{true: "\n" + name + " 0\n", false: ""} {
		var b bytes.Buffer
		if err := prom.Write(&b, &report.Report{Health: report.Health{DropsCounted: counted}}); err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(b.String(), name); has != counted || !strings.Contains(b.String(), want) {
			t.Errorf("counted %v: %s", counted, b.String())
		}
	}
}
