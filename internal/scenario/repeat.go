package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxRepeats bounds how often a block is repeated.
const maxRepeats = 10_000

// block is the lines between "repeat N every SECONDS" and "done".
type block struct {
	times int
	every int64 // ns from the start of one round to that of the next
	no    int   // of the line that began it
	text  []string
}

// begin takes a line "repeat N every SECONDS".
func begin(text string, no int) (*block, error) {
	w := strings.Fields(text)
	if len(w) != 4 || w[2] != "every" {
		return nil, fmt.Errorf("want repeat N every SECONDS, have %q", text)
	}
	n, err := strconv.Atoi(w[1])
	if err != nil || n < 1 || n > maxRepeats {
		return nil, fmt.Errorf("%q is not a number of rounds up to %d", w[1], maxRepeats)
	}
	every, _, err := parseTime(w[3])
	return &block{times: n, every: every, no: no}, err
}

// lines expands the block. Its times count from the start of each round, the
// first of which begins at start; rounds that overlap are put in order of time.
func (b *block) lines(start int64) (all []line, err error) {
	for i := range b.times {
		base := start + int64(i)*b.every
		at := base
		for k, text := range b.text {
			if text, err = substitute(text, i); err != nil {
				return nil, fmt.Errorf("line %d: %w", b.no+1+k, err)
			}
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			l, err := parseLine(text, b.no+1+k)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", b.no+1+k, err)
			}
			if !l.relative {
				at = base
			}
			at += l.at
			l.at, l.relative = at, false
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(x, y line) int { return cmp.Compare(x.at, y.at) })
	return all, nil
}

// counter is "{A+i}", "{A+i*B}" or "{i}" in a line of a block.
var counter = regexp.MustCompile(`\{(?:(\d+)([+-]))?i(?:\*(\d+))?\}`)

// substitute puts the number of the round, from 0, into a line.
func substitute(text string, round int) (string, error) {
	out := counter.ReplaceAllStringFunc(text, func(m string) string {
		part := counter.FindStringSubmatch(m)
		base, _ := strconv.Atoi(part[1])
		step := 1
		if part[3] != "" {
			step, _ = strconv.Atoi(part[3])
		}
		if part[2] == "-" {
			step = -step
		}
		return strconv.Itoa(base + round*step)
	})
	if strings.ContainsAny(out, "{}") {
		return "", errors.New("want {A+i}, {A-i}, {A+i*B} or {i} in braces")
	}
	return out, nil
}
