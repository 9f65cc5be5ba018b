// Package capture turns capture files, standard input and live interfaces into
// frames with the numbers that Wireshark shows for them.
//
// In come pcap (every variant that Wireshark reads), pcapng and Sun snoop
// files, plain or compressed with gzip, zstd or xz and recognised by content,
// several of them merged in time order; or interfaces, through libpcap. Out go
// frames, one at a time and without a copy, and what is known of each source:
// format, link types, drops, damage.
//
// The package never decodes a frame, never writes a file, never sorts the
// frames of one source, and never allocates by a length that it has read: what
// grows, grows as bytes arrive. It is the only place of the program with cgo;
// built without it, files are read as ever, while live capture and filters
// return an error that says what they need.
package capture

import (
	"io"
	"strconv"
	"strings"
)

// Frame is one captured frame. Next fills it; Data points into the reader's
// memory and is valid until the next call of Next on the same reader.
type Frame struct {
	// At is the capture time in nanoseconds since 1970 UTC. A frame without a
	// time of its own (pcapng's Simple Packet Block) has that of the frame
	// before it in its source, or 0; Info counts such frames.
	At       int64
	File     int    // index of its source
	Number   uint64 // Wireshark's frame number in that source, from 1
	Iface    int    // pcapng: index of the interface over all sections; otherwise 0
	LinkType uint16 // LINKTYPE_ value, as in the file
	WireLen  uint32 // length on the wire; Data may be shorter
	Data     []byte
}

// Reader yields frames. Next returns io.EOF when there are no more; what went
// wrong before the end stands in the Info of the source. A live reader's Next
// also returns ErrIdle.
type Reader interface {
	Next(f *Frame) error
	Close() error
}

// Options says how to open a source; its zero value is good for files.
type Options struct {
	Stdin  io.Reader // what the name "-" reads; nil makes that name an error
	SHA256 bool      // hash the input's bytes, which then is read to its end
}

// Info is what is known of a source. Counts and times are of what has been
// read so far.
type Info struct {
	Name string
	// Format is the file format, then "+" and the compression if there is one:
	// "pcap" (microseconds), "pcap-ns", "pcap-modified" and "pcap-nokia" (records with
	// extra fields), "pcap-aix", "pcapng", "snoop", "pcapng+gzip", "pcap+zstd",
	// "snoop+xz"; "live" for an interface.
	Format    string
	LinkTypes []uint16 // distinct, in order of appearance
	Filter    string   // live, the one that the interface has
	SnapLen   uint32   // the largest of its interfaces; 0 is unlimited or unknown
	Packets   uint64
	// Others counts records that take a frame number and hold no packet, such
	// as pcapng's Custom Blocks. Next does not return them.
	Others  uint64
	Untimed uint64 // packets without a time of their own
	// Bytes is a file's size, or what was read of a pipe; live, the captured
	// bytes. Compressed input counts as it is.
	Bytes int64
	// First and Last are the earliest and the latest capture time, which need
	// not be those of the first and the last packet. Both are 0 if no packet
	// has a time.
	First, Last int64
	// End is the time until which the capture ran by its own account (pcapng's
	// Interface Statistics Blocks), 0 if it does not say. An account of more
	// than a year past the last packet is not believed.
	End     int64
	Drops   uint64  // packets that the capturing kernel or interface lost,
	Counted bool    // where the source keeps an account of them, on whichever interface
	Damage  *Damage // why reading stopped before the end; nil if it did not
	SHA256  string  // in hex, when asked for and the input was read to its end
}

// Damage says where a source could be read no further. The frames before it
// are good.
type Damage struct {
	Name string // of the source
	// Frame is the number of the frame that could not be read or, when what
	// is damaged is not a frame, of the one before (0 if none).
	Frame uint64
	Text  string // the cause in words, with the frame: "file ends inside frame 88,120"
	Err   error  // the error underneath, if there was one
	cut   bool   // there are no more bytes, rather than wrong ones
}

// Error is the name of the source and the cause.
func (d *Damage) Error() string { return called(d.Name) + ": " + d.Text }

// Unwrap returns the error underneath, or nil.
func (d *Damage) Unwrap() error { return d.Err }

// Times are kept within ±2^62 ns (1823 to 2116), so that a durations' sum
// with a damaged time does not wrap around.
const maxTime = 1 << 62

func clampTime(ns int64) int64 { return min(max(ns, -maxTime), maxTime) }

// maxRecord is the longest frame that is believed of a link type, Wireshark's
// limit: a longer one means that the length is damaged.
func maxRecord(linkType uint16) uint32 {
	switch linkType {
	case 189, 220, 249, 266, // USB on Linux, USBPcap, USB on macOS
		231, // D-Bus
		279: // Ethernet, encapsulated for hardware tests (EBHSCR)
		return maxLongRecord
	}
	return 256 << 10
}

// maxLongRecord bounds the link types whose frames may be long, and a declared
// snapshot length that is to be believed.
const maxLongRecord = 128 << 20

// recordLimit is the longest believable record where the source declares snap
// as its snapshot length.
func recordLimit(linkType uint16, snap uint32) uint32 {
	limit := maxRecord(linkType)
	if snap > limit && snap <= maxLongRecord {
		return snap
	}
	return limit
}

// grouped writes n with thousands separators.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	if len(s) <= 3 {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
