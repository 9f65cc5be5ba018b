package capture

import (
	"errors"
	"net/netip"
	"time"
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

const (
	defaultSnaplen   = 256
	defaultBufferKiB = 16 << 10
)

// The filters of live capture where none is given: TCP and the errors that
// ICMP reports about it. Not every link type knows VLAN tags.
const (
	DefaultFilter = "(tcp or icmp or icmp6) or (vlan and (tcp or icmp or icmp6))"
	plainFilter   = "tcp or icmp or icmp6"
)

const (
	// readTimeout is how long the kernel may collect packets before it hands
	// them over.
	readTimeout = 100 * time.Millisecond
	// settled is the age at which a packet must have been handed over.
	settled = 3 * readTimeout
	// idleAfter is the silence after which Next returns ErrIdle.
	idleAfter = 250 * time.Millisecond
)

// Interface is a network interface on which packets can be captured.
type Interface struct {
	Name        string
	Description string
	Addresses   []netip.Addr
	Up          bool
	Running     bool
	Loopback    bool
}
