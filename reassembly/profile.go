package reassembly

import "time"

// Profile is what is known of the hosts' timers and ports, by operating system.
// Every figure is a default that a packet may contradict.
type Profile struct {
	Name     string
	TwoMSL   time.Duration // how long TIME_WAIT lasts
	FinWait2 time.Duration // how long an orphan stays in FIN_WAIT_2
	// SYN, SYNACK and FIN are how long the segment is repeated before the
	// socket is given up, from its first copy.
	SYN, SYNACK, FIN time.Duration
	// PortLo and PortHi bound the ephemeral ports.
	PortLo, PortHi uint16
	// RestartOnACK: any segment with an acknowledgement restarts TIME_WAIT, not
	// only a repeated FIN (Linux, net/ipv4/tcp_minisocks.c).
	RestartOnACK bool
}

// Profiles lists the profiles by name; the first is the default.
//
// Linux: TCP_TIMEWAIT_LEN, net.ipv4.tcp_fin_timeout, tcp_syn_retries=6 with
// tcp_syn_linear_timeouts=4, tcp_synack_retries=5, tcp_orphan_retries=8.
// Windows: TcpTimedWaitDelay and the dynamic port range of Windows Server
// 2008 and later. macOS: net.inet.tcp.msl=15000. FreeBSD: net.inet.tcp.msl,
// finwait2_timeout. RFC: MSL of two minutes (RFC 9293 §3.4.2), R2 of three
// minutes for SYN and 100 seconds for the rest (§3.8.3).
func Profiles() []Profile {
	return []Profile{
		{Name: "linux", TwoMSL: 60 * time.Second, FinWait2: 60 * time.Second, SYN: 135 * time.Second,
			SYNACK: 63 * time.Second, FIN: 108 * time.Second, PortLo: 32768, PortHi: 60999, RestartOnACK: true},
		{Name: "windows", TwoMSL: 120 * time.Second, FinWait2: 120 * time.Second, SYN: 21 * time.Second,
			SYNACK: 21 * time.Second, FIN: 100 * time.Second, PortLo: 49152, PortHi: 65535},
		{Name: "macos", TwoMSL: 30 * time.Second, FinWait2: 60 * time.Second, SYN: 75 * time.Second,
			SYNACK: 75 * time.Second, FIN: 120 * time.Second, PortLo: 49152, PortHi: 65535},
		{Name: "freebsd", TwoMSL: 60 * time.Second, FinWait2: 60 * time.Second, SYN: 75 * time.Second,
			SYNACK: 75 * time.Second, FIN: 120 * time.Second, PortLo: 10000, PortHi: 65535},
		{Name: "rfc793", TwoMSL: 240 * time.Second, FinWait2: 240 * time.Second, SYN: 180 * time.Second,
			SYNACK: 180 * time.Second, FIN: 100 * time.Second, PortLo: 1024, PortHi: 65535},
	}
}

// ProfileNamed finds a profile; it is false when there is none of that name.
func ProfileNamed(name string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}
