//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ifname is the name of a host's only network interface.
const ifname = "eth0"

// Host is one of the two machines: a namespace with a TAP interface whose
// other end is held by the wire.
type Host struct {
	Name   string // "client" or "server"
	V4, V6 netip.Addr

	ns      *Namespace
	offload bool    // of its interfaces
	port    *port   // the wire's end of eth0
	ports   []*port // those of all interfaces
}

// newHost makes a namespace with an interface that is up and addressed. The
// last octet of its hardware address is n.
func newHost(name string, addr Subnet, n byte, offload bool) (*Host, error) {
	ns, err := NewNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{Name: name, V4: addr.V4.Addr(), V6: addr.V6.Addr(), ns: ns, offload: offload}
	if h.port, err = h.addInterface(ifname, addr, n); err != nil {
		h.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return h, nil
}

// addInterface gives the host a TAP interface, and returns its other end.
func (h *Host) addInterface(name string, addr Subnet, n byte) (*port, error) {
	port, err := h.openTAP(name)
	if err != nil {
		return nil, err
	}
	quiet := [][2]string{ // addresses at once, and no chatter of IPv6's own
		{"net.ipv6.conf." + name + ".accept_dad", "0"},
		{"net.ipv6.conf." + name + ".addr_gen_mode", "1"},
		{"net.ipv6.conf." + name + ".router_solicitations", "0"},
	}
	for _, s := range quiet {
		err = errors.Join(err, h.Sysctl(s[0], s[1]))
	}
	// A router asks for a neighbour from its link-local address, or not at all.
	batch := fmt.Sprintf("link set dev lo up\nlink set dev %[1]s address 02:00:00:00:00:%02[2]x up\n"+
		"addr add %[3]s dev %[1]s\naddr add %[4]s dev %[1]s nodad\naddr add fe80::%[2]x/64 dev %[1]s nodad\n",
		name, n, addr.V4, addr.V6)
	if err = errors.Join(err, h.ns.Run(batch, "ip", "-batch", "-")); err != nil {
		port.close()
		return nil, err
	}
	h.ports = append(h.ports, port)
	return port, nil
}

// route sends what is not local to a gateway.
func (h *Host) route(v4, v6 netip.Addr) error {
	return h.ns.Run(fmt.Sprintf("route add default via %s\nroute add default via %s\n", v4, v6),
		"ip", "-batch", "-")
}

// openTAP makes an interface in the host's namespace.
func (h *Host) openTAP(name string) (p *port, err error) {
	err = h.ns.Do(func() error {
		p, err = openPort(name, h.offload)
		return err
	})
	return p, err
}

// Sysctl sets a parameter of this host alone.
func (h *Host) Sysctl(name, value string) error { return h.ns.Sysctl(name, value) }

// counter reads one of the host's counters: its table's file under /proc/net,
// the protocol and its name, as in "netstat", "TcpExt", "ListenOverflows".
func (h *Host) counter(file, protocol, event string) (n int, err error) {
	var text []byte
	err = h.ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/" + file)
		return err
	})
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, event); i >= 0 && i < len(fields) {
			return strconv.Atoi(fields[i])
		}
	}
	return 0, fmt.Errorf("%s: the kernel has no counter %s of %s", h.Name, event, protocol)
}

// ready waits until the kernel receives what is sent to the host's IPv6
// addresses. It puts their routes in later than they are set, by a worker that
// waits for the lock of all namespaces (addrconf_dad_work in net/ipv6/addrconf.c).
func (h *Host) ready(addrs ...netip.Addr) error {
	return h.ns.Do(func() error {
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			routes, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { // destination and its length, in hexadecimal
				return !strings.Contains("\n"+string(routes), fmt.Sprintf("\n%x 80 ", a.As16()))
			}) {
				return nil
			}
		}
		return fmt.Errorf("%s: the kernel has no route to %v", h.Name, addrs)
	})
}

// neighbour tells the host the hardware address of another's interface, so that
// nothing waits for it to be asked for: a first SYN that did would give its
// kernel a round-trip time of a second.
func (h *Host) neighbour(dev string, n byte, addrs ...netip.Addr) error {
	var batch strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&batch, "neigh replace %s lladdr %s dev %s nud permanent\n", a, mac(n), dev)
	}
	return h.ns.Run(batch.String(), "ip", "-batch", "-")
}

// further is the n-th further address of the host in a family, from 1. It is
// one that add gave to it.
func (h *Host) further(f Family, n int) netip.Addr {
	a := h.Addr(f)
	for range n {
		a = a.Next()
	}
	return a
}

// add gives the host so many further addresses of either family.
func (h *Host) add(n int) error {
	if n <= 0 {
		return nil
	}
	var batch strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&batch, "addr add %s/32 dev %s\naddr add %s/128 dev %s nodad\n",
			h.further(IPv4, i), ifname, h.further(IPv6, i), ifname)
	}
	return h.ns.Run(batch.String(), "ip", "-batch", "-")
}

// Addr is the host's address of a family.
func (h *Host) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return h.V6
	}
	return h.V4
}

// Close takes the interfaces away and lets go of the namespace.
func (h *Host) Close() {
	for _, p := range h.ports {
		p.close()
	}
	h.ns.Close()
}

// Family is an IP version. The zero value is none.
type Family uint8

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String is "v4" or "v6", as in the names of recordings.
func (f Family) String() string { return fmt.Sprintf("v%d", uint8(f)) }
