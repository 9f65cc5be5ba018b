//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Network is two hosts on a wire, or with a router between the wire and the
// server, and a capture running on each host that was asked for.
type Network struct {
	Client, Server *Host
	Wire           *Wire // at the client

	router    *Host // nil without one
	lan       *Wire // from the router to the server
	recorders []*Recorder
}

// Subnet is a subnet of each family.
type Subnet struct{ V4, V6 netip.Prefix }

// host is the n-th host of the subnet, with the subnets' lengths.
func (s Subnet) host(n byte) Subnet { return Subnet{numbered(s.V4, n), numbered(s.V6, n)} }

func numbered(p netip.Prefix, n byte) netip.Prefix {
	raw := p.Masked().Addr().AsSlice()
	raw[len(raw)-1] |= n
	a, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(a, p.Bits())
}

// The hosts' numbers in their subnets.
const (
	routerNumber = 1
	lanNumber    = 2 // the router's other interface
	serverNumber = 5
	clientNumber = 11
)

// NetworkConfig is what a network is made of.
type NetworkConfig struct {
	Client Subnet
	// Server is the server's subnet, behind a router; the zero value puts the
	// server into the client's.
	Server Subnet
	OneWay time.Duration // delay of the wire in each direction
	// Offload has the two hosts leave segments uncut and checksums undone, and
	// the wire do both.
	Offload bool
}

// NewNetwork makes the hosts and joins them.
func NewNetwork(c NetworkConfig) (*Network, error) {
	n := &Network{}
	if err := n.build(c); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Network) build(c NetworkConfig) (err error) {
	routed := c.Server != Subnet{}
	if !routed {
		c.Server = c.Client
	}
	if n.Client, err = newHost("client", c.Client.host(clientNumber), clientNumber, c.Offload); err != nil {
		return err
	}
	if n.Server, err = newHost("server", c.Server.host(serverNumber), serverNumber, c.Offload); err != nil {
		return err
	}
	if routed {
		return n.join(c)
	}
	n.Wire = newWire(n.Client.port, n.Server.port, c.OneWay)
	return errors.Join(
		n.Client.neighbour(ifname, serverNumber, n.Server.V4, n.Server.V6),
		n.Server.neighbour(ifname, clientNumber, n.Client.V4, n.Client.V6),
		n.Client.ready(n.Client.V6),
		n.Server.ready(n.Server.V6),
	)
}

// furtherClients gives the client so many further addresses.
func (n *Network) furtherClients(count int) error {
	err := n.Client.add(count)
	for i := 1; i <= count && err == nil; i++ {
		err = errors.Join(n.Client.ready(n.Client.further(IPv6, i)),
			n.Server.neighbour(ifname, clientNumber, n.Client.further(IPv4, i), n.Client.further(IPv6, i)))
	}
	return err
}

// join puts a router between the wire and the server.
func (n *Network) join(c NetworkConfig) (err error) {
	near, far := c.Client.host(routerNumber), c.Server.host(lanNumber)
	if n.router, err = newHost("router", near, routerNumber, false); err != nil {
		return err
	}
	lan, err := n.router.addInterface("lan", far, lanNumber)
	if err != nil {
		return err
	}
	n.Wire = newWire(n.Client.port, n.router.port, c.OneWay)
	n.lan = newWire(lan, n.Server.port, 0)
	return errors.Join(
		n.router.Sysctl("net.ipv4.ip_forward", "1"),
		n.router.Sysctl("net.ipv6.conf.all.forwarding", "1"),
		n.Client.neighbour(ifname, routerNumber, near.V4.Addr(), near.V6.Addr()),
		n.Server.neighbour(ifname, lanNumber, far.V4.Addr(), far.V6.Addr()),
		n.router.neighbour(ifname, clientNumber, n.Client.V4, n.Client.V6),
		n.router.neighbour("lan", serverNumber, n.Server.V4, n.Server.V6),
		n.Client.route(near.V4.Addr(), near.V6.Addr()),
		n.Server.route(far.V4.Addr(), far.V6.Addr()),
		n.Client.ready(n.Client.V6),
		n.Server.ready(n.Server.V6),
		n.router.ready(near.V6.Addr(), far.V6.Addr()),
	)
}

// serverWire is the wire that ends at the server.
func (n *Network) serverWire() *Wire {
	if n.lan != nil {
		return n.lan
	}
	return n.Wire
}

// Capture begins to record a host's interface into a file.
func (n *Network) Capture(h *Host, path string, snaplen int) error {
	r, err := newRecorder(h, path, snaplen)
	if err != nil {
		return err
	}
	n.recorders = append(n.recorders, r)
	return nil
}

// mark sends each host a frame that no stack understands, of the EtherType
// that IEEE Std 802 leaves to local experiments. A capture that ends with it
// ran until then, although TCP was silent.
func (n *Network) mark() error {
	frame := append(bytes.Repeat([]byte{0xff}, 6), 0x02, 0, 0, 0, 0, 0x99, 0x88, 0xb5)
	frame = append(frame, make([]byte, 60-len(frame))...)
	var errs []error
	for _, h := range []*Host{n.Client, n.Server} {
		errs = append(errs, h.port.write(frame))
	}
	return errors.Join(errs...)
}

// Close ends the captures, then takes the network away, so that what the
// hosts do when their sockets vanish is in no file.
func (n *Network) Close() error {
	var errs []error
	for _, r := range n.recorders {
		if err := r.Close(); err != nil {
			errs = append(errs, fmt.Errorf("ending a capture: %w", err))
		}
	}
	for _, h := range []*Host{n.Client, n.router, n.Server} {
		if h != nil {
			h.Close()
		}
	}
	for _, w := range []*Wire{n.Wire, n.lan} {
		if w != nil {
			errs = append(errs, w.wait())
		}
	}
	return errors.Join(errs...)
}
