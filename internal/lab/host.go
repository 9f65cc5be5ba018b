//go:build linux

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// ifname is the name of a host's only network interface.
const ifname = "eth0"

// Host is one of the two machines: a namespace with a TAP interface whose
// other end is held by the wire.
type Host struct {
	Name   string // "client" or "server"
	V4, V6 netip.Addr

	ns   *Namespace
	port *os.File // the wire's end of the interface: one frame per read or write
	mac  net.HardwareAddr
}

// hostConfig is what a host is made of.
type hostConfig struct {
	name   string
	v4, v6 netip.Prefix
	mac    net.HardwareAddr
}

// newHost makes a namespace with an interface that is up and addressed.
func newHost(c hostConfig) (*Host, error) {
	ns, err := NewNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{Name: c.name, V4: c.v4.Addr(), V6: c.v6.Addr(), ns: ns, mac: c.mac}
	if err := h.configure(c); err != nil {
		h.Close()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return h, nil
}

func (h *Host) configure(c hostConfig) error {
	if err := h.openTAP(); err != nil {
		return err
	}
	quiet := [][2]string{ // addresses at once, and no chatter of IPv6's own
		{"net.ipv6.conf." + ifname + ".accept_dad", "0"},
		{"net.ipv6.conf." + ifname + ".addr_gen_mode", "1"},
		{"net.ipv6.conf." + ifname + ".router_solicitations", "0"},
	}
	for _, s := range quiet {
		if err := h.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	batch := fmt.Sprintf("link set dev lo up\nlink set dev %[1]s address %[2]s up\n"+
		"addr add %[3]s dev %[1]s\naddr add %[4]s dev %[1]s nodad\n", ifname, c.mac, c.v4, c.v6)
	return h.ns.Run(batch, "ip", "-batch", "-")
}

// openTAP makes the interface. It carries Ethernet frames without offloads,
// so that captures hold whole segments with their true checksums.
func (h *Host) openTAP() error {
	return h.ns.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(ifname)
		if err == nil {
			req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("making a TAP interface: %w", err)
		}
		h.port = os.NewFile(uintptr(fd), "tap")
		return nil
	})
}

// Sysctl sets a parameter of this host alone.
func (h *Host) Sysctl(name, value string) error { return h.ns.Sysctl(name, value) }

// Addr is the host's address of a family.
func (h *Host) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return h.V6
	}
	return h.V4
}

// Close takes the interface away and lets go of the namespace.
func (h *Host) Close() {
	if h.port != nil {
		h.port.Close()
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
