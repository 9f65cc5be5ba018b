package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// cuts records where writes ended.
type cuts struct {
	bytes.Buffer
	ends []int
	err  error
}

func (c *cuts) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Buffer.Write(p)
	c.ends = append(c.ends, c.Len())
	return n, err
}

// What is written in few large pieces is cut between lines and nowhere else, and
// comes to the same.
func TestUnpackedWritesWholeLines(t *testing.T) {
	var c cuts
	var want strings.Builder
	u := asIs(&c)
	for i := range 3000 {
		line := strings.Repeat("x", i%700) + "\n"
		want.WriteString(line)
		if _, err := u.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	got := c.String()
	if got != want.String() {
		t.Errorf("%d octets of %d", len(got), want.Len())
	}
	if n := len(c.ends); n < 3 || n > 6 {
		t.Errorf("%d writes", n)
	}
	for _, end := range c.ends {
		if got[end-1] != '\n' {
			t.Errorf("a write ends within a line, at %d", end)
		}
	}
	c.err = errors.New("full")
	if _, err := u.Write([]byte("more\n")); err != nil {
		t.Errorf("%v before anything is written", err)
	}
	if err := u.Close(); err != c.err {
		t.Errorf("closing says %v", err)
	}
}
