//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/internal/lab/judge"
)

// measure compares the figures that lastack gives with a kernel's.
func (o *options) measure() error {
	m, err := lab.Measure(o.out, !o.short)
	for _, why := range m.Again {
		fmt.Println("played again:", why)
	}
	errs := []error{err}
	if m.Crowd != nil {
		t, err := judge.JudgeCrowd(m.Crowd)
		if err == nil {
			err = told(t, "state tables", t.Failures)
		}
		errs = append(errs, err)
	}
	for _, e := range m.Exhaustions {
		if e == nil {
			continue
		}
		f, err := judge.JudgeExhaustion(e)
		if err == nil {
			err = told(f, "port forecast", f.Failures)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// told prints a comparison and makes one error of its failures, nil of none.
func told(c interface{ Print(io.Writer) error }, what string, failures []string) error {
	if err := c.Print(os.Stdout); err != nil || len(failures) == 0 {
		return err
	}
	return fmt.Errorf("%s: %s", what, strings.Join(failures, "; "))
}
