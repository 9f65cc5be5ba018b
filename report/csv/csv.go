// Package csv writes the state series of a report as comma-separated values:
// how many sockets each host held in each state, at instants a step apart.
//
// In comes a report, out go a line of names and a line for each host and
// instant, the sum over all hosts ("*") first. It opens no file.
package csv

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/report"
)

// Write writes r.Series; without one only the names. The columns are
//
//	time      RFC 3339, UTC: a multiple of the step, and last the input's end
//	host      its address, or * for all hosts together
//	step_s    seconds from one instant to the next
//	STATE     eleven: sockets in that state at that time; LISTEN: listeners seen
//	STATE_per_s  eleven: how often a socket came into that state since the
//	          instant before, divided by the step
func Write(w io.Writer, r *report.Report) error {
	out := csv.NewWriter(w)
	row := []string{"time", "host", "step_s"}
	for _, suffix := range [2]string{"", "_per_s"} {
		for st := fsm.Closed; st <= fsm.TimeWait; st++ {
			row = append(row, st.String()+suffix)
		}
	}
	err := out.Write(row)
	if r.Series != nil {
		for i := range r.Series.Hosts {
			if err == nil {
				err = host(out, r.Series, &r.Series.Hosts[i], row)
			}
		}
	}
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return err
}

// host writes the lines of one host, with the memory of row.
func host(out *csv.Writer, s *report.Series, h *report.HostSeries, row []string) (err error) {
	step := float64(s.Step) / 1e9
	s.Each(h, func(m *report.Moment) bool {
		row = append(row[:0], time.Unix(0, m.Time).UTC().Format("2006-01-02T15:04:05.000000000Z"), h.Name(), decimal(step))
		for _, n := range m.Counts[fsm.Closed:] {
			row = append(row, strconv.FormatUint(n, 10))
		}
		for _, n := range m.Entered[fsm.Closed:] {
			row = append(row, decimal(float64(n)/step))
		}
		err = out.Write(row)
		return err == nil
	})
	return err
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
