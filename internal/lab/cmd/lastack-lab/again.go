//go:build linux

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/internal/lab/judge"
)

const (
	// repeats is how often what went wrong is tried again. A machine that stood
	// still for a moment, at a place where no check notices it, lets a recording
	// go wrong once; a defect of the program shows in a fresh one.
	repeats = 2
	// mostWrong is how many recordings may be wrong to be recorded anew. More at
	// once are a defect.
	mostWrong = 12
)

// confirm records the takes anew whose recordings are wrong, and fails when any
// of them is wrong a second time.
func (o *options) confirm(takes []lab.Take, v *judge.Verdict) error {
	takes, err := wrong(takes, v)
	if err != nil {
		return err
	}
	for n := 1; n <= repeats; n++ {
		dir := filepath.Join(o.out, fmt.Sprintf("again-%d", n))
		again, err := lab.Record(dir, takes)
		printAgain(again)
		if err != nil {
			return err
		}
		fresh, err := verdict(dir)
		if err != nil {
			return err
		}
		if err := failure(fresh); err != nil {
			return fmt.Errorf("wrong in fresh recordings too: %w", err)
		}
	}
	for _, t := range takes {
		fmt.Printf("unsteady, wrong in 1 of %d recordings: %s: %s\n", 1+repeats, t.Name(), strings.Join(v.Wrong[t.Name()], "; "))
	}
	return nil
}

// wrong are the takes whose recordings are wrong. The error is that they are too
// many, or that what is wrong is no single recording.
func wrong(takes []lab.Take, v *judge.Verdict) ([]lab.Take, error) {
	takes = slices.DeleteFunc(slices.Clone(takes), func(t lab.Take) bool { return v.Wrong[t.Name()] == nil })
	if len(takes) == 0 || len(takes) < len(v.Wrong) || len(takes) > mostWrong {
		return nil, failure(v)
	}
	return takes, nil
}

// steadily does what may fail once.
func (o *options) steadily(do func() error) error {
	err := do()
	if err == nil {
		return nil
	}
	for range repeats {
		fmt.Println("measured again:", err)
		if second := do(); second != nil {
			return errors.Join(err, second)
		}
	}
	fmt.Printf("unsteady, wrong in 1 of %d runs: %v\n", 1+repeats, err)
	return nil
}
