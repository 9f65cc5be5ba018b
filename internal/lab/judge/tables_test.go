//go:build linux

package judge

import (
	"strings"
	"testing"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/report/diagnose"
)

func TestAccount(t *testing.T) {
	a := account{{State: fsm.Established, From: 10, To: 20}, {State: fsm.TimeWait, From: 20, To: 30},
		{State: fsm.SynSent, From: 40, To: reassembly.OpenEnd}}
	for _, tt := range []struct {
		from, to int64
		want     []fsm.State
	}{
		{5, 9, []fsm.State{fsm.Closed}},
		{5, 10, []fsm.State{fsm.Closed, fsm.Established}},
		{10, 19, []fsm.State{fsm.Established}},
		{19, 20, []fsm.State{fsm.Established, fsm.TimeWait}},
		{29, 41, []fsm.State{fsm.TimeWait, fsm.Closed, fsm.SynSent}},
		{30, 39, []fsm.State{fsm.Closed}},
		{99, 99, []fsm.State{fsm.SynSent}},
	} {
		want := uint16(0)
		for _, st := range tt.want {
			want |= 1 << st
		}
		if got := a.during(tt.from, tt.to); got != want {
			t.Errorf("from %d to %d: %b, want %b", tt.from, tt.to, got, want)
		}
	}
	if got := (account)(nil).at(7); got != fsm.Closed {
		t.Errorf("of no socket: %v", got)
	}
}

// Each allowance explains what it is for and nothing near to it.
func TestAllowances(t *testing.T) {
	const s = int64(time.Second)
	closed := account{{State: fsm.Established, From: 1 * s, To: 2 * s}, {State: fsm.TimeWait, From: 2 * s, To: 62 * s}}
	orphan := account{{State: fsm.FinWait2, From: 2 * s, To: reassembly.OpenEnd}}
	for _, tt := range []struct {
		name     string
		account  account
		at, took int64
		kernel   lab.TableSocket // of state 0: not listed
		want     string          // the allowance; "" for none; "equal" where none is needed
	}{
		{"the same", closed, 1*s + 5, 10, lab.TableSocket{State: fsm.Established}, "equal"},
		{"in neither", closed, 70 * s, 10, lab.TableSocket{}, "equal"},
		{"moved in the listing", closed, 2*s - 5, 20, lab.TableSocket{State: fsm.Established}, "moved-meanwhile"},
		{"moved before the listing", closed, 2*s + 5, 20, lab.TableSocket{State: fsm.Established}, ""},
		{"moved after the listing", closed, 2*s - 50, 20, lab.TableSocket{State: fsm.TimeWait}, ""},
		{"late timer", closed, 63 * s, 10, lab.TableSocket{State: fsm.TimeWait, Due: true}, "timer-late"},
		{"a timer that still runs", closed, 63 * s, 10, lab.TableSocket{State: fsm.TimeWait}, ""},
		{"a late timer of what never was in TIME_WAIT", closed[:1], 63 * s, 10, lab.TableSocket{State: fsm.TimeWait, Due: true}, ""},
		{"TIME_WAIT that the kernel has not", closed, 50 * s, 10, lab.TableSocket{}, ""},
		{"an old orphan", orphan, 62*s + 1, 10, lab.TableSocket{}, "orphan-expired"},
		{"an orphan too young", orphan, 61 * s, 10, lab.TableSocket{}, ""},
		{"an old orphan in another state", orphan, 63 * s, 10, lab.TableSocket{State: fsm.TimeWait}, ""},
		{"what lastack does not know", nil, 1 * s, 10, lab.TableSocket{State: fsm.CloseWait}, ""},
	} {
		h := HostTables{Host: "client", Allowed: map[string]int{}}
		table := lab.Table{Host: "client", Before: tt.at, After: tt.at + tt.took}
		tt.kernel.Local, tt.kernel.Remote = 1, 2
		if tt.kernel.State != 0 {
			table.Sockets = []lab.TableSocket{tt.kernel}
		}
		accounts := map[portPair]account{}
		if tt.account != nil {
			accounts[portPair{1, 2}] = tt.account
		}
		h.compare(&table, accounts, time.Minute)
		got := ""
		for kind := range h.Allowed {
			got = kind
		}
		if h.differs+len(h.Allowed) == 0 {
			got = "equal"
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if ok := h.Ruled.worst() == 0; ok != (tt.want != "") {
			t.Errorf("%s: differs by %v", tt.name, h.Ruled.worst())
		}
	}
}

func TestTablesFail(t *testing.T) {
	good := func() HostTables {
		h := HostTables{Host: "client", Compared: 900}
		for st := fsm.SynSent; st <= fsm.TimeWait; st++ {
			h.Raw.kernel[st], h.Ruled.kernel[st] = 90_000, 90_000
		}
		return h
	}
	crowd := lab.Crowd{Opened: lab.CrowdSize, Overflowed: 3}
	for _, tt := range []struct {
		name  string
		spoil func(*HostTables, *lab.Crowd)
		want  string
	}{
		{"all well", func(*HostTables, *lab.Crowd) {}, ""},
		{"one part in a hundred", func(h *HostTables, _ *lab.Crowd) { h.Ruled.differ[fsm.CloseWait] = 8_100 }, ""},
		{"more", func(h *HostTables, _ *lab.Crowd) { h.Ruled.differ[fsm.CloseWait] = 8_200 }, "a state differs by 1.01 %"},
		{"explained", func(h *HostTables, _ *lab.Crowd) { h.Raw.differ[fsm.CloseWait] = 50_000 }, ""},
		{"connections are missing", func(_ *HostTables, c *lab.Crowd) { c.Opened-- }, "1999 connections"},
		{"no full queue", func(_ *HostTables, c *lab.Crowd) { c.Overflowed = 0 }, "no accept queue"},
		{"slow listings", func(h *HostTables, _ *lab.Crowd) { h.Long = 300 }, "300 of 1200 listings"},
		{"a state that does not occur", func(h *HostTables, _ *lab.Crowd) { h.Raw.kernel[fsm.FinWait2] = 800 }, "in FIN_WAIT_2"},
	} {
		h, c := good(), crowd
		tt.spoil(&h, &c)
		v := &Tables{Hosts: []HostTables{h}, crowd: &c}
		v.judge()
		got := strings.Join(v.Failures, "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestForecastFails(t *testing.T) {
	const s = int64(time.Second)
	run := lab.Exhaustion{Lo: 20_000, Hi: 22_999, Half: 10 * s, Failed: 20 * s, HeldAtHalf: 1500, HeldAtEnd: 3000}
	for _, tt := range []struct {
		name  string
		spoil func(half, end *diagnose.Ports)
		want  string
	}{
		{"all well", func(_, _ *diagnose.Ports) {}, ""},
		{"late, but not by much", func(half, _ *diagnose.Ports) { half.ExhaustedIn = 10*s + s*9/10 }, ""},
		{"late", func(half, _ *diagnose.Ports) { half.ExhaustedIn = 11*s + 1 }, "were expected to after 11.0"},
		{"early", func(half, _ *diagnose.Ports) { half.ExhaustedIn = 9*s - 1 }, "were expected to after 8.9"},
		{"never", func(half, _ *diagnose.Ports) { half.ExhaustedIn = -1 }, "no end of them"},
		{"another range", func(half, _ *diagnose.Ports) { half.Capacity = 28_232 }, "the capacity is 28232"},
		{"a higher count", func(half, _ *diagnose.Ports) { half.PeakInUse = 1502 }, "1502 were in use"},
		{"ports left", func(_, end *diagnose.Ports) { end.ExhaustedIn = 5 }, "at the end 3000 were in use"},
	} {
		half := diagnose.Ports{Capacity: 3000, PeakInUse: 1500, ExhaustedIn: 10 * s}
		end := diagnose.Ports{Capacity: 3000, PeakInUse: 3000}
		tt.spoil(&half, &end)
		f := Forecast{run: &run, half: half, listed: diagnose.Ports{PeakInUse: 1500}, end: end}
		f.judge()
		got := strings.Join(f.Failures, "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
