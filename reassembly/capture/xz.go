package capture

import (
	"errors"
	"fmt"
	"io"

	"github.com/therootcompany/xz"
)

var xzMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}

// xzReader reads .xz, several streams after each other included. What the
// library has decoded when the data ends too early comes out before the error.
type xzReader struct{ z *xz.Reader }

func newXZReader(r io.Reader) (xzReader, error) {
	z, err := xz.NewReader(r, maxWindow)
	return xzReader{z}, xzError(err)
}

// Read yields decompressed bytes.
func (x xzReader) Read(p []byte) (int, error) {
	n, err := x.z.Read(p)
	return n, xzError(err)
}

// xzError puts the library's errors into the terms of the other compressions.
func xzError(err error) error {
	switch {
	case errors.Is(err, xz.ErrBuf): // no more comes, and more was needed
		return io.ErrUnexpectedEOF
	case errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("its dictionary is above %d MiB: decompress it first", maxWindow>>20)
	case errors.Is(err, xz.ErrOptions):
		return errors.New("a filter is used that is not known: decompress it first")
	case errors.Is(err, xz.ErrFormat):
		return errors.New("stream header: not as the format demands")
	case errors.Is(err, xz.ErrData):
		return errors.New("not as the format or its checksums demand")
	}
	return err
}
