//go:build linux

package lab

import "slices"

// Take is one playing of a scenario.
type Take struct {
	Scenario Scenario
	Family   Family
	// Bare hosts use no TCP timestamps (RFC 7323).
	Bare bool
	// Offload has the hosts leave to their interfaces what network cards do:
	// to cut large segments (TSO), to put them together again (GRO) and to
	// compute checksums. Captures then show segments of up to 64 KiB.
	Offload bool
}

// Name is what the names of the take's recording begin with, such as
// "refused-v6" and "refused-v4-bare-offload".
func (t Take) Name() string {
	name := t.Scenario.Name + "-" + t.Family.String()
	if t.Bare {
		name += "-bare"
	}
	if t.Offload {
		name += "-offload"
	}
	return name
}

// weight is how many ordinary takes it is as much work as.
func (t Take) weight() int {
	if t.Scenario.Class == Mixed {
		return 8
	}
	return 1
}

// Takes plays every scenario in both families, with and without timestamps, and
// each of those with and without offloads; those that are much work without
// either and with both.
func Takes(ss []Scenario) (out []Take) {
	for _, s := range ss {
		for _, f := range s.families() {
			for _, bare := range []bool{false, true} {
				for _, offload := range []bool{false, true} {
					if bare && s.Timestamps || s.Large && bare != offload {
						continue
					}
					out = append(out, Take{Scenario: s, Family: f, Bare: bare, Offload: offload})
				}
			}
		}
	}
	return out
}

// Plain plays every scenario in both families with timestamps and without
// offloads.
func Plain(ss []Scenario) []Take {
	return slices.DeleteFunc(Takes(ss), func(t Take) bool { return t.Bare || t.Offload })
}

// Once plays every scenario once, every third over IPv6, on plain hosts.
func Once(ss []Scenario) (out []Take) {
	for i, s := range ss {
		f := s.families()
		out = append(out, Take{Scenario: s, Family: f[i%3/2*(len(f)-1)]})
	}
	return out
}

// Short plays every scenario that takes no minute once, and two mixes, on bare
// hosts with offloads one of them.
func Short(ss []Scenario) (out []Take) {
	for _, t := range Once(ss) {
		if t.Scenario.Tail < longTail && t.Scenario.Class != Mixed {
			out = append(out, t)
		}
	}
	for _, s := range ss {
		switch s.Name {
		case "mixed-loss-5":
			out = append(out, Take{Scenario: s, Family: IPv4})
		case "mixed-loss-15":
			out = append(out, Take{Scenario: s, Family: IPv6, Bare: true, Offload: true})
		}
	}
	return out
}

// families are those in which the scenario is played.
func (s Scenario) families() []Family {
	if s.Only != 0 {
		return []Family{s.Only}
	}
	return []Family{IPv4, IPv6}
}
