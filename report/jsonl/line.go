package jsonl

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/lastack/lastack/reassembly/tcp"
)

// line builds one line by appending. There is one flow line for a dozen
// packets, and encoding/json would cost more than their analysis. A test holds
// the two to the same bytes.
//
// The methods take the key together with the punctuation around it, and most
// leave what closes their value to the next key: each text that is constant is
// appended as one.
type line []byte

func (b line) raw(s string) line           { return append(b, s...) }
func (b line) num(k string, n uint64) line { return appendUint(append(b, k...), n) }
func (b line) int(k string, n int64) line  { return strconv.AppendInt(append(b, k...), n, 10) }
func (b line) bool(k string, v bool) line  { return strconv.AppendBool(append(b, k...), v) }

func (b line) time(k string, c *clock, t int64) line { return c.append(append(b, k...), t) }

// packet appends the packet without its closing brace; k ends in `{"file":`.
func (b line) packet(k string, r tcp.PacketRef) line {
	return appendUint(append(b, k...), uint64(r.File())).num(`,"frame":`, r.Frame())
}

// id appends the name of a flow, without quotes.
func (b line) id(r tcp.PacketRef) line { return appendUint(b, uint64(r.File())).num(":", r.Frame()) }

// some leaves out what is zero.
func (b line) some(k string, n int64) line {
	if n == 0 {
		return b
	}
	return b.int(k, n)
}

// float leaves out what is no number.
func (b line) float(k string, v float64) line {
	text, err := json.Marshal(v)
	if err != nil {
		return b
	}
	return append(append(b, k...), text...)
}

// text appends any string, in quotes and escaped.
func (b line) text(k, s string) line {
	b = append(b, k...)
	quoted := append(append(append(b, '"'), s...), '"')
	if plainText(quoted[len(b)+1 : len(quoted)-1]) {
		return quoted
	}
	return append(b, escaped(s)...)
}

// plainText reports that nothing in s may need escaping. It looks at eight
// octets at once: a subtraction sets the highest bit of those that are too
// small, or no different from a character.
func plainText(s []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := binary.LittleEndian.Uint64(s)
		if (x|(x-' '*each)|(x^'"'*each-each)|(x^'\\'*each-each))&high != 0 {
			return false
		}
	}
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// escaped is s as encoding/json writes it, with its quotes.
func escaped(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // every string can be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// noComma takes back the comma after the last element of a list.
func (b line) noComma() line {
	if n := len(b) - 1; b[n] == ',' {
		return b[:n]
	}
	return b
}

// appendUint does what strconv.AppendUint does in base 10, without a copy of
// the digits. Between the two bounds no branch depends on how many there are:
// in one line they are of all lengths.
func appendUint(b line, n uint64) line {
	switch {
	case n < 10:
		return append(b, byte('0'+n))
	case n >= 1e8:
		b = appendUint(b, n/1e8)
		return binary.LittleEndian.AppendUint64(b, eightDigits(uint32(n%1e8))+asciiZeros)
	}
	d := eightDigits(uint32(n))
	zeros := bits.TrailingZeros64(d) / 8 // octets in front
	b = binary.LittleEndian.AppendUint64(b, (d+asciiZeros)>>(zeros*8&63))
	return b[:len(b)-zeros]
}

// asciiZeros makes characters of digits.
const asciiZeros = 0x3030303030303030

// eightDigits splits n, below 1e8, into its decimal digits, one an octet and the
// first in the lowest. It divides all parts of a number at once, by factors
// whose products stay within their part.
func eightDigits(n uint32) uint64 {
	fours := uint64(n/1e4) | uint64(n%1e4)<<32
	q := fours * 10486 >> 20 & 0x0000007f_0000007f // each by 100
	twos := q | (fours-q*100)<<16
	q = twos * 103 >> 10 & 0x000f_000f_000f_000f // each by 10
	return q | (twos-q*10)<<8
}
