//go:build linux

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/lastack/lastack/reassembly/tcp"
)

// Forged is a segment that no kernel made.
type Forged struct {
	Flags    tcp.Flags
	Seq, Ack tcp.Seq
	TTL      uint8 // zero is 64
	Len      int   // of a payload of zeros
	MSS      uint16
}

// mac is the hardware address of the n-th host.
func mac(n byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0, 0, 0, 0, n} }

// Forge makes a frame that goes a direction of a network without a router, as
// if the connection's host at its beginning had sent it.
func (b *Bench) Forge(d Dir, port uint16, s Forged) []byte {
	if d == ToClient {
		return b.forge(d, b.Service(), b.At(port), s)
	}
	return b.forge(d, b.At(port), b.Service(), s)
}

func (b *Bench) forge(d Dir, from, to netip.AddrPort, s Forged) []byte {
	ether := layers.Ethernet{SrcMAC: mac(clientNumber), DstMAC: mac(serverNumber)}
	if d == ToClient {
		ether.SrcMAC, ether.DstMAC = ether.DstMAC, ether.SrcMAC
	}
	raw, err := craft(ether, from, to, s)
	b.Must(err)
	return raw
}

func craft(ether layers.Ethernet, from, to netip.AddrPort, s Forged) ([]byte, error) {
	if s.TTL == 0 {
		s.TTL = 64
	}
	seg := layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()),
		Seq: uint32(s.Seq), Ack: uint32(s.Ack), Window: 64240,
		SYN: s.Flags.Has(tcp.SYN), FIN: s.Flags.Has(tcp.FIN), RST: s.Flags.Has(tcp.RST),
		ACK: s.Flags.Has(tcp.ACK), PSH: s.Flags.Has(tcp.PSH),
	}
	if s.MSS != 0 {
		seg.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4,
			OptionData: []byte{byte(s.MSS >> 8), byte(s.MSS)}}}
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	}
	if from.Addr().Is4() {
		ether.EthernetType = layers.EthernetTypeIPv4
		ip = &layers.IPv4{Version: 4, TTL: s.TTL, Protocol: layers.IPProtocolTCP,
			SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	} else {
		ether.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: s.TTL, NextHeader: layers.IPProtocolTCP,
			SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	}
	if err := seg.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, &ether, ip, &seg, gopacket.Payload(make([]byte, s.Len))); err != nil {
		return nil, fmt.Errorf("forging a segment: %w", err)
	}
	return buf.Bytes(), nil
}

// SendRaw has a host send a frame past its own TCP, as a scanner does.
func (h *Host) SendRaw(raw []byte) error {
	return h.ns.Do(func() error {
		iface, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening a packet socket: %w", err)
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, raw, 0, &unix.SockaddrLinklayer{Ifindex: iface.Index})
	})
}

// Vanish ends a socket without a word to the peer, as the loss of a machine
// does (TCP_REPAIR, of which the kernel's checkpoints are made). Before that it
// leaves time for an acknowledgement that is held back.
func (b *Bench) Vanish(c *net.TCPConn) {
	b.Sleep(150 * time.Millisecond)
	b.Must(SetOption(c, SockOpt(unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON)))
	b.Close(c)
}

// Of linux/tcp.h, which the unix package lacks.
const sendQueue = 2 // TCP_SEND_QUEUE

// ISN chooses a socket's initial sequence number.
func ISN(seq tcp.Seq) Option {
	return func(fd int) error {
		for _, o := range [][2]int{
			{unix.TCP_REPAIR, unix.TCP_REPAIR_ON},
			{unix.TCP_REPAIR_QUEUE, sendQueue},
			{unix.TCP_QUEUE_SEQ, int(seq)},
			{unix.TCP_REPAIR, unix.TCP_REPAIR_OFF},
		} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o[0], o[1]); err != nil {
				return fmt.Errorf("choosing the initial sequence number: %w", err)
			}
		}
		return nil
	}
}
