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
	return asIs(w), nil
}

// unpacked writes as it is. What it gets at once stays together, so that whoever
// reads along, or finds what a killed run left, has whole lines.
type unpacked struct {
	w   io.Writer
	buf []byte
}

// blockBytes is about how much is written at once: few large blocks cost a file
// system two thirds of what many of 64 KiB do.
const blockBytes = 256 << 10

func asIs(w io.Writer) *unpacked { return &unpacked{w: w} }

func (u *unpacked) Write(p []byte) (int, error) {
	u.buf = append(u.buf, p...)
	if len(u.buf) < blockBytes {
		return len(p), nil
	}
	return len(p), u.Flush()
}

func (u *unpacked) Flush() (err error) {
	if len(u.buf) > 0 {
		_, err = u.w.Write(u.buf)
	}
	u.buf = u.buf[:0]
	return err
}

func (u *unpacked) Close() error { return u.Flush() }

func (u *unpacked) Reset(w io.Writer) { u.w, u.buf = w, u.buf[:0] }

// packable refuses names that promise a compression that is not there.
func packable(o output) error {
	switch ext := filepath.Ext(o.name); ext {
	case ".xz", ".bz2", ".lz4", ".zip", ".Z":
		return fmt.Errorf("%s %s: reports are compressed as .gz or .zst, and not as %s", o.flag, o.name, ext)
	}
	return nil
}
