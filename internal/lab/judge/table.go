//go:build linux

package judge

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the verdict as tables, and what is wrong below them.
func (v *Verdict) Print(out io.Writer) error {
	var b strings.Builder
	v.agreement(&b)
	v.reasons(&b)
	v.times(&b)
	fmt.Fprintf(&b, "\n%d captures cut short after every %d packets\n", v.Cuts, every)
	fmt.Fprintf(&b, "%d connections of the mixes have no label: their applications did something else than they were to do\n", v.Unlabelled)
	for _, list := range []struct {
		title string
		lines []string
	}{
		{"sockets that differ", v.Different}, {"moves at other times", v.Late},
		{"findings against the labels", v.Labels}, {"certain findings of a cut capture that the whole contradicts", v.Contradict},
	} {
		if len(list.lines) > 0 {
			fmt.Fprintf(&b, "\n%s: %d\n  %s\n", list.title, len(list.lines), strings.Join(list.lines, "\n  "))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// agreement prints the rows.
func (v *Verdict) agreement(b *strings.Builder) {
	fmt.Fprintf(b, "%d recordings\n\n", v.Recordings)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "class\tcapture at\tsockets of\tsockets\tequal\tof them revised\texcused\tdiffer\tagreement\t")
	var sums [2]Row // near, far
	line := func(class, at, of string, r Row) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.2f %%\t\n", class, at, of, r.Sockets, r.Equal, r.Revised, r.Excused, r.Differs, 100*r.Agreement())
	}
	of := [2]string{"same host", "far host"}
	for _, r := range v.Rows {
		far := 0
		if !r.Near {
			far = 1
		}
		s := &sums[far]
		s.Sockets, s.Equal, s.Revised = s.Sockets+r.Sockets, s.Equal+r.Equal, s.Revised+r.Revised
		s.Excused, s.Differs = s.Excused+r.Excused, s.Differs+r.Differs
		line(r.Class, r.Vantage.String(), of[far], r)
	}
	line("all", "", of[0], sums[0])
	line("all", "", of[1], sums[1])
	w.Flush()
}

// reasons prints what was excused of the near sockets, and why.
func (v *Verdict) reasons(b *strings.Builder) {
	why := kinds()
	print := func(title string, counts map[string]int) {
		fmt.Fprintf(b, "\n%s\n", title)
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		for _, k := range sortedKeys(counts) {
			fmt.Fprintf(w, "  %s\t%d\t%s\n", k, counts[k], why[k])
		}
		w.Flush()
	}
	print("sockets of the same host that differ in what nobody can see", v.Kinds)
	print("moves of those sockets whose time nobody can see", v.Lags)
}

// times prints how far apart the moves are, by kind.
func (v *Verdict) times(b *strings.Builder) {
	fmt.Fprintln(b, "\ntime from the kernel's move to lastack's, sockets of the same host")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "move\ttraced\tmedian\t9 of 10 within\tsampled\tbetween the samples\t")
	for _, k := range sortedKeys(v.Times) {
		var exact, size []int64
		sampled, inside := 0, 0
		for _, d := range v.Times[k] {
			switch {
			case !d.Sampled:
				exact, size = append(exact, d.NS), append(size, max(d.NS, -d.NS))
			case d.NS == 0:
				inside++
				fallthrough
			default:
				sampled++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%d\t\n", k, len(exact), quantile(exact, 0.5), quantile(size, 0.9), sampled, inside)
	}
	w.Flush()
}

// quantile of times in ns, in words; a dash for none.
func quantile(ns []int64, q float64) string {
	if len(ns) == 0 {
		return "-"
	}
	slices.Sort(ns)
	d := time.Duration(ns[int(q*float64(len(ns)-1)+0.5)])
	return d.Round(time.Microsecond).String()
}
