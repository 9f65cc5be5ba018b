package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
)

// input is the raw bytes of a source, counted and hashed as they are read.
// Read is called by one goroutine; progress may be asked for by any.
type input struct {
	r       io.Reader
	file    *os.File // to be closed; nil for standard input
	regular bool     // a file that can be opened again and reads the same
	size    int64    // 0 if unknown
	taken   *atomic.Int64
	hash    hash.Hash // nil when not asked for
	sum     string    // in hex; written before the last block is handed over
}

// openInput opens the named file, or standard input for "-". Bytes read are
// counted in taken. Errors name the file and say in words what is wrong.
func openInput(name string, o Options, taken *atomic.Int64) (*input, error) {
	in := &input{taken: taken}
	taken.Store(0)
	if o.SHA256 {
		in.hash = sha256.New()
	}
	if name == "-" {
		if o.Stdin == nil {
			return nil, &openError{name: "-", text: "it cannot be read here"}
		}
		in.r = o.Stdin
		if f, ok := o.Stdin.(*os.File); ok {
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
				in.size = st.Size()
			}
		}
		return in, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, openFailure(name, err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, openFailure(name, err)
	}
	if st.IsDir() {
		f.Close()
		return nil, &openError{name: name, text: "is a directory, not a capture file"}
	}
	in.r, in.file = f, f
	if st.Mode().IsRegular() {
		in.regular, in.size = true, st.Size()
	}
	return in, nil
}

// Read reads on, counting and hashing.
func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.taken.Add(int64(n))
	if in.hash != nil {
		in.hash.Write(p[:n])
	}
	return n, err
}

// finish reads what is left, if there is a hash to complete, and returns the
// hash in hex; "" without one or if the rest cannot be read.
func (in *input) finish() string {
	if in.hash == nil {
		return ""
	}
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{in}); err != nil {
		return ""
	}
	return hex.EncodeToString(in.hash.Sum(nil))
}

func (in *input) close() error {
	if in.file == nil {
		return nil
	}
	return in.file.Close()
}

// openError says why a source could not be opened.
type openError struct {
	name, text string
	err        error
}

func (e *openError) Error() string { return called(e.name) + ": " + e.text }
func (e *openError) Unwrap() error { return e.err }

// called is what errors call a source.
func called(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// openFailure puts an error of the operating system into words.
func openFailure(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &openError{name, "no such file", err}
	case errors.Is(err, fs.ErrPermission):
		return &openError{name, "permission denied", err}
	}
	return &openError{name, plain(err), err}
}

// plain is the cause of err without the operation and the path that Go puts
// before it: the messages here begin with the name already.
func plain(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Sprintf("%s failed: %v", pe.Op, pe.Err)
	}
	return err.Error()
}
