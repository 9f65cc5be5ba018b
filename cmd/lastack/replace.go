package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replace writes a file so that it is at every moment the old one or the new
// one, whole. What is no regular file, such as a pipe, is written as it is; and so
// is what may be changed but not replaced.
func replace(name string, write func(io.Writer) error) error {
	name, old := existing(name)
	if old != nil && !old.Mode().IsRegular() {
		return inPlace(name, write)
	}
	f, err := createBeside(name)
	if err != nil {
		if old == nil {
			return err
		}
		return inPlace(name, write)
	}
	temp := f.Name()
	defer os.Remove(temp) // if it is still there
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err // the old one is left as it is: a disk that is full would take neither
	}
	if old != nil {
		os.Chmod(temp, old.Mode().Perm()) // as far as allowed: it was the old file's
	}
	err = os.Rename(temp, name)
	if err != nil && old != nil {
		return inPlace(name, write)
	}
	return err
}

// existing is the file that a name leads to, and what is known of it; nil when
// there is none.
func existing(name string) (string, fs.FileInfo) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	st, err := os.Stat(name)
	if err != nil {
		return name, nil
	}
	return name, st
}

// inPlace writes into a file that exists.
func inPlace(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// createBeside creates the file that is to replace another.
func createBeside(name string) (*os.File, error) {
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%d.tmp", filepath.Base(name), os.Getpid()))
	return os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// writable finds out before a long run whether a report can be written, by what
// will be done.
func writable(o output) error {
	if o.name == "-" {
		return nil
	}
	name, old := existing(o.name)
	switch {
	case old == nil:
	case old.IsDir():
		return unwritten(o.name, syscall.EISDIR)
	case !old.Mode().IsRegular():
		return nil // to open it may wait for a reader, or be noticed by one
	}
	if old != nil {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			return f.Close()
		}
		if o.flag == "--jsonl" || !replaceable(name, old) {
			return unwritten(o.name, err)
		}
	}
	f, err := createBeside(name)
	if err != nil {
		return unwritten(o.name, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// replaceable reports whether another file may take the place of one, if it can be
// created: from a sticky directory nobody removes what is another's.
func replaceable(name string, file fs.FileInfo) bool {
	dir, err := os.Stat(filepath.Dir(name))
	return err != nil || dir.Mode()&fs.ModeSticky == 0 || owned(file) || owned(dir)
}

// unwritten says which report an error is about, rather than which file on the
// way to it; nil for nil.
func unwritten(name string, err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("the report cannot be written: %s: %w", name, err)
}
