//go:build linux

package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lastack/lastack/internal/lab"
	"github.com/lastack/lastack/internal/lab/judge"
)

func TestWrongTakes(t *testing.T) {
	takes := lab.Plain(lab.Scenarios())
	verdict := func(n int) *judge.Verdict {
		v := &judge.Verdict{Labels: []string{"one"}, Wrong: map[string][]string{}}
		for _, take := range takes[:n] {
			v.Wrong[take.Name()] = []string{"a label"}
		}
		return v
	}
	if got, err := wrong(takes, verdict(2)); err != nil || len(got) != 2 || got[1].Name() != takes[1].Name() {
		t.Errorf("%v, %v", got, err)
	}
	unknown := verdict(1)
	unknown.Wrong["nobody-v4"] = []string{"a label"}
	for name, v := range map[string]*judge.Verdict{
		"none is wrong alone": verdict(0), "too many": verdict(mostWrong + 1), "an unknown one": unknown,
	} {
		if _, err := wrong(takes, v); err == nil {
			t.Errorf("%s: no failure", name)
		}
	}
}

// Once is unsteady, twice is a failure.
func TestSteadily(t *testing.T) {
	for fail, want := range map[string]bool{"---": false, "x--": false, "xx": true, "x-x": true} {
		n := 0
		err := (&options{}).steadily(func() error {
			n++
			if fail[n-1] == 'x' {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		if (err != nil) != want {
			t.Errorf("%s: %v", fail, errors.Join(err))
		}
	}
}
