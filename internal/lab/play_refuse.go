//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// refusals are the ways in which connections do not come to be.
func refusals() []Scenario {
	return []Scenario{
		{Name: "refused", Does: "The client connects to a port on which nothing listens.",
			Expect: []string{"connection-refused"}, Play: playRefused("")},
		{Name: "refused-behind-router", Does: "As refused, with a router between the hosts.", Router: true,
			Expect: []string{"connection-refused"}, Play: playRefused("")},
		{Name: "rejected-by-router-rst", Does: "The router's firewall answers the SYN with an RST in the server's name.", Router: true,
			Expect: []string{"connection-refused"}, ExpectServer: []string{}, Possible: []string{"connection-rejected"},
			Play: playRefused("tcp reset")}, // the same octets as the server's
		{Name: "rejected-by-router-icmp", Does: "The router's firewall answers the SYN with an ICMP error (administratively prohibited).", Router: true,
			Expect: []string{"connection-rejected"}, ExpectServer: []string{}, Play: playRefused("icmpx admin-prohibited")},
		{Name: "rejected-by-host-rst", Does: "The server's own firewall answers the SYN with an RST.",
			Expect: []string{"connection-refused"}, Play: playRejectedByHost("tcp reset")},
		{Name: "rejected-by-host-icmp", Does: "The server's own firewall answers the SYN with an ICMP error (port unreachable).",
			Expect: []string{"connection-rejected"}, Play: playRejectedByHost("icmpx port-unreachable")},
		{Name: "syn-blackholed", Repeats: true, Does: "The wire loses every SYN; the client gives up after eight in 19 s.",
			Expect: []string{"syn-unanswered"}, ExpectServer: []string{}, Play: playBlackholed},
		{Name: "synack-blackholed", Repeats: true, Does: "The wire loses every SYN-ACK; the client gives up after eight SYNs in 19 s.",
			Expect: []string{"syn-unanswered"}, Play: playSYNACKBlackholed},
		{Name: "syn-flood", Repeats: true, Does: "A hundred SYNs come from addresses that never answer.", Only: IPv4,
			Expect: []string{}, ExpectServer: []string{"syn-flood"}, Play: playFlood},
	}
}

// reject has a firewall reject what goes to the service.
func (b *Bench) reject(h *Host, hook, with string) {
	rules := fmt.Sprintf("table inet lab {\n chain c {\n  type filter hook %s priority 0;\n"+
		"  tcp dport %d reject with %s\n }\n}\n", hook, servicePort, with)
	b.Must(h.ns.Run(rules, "nft", "-f", "-"))
}

func playRefused(reject string) func(*Bench) {
	return func(b *Bench) {
		if reject != "" {
			b.reject(b.router, "forward", reject)
		}
		err := b.connectInVain(patience)
		if !strings.HasPrefix(reject, "icmp") && !errors.Is(err, syscall.ECONNREFUSED) {
			b.Fail("not refused: %w", err)
		}
	}
}

func playRejectedByHost(with string) func(*Bench) {
	return func(b *Bench) {
		b.Listen(-1)
		b.reject(b.Server, "input", with)
		b.connectInVain(patience)
	}
}

// connectInVain is a labelled connection that must fail within a time. It
// returns the failure.
func (b *Bench) connectInVain(wait time.Duration) error {
	port := b.NextPort()
	b.Label(port)
	_, err := b.Connect(port, wait)
	switch {
	case err == nil:
		b.Fail("connected")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		b.Fail("no answer within %v", wait)
	}
	return err
}

func playBlackholed(b *Bench) {
	b.Listen(-1)
	b.Tune(b.Client, "tcp_syn_retries", "3")
	b.Wire.Add(Blackhole(ToServer))
	b.connectInVain(2 * patience)
}

func playSYNACKBlackholed(b *Bench) {
	b.Listen(-1)
	b.Tune(b.Client, "tcp_syn_retries", "3")
	b.Tune(b.Server, "tcp_synack_retries", "3") // with 2 it gives up 11 s later, just when a SYN comes
	b.Wire.Add(Blackhole(ToClient))
	b.connectInVain(2 * patience)
	b.Sleep(6 * time.Second) // until the server has given up too
}

// playFlood injects SYNs behind the client: the answers find nobody.
func playFlood(b *Bench) {
	b.Tune(b.Server, "tcp_synack_retries", "2")
	port := b.NextPort()
	b.LabelAs(port, "A normal connection, open during the flood.")
	c, s := b.OpenFrom(b.Listen(-1), port)
	b.Talk(c, s)
	b.Must(b.Server.route(b.Client.V4, b.Client.V6)) // which does not forward
	for i := range 100 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), uint16(1024+i*7))
		b.label(from)
		syn := b.forge(ToServer, from, b.Service(), Forged{Flags: tcp.SYN, Seq: tcp.Seq(i * 7919), MSS: 1460})
		b.Must(b.Wire.Inject(ToServer, syn))
		b.Sleep(20 * time.Millisecond)
	}
	b.Sleep(7500 * time.Millisecond) // until the server has given up
	b.CloseClientFirst(c, s)
}
