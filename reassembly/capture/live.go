package capture

import (
	"errors"
	"net/netip"
)

// ErrIdle is what the Next of a live reader returns when no frame has come for
// a while. The frame's At then is a time of which it is certain that every
// frame captured before it has been returned; nothing else in it is set.
var ErrIdle = errors.New("no frame has arrived")

// LiveOptions says how to capture; its zero value stands for the defaults.
type LiveOptions struct {
	Snaplen       int    // octets of each frame; 256 if 0
	BufferKiB     int    // of the kernel's buffer, for each interface; 16384 if 0
	NoPromiscuous bool   // leave out what is not for this host
	Filter        string // pcap-filter(7) expression; DefaultFilter if ""
}

// DefaultFilter is the filter of live capture where none is given: TCP and the
// errors that ICMP reports about it. Where the link type knows no VLAN tags, it
// is without them.
const DefaultFilter = "(tcp or icmp or icmp6) or (vlan and (tcp or icmp or icmp6))"

// Interface is a network interface on which packets can be captured.
type Interface struct {
	Name        string
	Description string
	Addresses   []netip.Addr
	Up          bool
	Running     bool
	Loopback    bool
}
