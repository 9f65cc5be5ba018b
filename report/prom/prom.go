// Package prom writes a report's numbers in Prometheus' text format, as
// node_exporter's textfile collector reads it.
//
// In comes a report, out go metrics through the Prometheus client's encoder.
// It opens no file.
package prom

import (
	"cmp"
	"io"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/report"
)

// hostsTold bounds the hosts that have lines of their own: those with the most
// sockets. The sum over all hosts, "*", is always told.
const hostsTold = 256

var (
	sockets = prometheus.NewDesc("lastack_sockets",
		`Sockets of each host in each TCP state at the end of the capture, or at the time asked for; host "*" is the sum over all hosts.`,
		[]string{"host", "state"}, nil)
	transitions = prometheus.NewDesc("lastack_transitions_total",
		`Moves of each host's sockets into each TCP state; host "*" is the sum over all hosts.`,
		[]string{"host", "state"}, nil)
	findings = prometheus.NewDesc("lastack_findings_total",
		"Findings of each rule.", []string{"rule"}, nil)
	dropped = prometheus.NewDesc("lastack_capture_dropped_total",
		"Packets that the capture dropped, by the kernel's own count.", nil, nil)
	packets = prometheus.NewDesc("lastack_packets_total",
		"Packets that were analysed.", nil, nil)
	flows = prometheus.NewDesc("lastack_flows_total",
		"TCP connections that were analysed.", nil, nil)
	end = prometheus.NewDesc("lastack_capture_end_timestamp_seconds",
		"When the capture ended, or as of when this was written.", nil, nil)
)

// Write writes r: all eleven states of every host and every rule that was run,
// zeros included, and the transitions where r has a series. Lines are in order.
func Write(w io.Writer, r *report.Report) error {
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(collector{r}); err != nil {
		return err
	}
	families, err := reg.Gather()
	if err != nil {
		return err
	}
	enc := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// collector gives a report's numbers to a registry.
type collector struct{ r *report.Report }

// Describe lists the metrics.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{sockets, transitions, findings, dropped, packets, flows, end} {
		out <- d
	}
}

// Collect lists their values.
func (c collector) Collect(out chan<- prometheus.Metric) {
	r := c.r
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range append(busiest(r.States), idle(r)...) {
		for st := fsm.Closed; st <= fsm.TimeWait; st++ {
			gauge(sockets, float64(s.Counts[st]), s.Name(), st.String())
		}
	}
	if s := r.Series; s != nil {
		for i := range s.Hosts {
			h := &s.Hosts[i]
			for st, n := range s.Entered(h) {
				if st := fsm.State(st); st >= fsm.Closed {
					counter(transitions, n, h.Name(), st.String())
				}
			}
		}
	}
	byRule := map[string]uint64{}
	for _, id := range r.Rules {
		byRule[id] = 0
	}
	for i := range r.Groups {
		byRule[r.Groups[i].Rule] += r.Groups[i].Count
	}
	for id, n := range byRule {
		counter(findings, n, id)
	}
	if h := &r.Health; h.DropsCounted || h.KernelDrops > 0 {
		counter(dropped, h.KernelDrops)
	}
	counter(packets, r.Packets)
	counter(flows, r.Flows)
	if r.Packets > 0 {
		gauge(end, float64(r.End)/1e9)
	}
}

// idle is the hosts of the series that hold nothing: a metric that vanishes at 0
// cannot be watched. Where hosts are not told apart nothing is known of them.
func idle(r *report.Report) (out []report.States) {
	if r.Series == nil || len(r.States) == 0 || len(r.States) == 1 && r.States[0].Sockets() > 0 {
		return nil
	}
	busy := map[netip.Addr]bool{}
	for i := range r.States {
		busy[r.States[i].Host] = true
	}
	for i := range r.Series.Hosts {
		if h := r.Series.Hosts[i].Host; !busy[h] {
			out = append(out, report.States{Time: r.States[0].Time, Host: h})
		}
	}
	return out
}

// busiest is the sum and the hosts with the most sockets.
func busiest(list []report.States) []report.States {
	if len(list) <= hostsTold+1 {
		return slices.Clip(list)
	}
	hosts := slices.Clone(list[1:])
	slices.SortStableFunc(hosts, func(a, b report.States) int { return cmp.Compare(b.Sockets(), a.Sockets()) })
	return append([]report.States{list[0]}, hosts[:hostsTold]...)
}
