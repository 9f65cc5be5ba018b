//go:build !unix

package main

import "errors"

// become gives up privileges for those of a user.
func become(string) error { return errors.New("not on this system") }
