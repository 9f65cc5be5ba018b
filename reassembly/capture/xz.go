package capture

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads the container of the .xz format (version 1.0.4 of its
// specification, to whose sections the comments refer), several streams after
// each other included. The container is read here, and only LZMA2 by the
// library, because the library's reader takes as much memory for a dictionary
// as one byte of any block header asks for, up to 4 GiB.
type xzReader struct {
	in    *bufio.Reader
	n     int64 // bytes of in read so far
	start int64 // n at the begin of the block's data
	check byte  // id of the check in the stream flags
	block io.Reader
	sum   hash.Hash // of the block; nil if the check is none or unknown
}

var xzMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}

var errXZ = errors.New("not as the format demands")

func newXZReader(br *bufio.Reader) (*xzReader, error) {
	x := &xzReader{in: br}
	return x, x.streamHeader()
}

// Read yields decompressed bytes.
func (x *xzReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if x.block == nil {
			if err := x.nextBlock(); err != nil {
				return 0, err
			}
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if err == io.EOF {
			x.block = nil
			err = x.endBlock()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// counted lets the LZMA2 reader take bytes and counts them.
type counted struct{ x *xzReader }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.x.in.Read(p)
	c.x.n += int64(n)
	return n, err
}

func (c counted) ReadByte() (byte, error) {
	b, err := c.x.in.ReadByte()
	if err == nil {
		c.x.n++
	}
	return b, err
}

// full reads p whole; an end inside it is unexpected.
func (x *xzReader) full(p []byte) error {
	n, err := io.ReadFull(x.in, p)
	x.n += int64(n)
	return cutOff(err)
}

// streamHeader reads section 2.1.1.
func (x *xzReader) streamHeader() error {
	var h [12]byte
	if err := x.full(h[:]); err != nil {
		return err
	}
	if !bytes.Equal(h[:6], xzMagic) || h[6] != 0 || h[7] > 15 ||
		crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]) {
		return fmt.Errorf("stream header: %w", errXZ)
	}
	x.check = h[7]
	return nil
}

// nextBlock reads a block's header (section 3.1) and starts its data; io.EOF
// when the last stream has ended.
func (x *xzReader) nextBlock() error {
	var h [1024]byte
	for {
		if err := x.full(h[:1]); err != nil {
			return err
		}
		if h[0] != 0 {
			break
		}
		if err := x.endStream(); err != nil {
			return err
		}
	}
	size := (int(h[0]) + 1) * 4
	if err := x.full(h[1:size]); err != nil {
		return err
	}
	if crc32.ChecksumIEEE(h[:size-4]) != binary.LittleEndian.Uint32(h[size-4:size]) {
		return fmt.Errorf("block header: %w", errXZ)
	}
	dict, err := xzDictionary(h[1 : size-4])
	if err != nil {
		return err
	}
	x.sum = xzCheck(x.check)
	x.start = x.n
	x.block, err = lzma.Reader2Config{DictCap: dict}.NewReader2(counted{x})
	return err
}

// xzDictionary returns the size of the dictionary that a block header wants.
// h begins with the block flags.
func xzDictionary(h []byte) (int, error) {
	bad := fmt.Errorf("block header: %w", errXZ)
	flags := h[0]
	h = h[1:]
	for _, present := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&present != 0 {
			_, n := binary.Uvarint(h)
			if n <= 0 {
				return 0, bad
			}
			h = h[n:]
		}
	}
	if flags&3 != 0 || len(h) < 3 || h[0] != 0x21 {
		return 0, errors.New("a filter other than LZMA2 is used: decompress it first")
	}
	if h[1] != 1 || h[2] > 40 {
		return 0, bad
	}
	// Section 5.3.1: 2 or 3 times a power of two, from 4 KiB.
	dict := int64(2|h[2]&1) << (h[2]/2 + 11)
	if dict > maxWindow {
		return 0, fmt.Errorf("its dictionary is above %d MiB: decompress it first", maxWindow>>20)
	}
	return int(dict), nil
}

// endBlock reads the padding (section 3.3) and verifies the check (3.4).
func (x *xzReader) endBlock() error {
	var b [64]byte
	if err := x.full(b[:-(x.n-x.start)&3]); err != nil {
		return err
	}
	want := b[:xzCheckSize(x.check)]
	if err := x.full(want); err != nil {
		return err
	}
	if x.sum == nil {
		return nil
	}
	got := x.sum.Sum(nil)
	if x.check != xzSHA256 { // CRCs are stored little-endian
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return errors.New("wrong checksum")
	}
	return nil
}

// endStream skips the index after its first byte (section 4) and the footer
// (2.1.2), then begins the next stream; io.EOF if there is none.
func (x *xzReader) endStream() error {
	begin := x.n - 1
	records, err := binary.ReadUvarint(counted{x})
	for ; err == nil && records > 0; records-- {
		if _, err = binary.ReadUvarint(counted{x}); err == nil {
			_, err = binary.ReadUvarint(counted{x})
		}
	}
	if err != nil {
		return cutOff(err)
	}
	var b [19]byte
	rest := b[:-(x.n-begin)&3+4+12] // padding, checksum, footer
	if err := x.full(rest); err != nil {
		return err
	}
	if !bytes.HasSuffix(rest, []byte("YZ")) {
		return fmt.Errorf("stream footer: %w", errXZ)
	}
	for {
		next, err := x.in.Peek(4)
		if err != nil {
			if err == io.EOF && len(next) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		if !bytes.Equal(next, []byte{0, 0, 0, 0}) { // section 2.2: stream padding
			return x.streamHeader()
		}
		x.in.Discard(4)
	}
}

// The checks of section 2.1.1.2 that are verified.
const (
	xzCRC32  = 1
	xzCRC64  = 4
	xzSHA256 = 10
)

func xzCheck(id byte) hash.Hash {
	switch id {
	case xzCRC32:
		return crc32.NewIEEE()
	case xzCRC64:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case xzSHA256:
		return sha256.New()
	}
	return nil
}

// xzCheckSize is the size of a check: none, then three ids each of 4 to 64.
func xzCheckSize(id byte) int {
	if id == 0 {
		return 0
	}
	return 4 << ((id - 1) / 3)
}
