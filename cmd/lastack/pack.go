package main

import (
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
	return &unpacked{w}, nil
}

// unpacked writes as it is.
type unpacked struct{ io.Writer }

func (u *unpacked) Close() error      { return nil }
func (u *unpacked) Flush() error      { return nil }
func (u *unpacked) Reset(w io.Writer) { u.Writer = w }

// packable refuses names that promise a compression that is not there.
func packable(o output) error {
	switch ext := filepath.Ext(o.name); ext {
	case ".xz", ".bz2", ".lz4", ".zip", ".Z":
		return fmt.Errorf("%s %s: reports are compressed as .gz or .zst, and not as %s", o.flag, o.name, ext)
	}
	return nil
}
