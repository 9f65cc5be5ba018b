package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes the results for a terminal.
func (r *Results) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "Local figures of %s. Only the ratios mean anything elsewhere.\n", Machine())
	for _, c := range r.Captures {
		fmt.Fprintf(t, "\n%s: %d packets, %d connections, %d MB\n", c.Name, c.Totals.Packets, c.Totals.Connections, c.Totals.Bytes/1e6)
		fmt.Fprintln(t, "\twall s\tCPU s\tpeak MB\twall by lastack's\tCPU by lastack's")
		for _, row := range r.rows(c.Name) {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", row.name, figure(row.wall.Median), figure(row.cpu.Median),
				figure(row.peak.Median/megabyte), row.wallRatio, row.cpuRatio)
		}
	}
	fmt.Fprintln(t, "\nTargets")
	for _, v := range r.Targets() {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", v.Number, v.State, v.Figure, v.Target, v.What)
	}
	r.remarks(t, "")
	return t.Flush()
}

// Markdown writes the ratios as a table for a document.
func (r *Results) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Wall time and peak memory as multiples of lastack's (all rules, one JSON line for each connection, "+
		"two threads): the median of %d paired rounds and their extremes, on %s.\n", r.rounds(), Machine())
	for _, c := range r.Captures {
		fmt.Fprintf(&b, "\n**%s**: %d packets, %d connections, %d MB\n\n", c.Name, c.Totals.Packets, c.Totals.Connections, c.Totals.Bytes/1e6)
		b.WriteString("| program | version | wall | memory |\n|---|---|---|---|\n")
		for _, row := range r.rows(c.Name) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.name, row.version, row.wallRatio, row.peakRatio)
		}
	}
	r.remarks(&b, "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// row is a contender's figures on one capture.
type row struct {
	name, version                  string
	wall, cpu, peak                Spread
	wallRatio, cpuRatio, peakRatio Spread
}

func (r *Results) rows(capture string) []row {
	var out []row
	for i := range r.Contenders {
		k := &r.Contenders[i]
		row := row{name: k.Name, version: k.version()}
		var measured, compared bool
		if row.wall, measured = r.of(capture, k.Name, wall); !measured {
			continue
		}
		row.cpu, _ = r.of(capture, k.Name, cpu)
		row.peak, _ = r.of(capture, k.Name, peak)
		if row.wallRatio, compared = r.ratio(capture, k.Name, full, wall); !compared {
			continue
		}
		row.cpuRatio, _ = r.ratio(capture, k.Name, full, cpu)
		row.peakRatio, _ = r.ratio(capture, k.Name, full, peak)
		out = append(out, row)
	}
	return out
}

// remarks says what was left out and why.
func (r *Results) remarks(w io.Writer, before string) {
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "%s%s\n", before, s)
	}
	for _, s := range r.Failed {
		fmt.Fprintf(w, "%s%s\n", before, s)
	}
	for i := range r.Contenders {
		k := &r.Contenders[i]
		if idle := r.Idle[k.Name]; idle > 0 {
			fmt.Fprintf(w, "%s%s takes %.1f s for a single connection, which are left out of its wall time\n",
				before, k.Name, idle.Seconds())
		}
	}
}

// rounds is the most that were measured of anything.
func (r *Results) rounds() int {
	n := 0
	for _, c := range r.runs {
		for _, u := range c {
			n = max(n, len(u))
		}
	}
	return n
}
