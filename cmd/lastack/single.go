package main

import (
	"errors"

	"github.com/spf13/pflag"
)

// once lets no file and no filter silently replace another: what the first was
// given for would be missing. Other flags take the last value, so that a script or
// an alias can be overridden.
func once(f *pflag.FlagSet) {
	for _, name := range [...]string{"jsonl", "md", "csv", "prom", "filter"} {
		g := f.Lookup(name)
		g.Value = &single{Value: g.Value}
	}
}

// single is a value that is given once.
type single struct {
	pflag.Value
	given bool
	first string
}

var errAgain = errors.New("given twice")

// Set is that of the value, the first time.
func (s *single) Set(v string) error {
	if s.given {
		return errAgain
	}
	s.given, s.first = true, v
	return s.Value.Set(v)
}
