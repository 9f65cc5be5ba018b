// Package traffic writes captures of made-up TCP connections, for measuring:
// as many packets as wanted, in time order, the same bytes for the same seed.
//
// In goes a Config that says how many connections of which kind; out comes a
// capture file on an io.Writer, and a count of what was put into it, so that a
// reader of the file can be held to account. Every length and checksum is
// right; headers look as Linux writes them. Ports are none that analysers
// dissect further, so that a peer is measured by its work on TCP alone.
//
// It never reads a clock, and it holds one record for each connection that is
// open, not the capture.
package traffic

import (
	"fmt"
	"io"
)

// Format is a file format.
type Format uint8

// The formats.
const (
	Pcap   Format = 1 + iota // microseconds
	Pcapng                   // nanoseconds
)

// Shape is what the connections do.
type Shape uint8

// The shapes.
const (
	Web   Shape = 1 + iota // requests and responses of 8 to 20 packets, some of which end badly
	Bulk                   // a few long transfers
	Flood                  // one SYN each, from everywhere
	Held                   // all open at once, then all closed
)

// Config says what to write.
type Config struct {
	Shape       Shape
	Format      Format
	Connections int
	Snaplen     int // octets kept of each frame; 0 keeps all
	Seconds     int // of event time within which connections begin
	Seed        uint64
}

// Fate is how a connection is made to end, and what lastack must say of it.
type Fate uint8

// The fates.
const (
	Orderly    Fate = 1 + iota // both sides closed
	HalfClosed                 // one side never did
	Reset                      // an RST ended it
	Refused                    // an RST answered the SYN
	Unanswered                 // nothing answered the SYN
	fates
)

// Totals is what was written.
type Totals struct {
	Packets     uint64
	Connections uint64
	Bytes       uint64 // of the file
	Fates       [fates]uint64
}

// named is the captures of performance measurements at full size.
var named = []struct {
	name string
	Config
}{
	{"mix", Config{Shape: Web, Format: Pcap, Connections: 450_000, Seconds: 240}},
	{"headers", Config{Shape: Web, Format: Pcap, Connections: 800_000, Seconds: 240, Snaplen: 96}},
	{"headers-ng", Config{Shape: Web, Format: Pcapng, Connections: 800_000, Seconds: 240, Snaplen: 96}},
	{"bulk", Config{Shape: Bulk, Format: Pcap, Connections: 200, Seconds: 10}},
	{"flood", Config{Shape: Flood, Format: Pcap, Connections: 5_000_000, Seconds: 60}},
	{"concurrent", Config{Shape: Held, Format: Pcap, Connections: 2_000_000, Seconds: 60, Snaplen: 96}},
}

// Names lists the captures that Named knows.
func Names() []string {
	var out []string
	for _, n := range named {
		out = append(out, n.name)
	}
	return out
}

// Named is a capture of the list, with scale times its connections.
func Named(name string, scale float64) (Config, error) {
	for _, n := range named {
		if n.name == name {
			c := n.Config
			c.Seed = 1
			c.Connections = max(1, int(float64(c.Connections)*scale))
			return c, nil
		}
	}
	return Config{}, fmt.Errorf("there is no capture %q; there are %v", name, Names())
}

// Write writes the capture. The error is that of w, or says what is wrong with
// the Config.
func (c Config) Write(w io.Writer) (Totals, error) {
	switch {
	case c.Shape < Web || c.Shape > Held:
		return Totals{}, fmt.Errorf("no shape is %d", c.Shape)
	case c.Format < Pcap || c.Format > Pcapng:
		return Totals{}, fmt.Errorf("no format is %d", c.Format)
	case c.Connections < 1 || c.Seconds < 1 || c.Snaplen < 0:
		return Totals{}, fmt.Errorf("%d connections in %d seconds at snaplen %d", c.Connections, c.Seconds, c.Snaplen)
	}
	g := newGenerator(c, w)
	g.run()
	g.out.flush()
	g.totals.Bytes, g.totals.Packets = g.out.bytes, g.out.packets
	return g.totals, g.out.err
}
