//go:build linux

package judge

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/reassembly"
)

// profile is that of Linux with the timers to which a scenario set its hosts.
// lastack knows one profile for all hosts, and scenarios tune one of two.
//
// SYNs come four times at intervals of a second (tcp_syn_linear_timeouts), then
// after 1, 2, 4 s and so on; SYN-ACKs after 1, 2, 4 s; the FIN of an orphan
// after multiples of the retransmission timeout, which near hosts have at about
// 0.21 s.
func profile(a *lab.About) (reassembly.Profile, error) {
	p := reassembly.Profiles()[0]
	for _, t := range a.Tuned {
		n, err := strconv.Atoi(t.Value)
		doubling := time.Duration(1)<<(min(max(n, 0), 20)+1) - 1
		switch t.Name {
		case "ip_local_port_range":
			_, err = fmt.Sscan(t.Value, &p.PortLo, &p.PortHi)
		case "tcp_fin_timeout":
			p.FinWait2 = time.Duration(n) * time.Second
		case "tcp_syn_retries":
			p.SYN = (4 + doubling) * time.Second
		case "tcp_synack_retries":
			p.SYNACK = doubling * time.Second
		case "tcp_orphan_retries":
			p.FIN = doubling * 210 * time.Millisecond
		default:
			err = nil // no timer
		}
		if err != nil {
			return p, fmt.Errorf("%s of %s: %w", t.Name, t.Value, err)
		}
	}
	return p, nil
}

// tuned reports whether a host had a parameter at a value.
func tuned(a *lab.About, host, name, value string) bool {
	for i := len(a.Tuned) - 1; i >= 0; i-- {
		if t := a.Tuned[i]; t.Host == host && t.Name == name {
			return t.Value == value
		}
	}
	return false
}
