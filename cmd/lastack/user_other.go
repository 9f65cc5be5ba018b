//go:build !unix

package main

import (
	"errors"
	"io/fs"
)

// owned reports whether the process has the rights of a file's owner.
func owned(fs.FileInfo) bool { return true }

// become gives up privileges for those of a user.
func become(string) error { return errors.New("not on this system") }
