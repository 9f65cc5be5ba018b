package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that compressed data may ask for: the window of
// zstd (its command line refuses more, too) and the dictionary of xz (xz -9
// takes 64 MiB).
const maxWindow = 128 << 20

// decompress looks at the first bytes and returns a reader of what they
// compress and the compression's name, or br itself and "".
func decompress(br *bufio.Reader) (io.Reader, string, error) {
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		r, err := newGzipReader(br)
		return r, "gzip", err
	case isZstd(magic):
		r, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		return r, "zstd", err
	case bytes.HasPrefix(magic, xzMagic):
		r, err := newXZReader(br)
		return r, "xz", err
	}
	return br, "", nil
}

// isZstd reports whether a zstd frame begins here, or a skippable one as some
// writers put in front (RFC 8878 §3.1).
func isZstd(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	m := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
	return m == 0xfd2fb528 || m&^0xf == 0x184d2a50
}

// gzipReader reads the members of a gzip file one after the other (RFC 1952
// §2.2). Zeros after the last one are the padding of a tape or a block device.
type gzipReader struct {
	br *bufio.Reader
	z  *gzip.Reader
}

var errAfterGzip = errors.New("bytes follow that are not gzip data")

func newGzipReader(br *bufio.Reader) (*gzipReader, error) {
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, cutOff(err)
	}
	z.Multistream(false)
	return &gzipReader{br: br, z: z}, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if err := g.nextMember(); err != nil {
			return 0, err
		}
	}
}

// nextMember begins the next member; io.EOF when there is none.
func (g *gzipReader) nextMember() error {
	for padded := false; ; padded = true {
		b, err := g.br.Peek(2)
		if len(b) == 0 {
			return err
		}
		if b[0] == 0 {
			g.br.Discard(1)
			continue
		}
		if padded || b[0] != 0x1f || len(b) > 1 && b[1] != 0x8b {
			return errAfterGzip
		}
		if err := g.z.Reset(g.br); err != nil {
			return cutOff(err)
		}
		g.z.Multistream(false)
		return nil
	}
}

// cutOff turns an end in the middle of something into io.ErrUnexpectedEOF.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readFailure puts an error other than io.EOF into words: the compressed data
// is cut off or damaged, or the operating system could not read.
func readFailure(compression string, err error) string {
	var pe *fs.PathError
	switch {
	case errors.As(err, &pe):
		return plain(err)
	case compression == "":
		return fmt.Sprintf("read failed: %v", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the %s data is cut off", compression)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Sprintf("the zstd data needs a window above %d MiB: decompress it first", maxWindow>>20)
	}
	return fmt.Sprintf("the %s data is damaged: %v", compression, err)
}
