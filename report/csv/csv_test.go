package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/canonical"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/csv"
)

const names = "time,host,step_s," +
	"CLOSED,LISTEN,SYN_SENT,SYN_RCVD,ESTABLISHED,FIN_WAIT_1,FIN_WAIT_2,CLOSE_WAIT,CLOSING,LAST_ACK,TIME_WAIT," +
	"CLOSED_per_s,LISTEN_per_s,SYN_SENT_per_s,SYN_RCVD_per_s,ESTABLISHED_per_s,FIN_WAIT_1_per_s,FIN_WAIT_2_per_s," +
	"CLOSE_WAIT_per_s,CLOSING_per_s,LAST_ACK_per_s,TIME_WAIT_per_s"

// analyse makes the report of a canonical input, with its series; long has it
// end an hour later.
func analyse(t *testing.T, in canonical.Input, long bool) *report.Report {
	t.Helper()
	if long {
		in.End += int64(time.Hour)
	}
	r, err := in.Analyse(report.Options{Series: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The lines say what the series says, at regular times, and the last one of each
// host what its state table says.
func TestWrite(t *testing.T) {
	for _, in := range canonical.Inputs() {
		for _, long := range []bool{false, true} {
			r := analyse(t, in, long)
			var b bytes.Buffer
			if err := csv.Write(&b, r); err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(b.String(), "\n")
			if head != names {
				t.Fatalf("names %s", head)
			}
			list, err := stdcsv.NewReader(&b).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			last := map[string][]string{}
			entered := map[string]*[fsm.States]float64{}
			for _, row := range list[1:] {
				compareTimes(t, in.Name, r, last[row[1]], row)
				last[row[1]] = row
				if entered[row[1]] == nil {
					entered[row[1]] = new([fsm.States]float64)
				}
				for st := fsm.Closed; st <= fsm.TimeWait; st++ {
					entered[row[1]][st] += number(t, row[13+st]) * number(t, row[2])
				}
			}
			if (r.Packets > 0) != (len(last) > 0) {
				t.Errorf("%s: %d hosts of %d packets", in.Name, len(last), r.Packets)
			}
			for i := range r.States {
				s := &r.States[i]
				for st := fsm.Closed; st <= fsm.TimeWait && r.Packets > 0; st++ {
					if have := number(t, last[s.Name()][2+st]); have != float64(s.Counts[st]) {
						t.Errorf("%s: %s holds %v in %s at the end, want %d", in.Name, s.Name(), have, st, s.Counts[st])
					}
				}
			}
			for i := 0; r.Series != nil && i < len(r.Series.Hosts); i++ {
				h := &r.Series.Hosts[i]
				for st, n := range r.Series.Entered(h) {
					if float64(n) != entered[h.Name()][st] {
						t.Errorf("%s: %s came into state %d %v times, want %d", in.Name, h.Name(), st, entered[h.Name()][st], n)
					}
				}
			}
		}
	}
}

func compareTimes(t *testing.T, name string, r *report.Report, before, row []string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, row[0])
	if err != nil {
		t.Fatal(err)
	}
	step := int64(number(t, row[2]) * 1e9)
	ns := at.UnixNano()
	switch {
	case step != r.Series.Step || ns%step != 0 && ns != r.End || ns < r.Start || ns > r.End:
		t.Errorf("%s: a line of %s, step %s", name, row[0], row[2])
	case before == nil:
	default:
		was, _ := time.Parse(time.RFC3339Nano, before[0])
		if d := ns - was.UnixNano(); d != step && (ns != r.End || d <= 0 || d > step) {
			t.Errorf("%s: %s comes after %s", name, row[0], before[0])
		}
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

// What cannot be written is said.
func TestWriteFails(t *testing.T) {
	r := analyse(t, canonical.Inputs()[1], true)
	if err := csv.Write(full{}, r); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
