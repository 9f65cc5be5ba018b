package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packer is where a report that is a file goes: compressed as its name says, or
// as it is.
type packer interface {
	io.WriteCloser     // Close ends the compressed data, and leaves the file open
	Flush() error      // what was written so far can be read
	Reset(w io.Writer) // begins anew
}

// packed makes the packer of a file.
func packed(name string, w io.Writer) (packer, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewWriter(w), nil
	case ".zst":
		// One worker: what is written depends on nothing but the report.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return asIs(w), nil
}

// unpacked writes as it is.
type unpacked struct{ *bufio.Writer }

// blockBytes is how much is written at once: whole blocks that begin at multiples
// of it cost a file system half of what odd ones do.
const blockBytes = 256 << 10

func asIs(w io.Writer) unpacked { return unpacked{bufio.NewWriterSize(w, blockBytes)} }

func (u unpacked) Close() error { return u.Flush() }

// packable refuses names that promise a compression that is not there.
func packable(o output) error {
	switch ext := filepath.Ext(o.name); ext {
	case ".xz", ".bz2", ".lz4", ".zip", ".Z":
		return fmt.Errorf("%s %s: reports are compressed as .gz or .zst, and not as %s", o.flag, o.name, ext)
	}
	return nil
}
