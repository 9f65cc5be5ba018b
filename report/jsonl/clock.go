package jsonl

import (
	"encoding/binary"
	"time"
)

// clock writes times. Those of a line lie close together: what they have in
// common with the one before is kept, and as a rule only the decimals are made
// anew. A clock lives for one line, or for lines that follow each other.
type clock struct {
	midnight int64    // ns since 1970 at which the day of text begins
	second   int64    // and the second of hms
	text     [32]byte // a time as it is written, right in its date
	hms      uint64   // "22:13:20", the first character in the lowest octet
}

const (
	secondNS = 1e9
	dayNS    = 24 * 60 * 60 * secondNS
)

// epoch is how clocks begin: at 1970.
var epoch = func() (c clock) {
	copy(c.text[:], `"1970-01-01T00:00:00.000000000Z"`)
	c.hms = binary.LittleEndian.Uint64(c.text[len(`"1970-01-01T`):])
	return c
}()

// append appends a time in quotes, with nine decimals: ns since 1970 UTC, of a
// day that begins within an int64, so after 1677-09-21. No capture has others.
func (c *clock) append(b []byte, ns int64) []byte {
	if ns < c.second || uint64(ns-c.second) >= secondNS {
		c.turn(ns)
	}
	n := uint32(ns - c.second)
	b = append(b, c.text[:]...)
	t := (*[len(c.text)]byte)(b[len(b)-len(c.text):])
	binary.LittleEndian.PutUint64(t[len(`"1970-01-01T`):], c.hms)
	binary.LittleEndian.PutUint64(t[len(`"1970-01-01T00:00:00.`):], eightDigits(n/10)+asciiZeros)
	t[len(`"1970-01-01T00:00:00.00000000`)] = byte('0' + n%10)
	return b
}

// turn sets the clock to the second of a time.
func (c *clock) turn(ns int64) {
	if ns < c.midnight || uint64(ns-c.midnight) >= dayNS {
		c.turnDay(ns)
	}
	s := uint32(uint64(ns-c.midnight) / secondNS)
	c.second = c.midnight + int64(s)*secondNS
	const colons = (':'-'0')<<(2*8) | (':'-'0')<<(5*8)
	c.hms = eightDigits(s/3600*1e6+s/60%60*1e3+s%60) + asciiZeros + colons
}

// turnDay sets the date.
func (c *clock) turnDay(ns int64) {
	day := ns / dayNS
	if ns%dayNS < 0 {
		day--
	}
	c.midnight = day * dayNS
	year, month, dom := time.Unix(0, ns).UTC().Date()
	n := eightDigits(uint32(year)*1e4+uint32(month)*1e2+uint32(dom)) + asciiZeros
	binary.LittleEndian.PutUint32(c.text[len(`"`):], uint32(n))
	binary.LittleEndian.PutUint16(c.text[len(`"1970-`):], uint16(n>>32))
	binary.LittleEndian.PutUint16(c.text[len(`"1970-01-`):], uint16(n>>48))
}
