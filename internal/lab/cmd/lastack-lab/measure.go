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
		fmt.Println("the exhaustion was played again:", why)
	}
	if err != nil {
		return err
	}
	tables, err := judge.JudgeCrowd(m.Crowd)
	if err != nil {
		return err
	}
	forecast, err := judge.JudgeExhaustion(m.Exhaustion)
	if err != nil {
		return err
	}
	return errors.Join(told(tables, "state tables", tables.Failures), told(forecast, "port forecast", forecast.Failures))
}

// told prints a comparison and makes one error of its failures, nil of none.
func told(c interface{ Print(io.Writer) error }, what string, failures []string) error {
	if err := c.Print(os.Stdout); err != nil || len(failures) == 0 {
		return err
	}
	return fmt.Errorf("%s: %s", what, strings.Join(failures, "; "))
}
