package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lastack/lastack/fsm"
)

// DrawStates draws the state table that was asked for, in lines of at most width
// characters where addresses are not longer: all hosts together, then those with
// the most sockets, at most so many of them. It draws nothing where nobody asked.
func (r *Report) DrawStates(c Clock, width, hosts int) []string {
	if !r.Asked || len(r.States) == 0 {
		return nil
	}
	list := slices.Clone(r.States)
	slices.SortStableFunc(list[1:], func(a, b States) int { return cmp.Compare(b.Sockets(), a.Sockets()) })
	more := len(list) - 1 - hosts
	list = list[:min(len(list), hosts+1)]
	slices.SortFunc(list[1:], func(a, b States) int { return a.Host.Compare(b.Host) }) // the same order at any instant

	lines := []string{"Sockets at " + c.Moment(list[0].Time) + ":"}
	for len(list) > 0 {
		var block []string
		block, list = drawBlock(list, width)
		lines = append(append(lines, ""), block...)
	}
	lines = append(lines, "")
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %s: --findings all, --jsonl, --csv", Plural(uint64(more), "more host", "more hosts")))
	}
	return append(lines, shadesUsed(&r.States[0])...)
}

// drawBlock draws the first hosts of a list, a column for each, at least one, and
// returns the others.
func drawBlock(list []States, width int) (block []string, rest []States) {
	for st := range fsm.States {
		if st := fsm.State(st); st < fsm.Closed {
			block = append(block, fmt.Sprintf("%-11s", "STATE"))
		} else {
			block = append(block, fmt.Sprintf("%-11s", st))
		}
	}
	for n := range list {
		column := []string{list[n].Name()}
		if !list[n].Host.IsValid() {
			column[0] = "all hosts"
		}
		wide := len(column[0])
		for st := fsm.Closed; st <= fsm.TimeWait; st++ {
			column = append(column, list[n].cell(st))
			wide = max(wide, len(column[st]))
		}
		if n > 0 && len(block[0])+2+wide > width {
			return block, list[n:]
		}
		for i := range block {
			block[i] += fmt.Sprintf("  %*s", wide, column[i])
		}
	}
	return block, nil
}

// cell is the number of sockets, and how many of them are presumed and assumed.
func (s *States) cell(st fsm.State) string {
	text := Count(s.Counts[st])
	if n := s.Presumed[st]; n > 0 {
		text += fmt.Sprintf(" (%sp)", Count(n))
	}
	if n := s.Assumed[st]; n > 0 {
		text += fmt.Sprintf(" (%sa)", Count(n))
	}
	return text
}

// shadesUsed explains the marks of a table, and what else to know of it.
func shadesUsed(s *States) []string {
	var out []string
	if s.Presumed != ([fsm.States]uint64{}) {
		out = append(out, "p: presumed: nothing proves that the last segment arrived")
	}
	if s.Assumed != ([fsm.States]uint64{}) {
		out = append(out, "a: assumed: a later packet implies it, or the opening was not seen")
	}
	return append(out, `A kernel counts some sockets otherwise: "The state table" in the README`)
}

// Moment writes a time to the millisecond, with its date and zone.
func (c Clock) Moment(ns int64) string {
	if c.Epoch || c.Relative {
		return c.Stamp(ns) + " s"
	}
	return c.in(ns).Format("2006-01-02 15:04:05.000 MST")
}
