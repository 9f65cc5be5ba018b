//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Network is two hosts on a wire, with a capture running on each of them that
// was asked for.
type Network struct {
	Client, Server *Host
	Wire           *Wire

	recorders []*Recorder
}

// NetworkConfig is what a network is made of.
type NetworkConfig struct {
	V4, V6 netip.Prefix  // subnets; the client is host 11, the server host 5
	OneWay time.Duration // delay of the wire in each direction
}

// NewNetwork makes two hosts and joins them.
func NewNetwork(c NetworkConfig) (*Network, error) {
	client, err := newHost(hostConfig{"client", numbered(c.V4, 11), numbered(c.V6, 11),
		net.HardwareAddr{0x02, 0, 0, 0, 0, 0x11}})
	if err != nil {
		return nil, err
	}
	server, err := newHost(hostConfig{"server", numbered(c.V4, 5), numbered(c.V6, 5),
		net.HardwareAddr{0x02, 0, 0, 0, 0, 0x05}})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &Network{Client: client, Server: server, Wire: newWire(client, server, c.OneWay)}, nil
}

// numbered is the n-th address of a subnet.
func numbered(p netip.Prefix, n byte) netip.Prefix {
	raw := p.Masked().Addr().AsSlice()
	raw[len(raw)-1] |= n
	a, _ := netip.AddrFromSlice(raw)
	return netip.PrefixFrom(a, p.Bits())
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

// Close ends the captures, then takes the network away, so that what the
// hosts do when their sockets vanish is in no file.
func (n *Network) Close() error {
	var errs []error
	for _, r := range n.recorders {
		if err := r.Close(); err != nil {
			errs = append(errs, fmt.Errorf("ending a capture: %w", err))
		}
	}
	n.Client.Close()
	n.Server.Close()
	n.Wire.wait()
	return errors.Join(errs...)
}
