package diagnose

import (
	"fmt"
	"slices"

	"github.com/lastack/lastack/reassembly"
)

// Judge runs rules on an ended flow and passes on what they find, without what
// another finding on the flow explains. Nothing is allocated for a flow on
// which nothing is found.
func Judge(c *Context, rules []Rule, f *reassembly.Flow, emit func(Finding)) {
	c.prepare(rules)
	if c.Patterns != nil {
		c.Patterns.approach(c, f)
	}
	shows := signsOf(f)
	c.reset = resetNone
	if shows&signReset != 0 {
		c.reset = kindOfReset(c, f)
	}
	for _, r := range c.asked(shows) {
		c.judging = r
		r.Check(c, f, c.collect)
	}
	if c.Patterns != nil {
		c.Patterns.add(c, f)
	}
	if len(c.found) > 0 {
		c.pass(f, emit)
	}
}

// asked lists the rules that need one of the signs. Few sets of signs are common.
func (c *Context) asked(shows signs) []*Rule {
	if c.needs&shows == 0 {
		return nil
	}
	known := &c.known[shows*0x9e3779b97f4a7c15>>(64-knownBits)]
	if known.shows != shows {
		known.shows, known.rules = shows, known.rules[:0]
		for i := range c.checks {
			if x := &c.checks[i]; x.needs&shows != 0 {
				known.rules = append(known.rules, x.rule)
			}
		}
	}
	return known.rules
}

// knownBits number the sets of signs whose rules are remembered.
const knownBits = 4

// known is which rules are asked of flows that show some signs.
type known struct {
	shows signs
	rules []*Rule
}

// pass emits what was found on a flow, and forgets it.
func (c *Context) pass(f *reassembly.Flow, emit func(Finding)) {
	for i := range c.found {
		if f.Ended == reassembly.EndEvicted {
			c.found[i].Censored = false // it went on unwatched, and may have ended
		}
		if !c.explained(i) {
			if !c.Bare {
				c.found[i].Dress(f)
			}
			emit(c.found[i])
		}
	}
	clear(c.found)
	c.found, c.by = c.found[:0], c.by[:0]
}

// check is a rule that is asked about single flows, and what it needs.
type check struct {
	needs signs
	rule  *Rule
}

// prepare lists the checks of the rules, once for all flows.
func (c *Context) prepare(rules []Rule) {
	if len(rules) == len(c.rules) && (len(rules) == 0 || &rules[0] == &c.rules[0]) {
		return
	}
	c.rules, c.checks, c.needs, c.collect = rules, nil, 0, c.take
	c.known = [1 << knownBits]known{}
	for i := range rules {
		if r := &rules[i]; r.Check != nil {
			x := check{r.needs, r}
			if x.needs == 0 {
				x.needs = signAny
			}
			c.checks = append(c.checks, x)
			c.needs |= x.needs
		}
	}
}

// take keeps a finding of the rule that is running.
func (c *Context) take(d Finding) {
	d.Rule, d.Duration = c.judging.ID, max(d.Duration, 0) // a clock may have stepped back
	if d.Severity == 0 {
		d.Severity = c.judging.Severity
	}
	c.found, c.by = append(c.found, d), append(c.by, c.judging)
}

// explained reports whether found[i] is not to be reported: its rule is muted,
// or the rule of another finding replaces it.
func (c *Context) explained(i int) bool {
	if c.by[i].Muted {
		return true
	}
	for k, r := range c.by {
		if k != i && slices.Contains(r.Replaces, c.by[i].ID) {
			return true
		}
	}
	return false
}

// has is the finding of a rule on the flow that is being judged, or nil.
func (c *Context) has(id string) *Finding {
	for i := range c.found {
		if c.found[i].Rule == id {
			return &c.found[i]
		}
	}
	return nil
}

func find(rules []Rule, id string) *Rule {
	for i := range rules {
		if rules[i].ID == id {
			return &rules[i]
		}
	}
	return nil
}

// Named finds a rule; it is false when there is none of that name.
func Named(id string) (Rule, bool) {
	rules := Rules()
	if r := find(rules, id); r != nil {
		return *r, true
	}
	return Rule{}, false
}

// Select is all rules, with those muted that only leaves out or ignore names.
// An empty only leaves nothing out. The error names a rule that does not exist.
func Select(only, ignore []string) ([]Rule, error) {
	rules := Rules()
	for _, id := range slices.Concat(only, ignore) {
		if find(rules, id) == nil {
			return nil, fmt.Errorf("there is no rule %q (--rules lists them)", id)
		}
	}
	for i := range rules {
		id := rules[i].ID
		rules[i].Muted = len(only) > 0 && !slices.Contains(only, id) || slices.Contains(ignore, id)
	}
	return rules, nil
}
