package diagnose

import (
	"net/netip"
	"slices"

	"github.com/lastack/lastack/reassembly"
)

// Collector adds up what a rule over many flows needs to know of them. It holds
// a bounded number of octets however many flows it is shown.
//
// What it finds does not depend on the order of the flows, nor on how they were
// divided over collectors, as long as it need not let anything go; and then it
// depends on the flows' own order alone, never on threads.
type Collector interface {
	// Add takes one ended flow, which is valid during the call. What the rules
	// on single flows found on it is known to c, and so are the places of its
	// service and of its client, and the service's portion.
	Add(c *Context, f *reassembly.Flow)
	// Merge adds what another collector of the same rule holds, and leaves that
	// one as it is.
	Merge(o Collector)
	// Findings emits what was found when the input ended at end, in a fixed
	// order. It changes nothing.
	Findings(c *Context, end int64, emit func(Finding))
}

// Patterns are the collectors of the rules over many flows, and what kinds of
// segments all of them show.
type Patterns struct {
	rules      []Rule
	collectors []Collector // by rule; nil for rules on single flows
	adding     []Collector // without nil
	gathering  []gatherer  // those of them that are
	portions   []portion   // by the hash of the service
	shown      Shown
	touched    uint32 // means nothing: see approach
}

// NewPatterns makes collectors that have seen nothing.
func NewPatterns(rules []Rule) *Patterns {
	p := &Patterns{rules: rules, collectors: make([]Collector, len(rules))}
	for i := range rules {
		if rules[i].New != nil {
			col := rules[i].New()
			p.collectors[i], p.adding = col, append(p.adding, col)
			if g, ok := col.(gatherer); ok {
				p.gathering = append(p.gathering, g)
			}
		}
	}
	return p
}

// Merge adds what o holds, which was made for the same rules.
func (p *Patterns) Merge(o *Patterns) {
	p.merge(o)
	p.giveAll(o)
}

func (p *Patterns) merge(o *Patterns) {
	p.shown.plus(&o.shown)
	for i, col := range p.collectors {
		if col != nil {
			col.Merge(o.collectors[i])
		}
	}
}

// Clone is a copy that goes on from here and leaves p as it is.
func (p *Patterns) Clone() *Patterns {
	n := NewPatterns(p.rules)
	n.merge(p)
	n.portions = slices.Clone(p.portions)
	return n
}

// approach notes the places of a flow that is to be added, and looks at where it
// will be counted, without waiting for it: so all of that comes from memory at
// once, while the rules run.
func (p *Patterns) approach(c *Context, f *reassembly.Flow) {
	if len(p.adding) == 0 {
		return
	}
	c.locate(f)
	if p.portions != nil {
		pair := p.portions[c.service.hashOn(c.serviceHosts)%(portionsKept/2)*2:][:2]
		p.touched += pair[0].tag + uint32(pair[0].soon[len(pair[0].soon)-1]) + pair[1].tag // no further apart than lines of the cache
	}
}

// add counts a flow that was approached.
func (p *Patterns) add(c *Context, f *reassembly.Flow) {
	p.shown.add(f)
	if len(p.adding) == 0 {
		return
	}
	c.lately = p.portionOf(c, f)
	for _, col := range p.adding {
		col.Add(c, f)
	}
}

// locate notes the places of a flow.
func (c *Context) locate(f *reassembly.Flow) {
	for _, k := range [...]*place{&c.service, &c.pair} {
		k.service, k.port, k.tag = addressOf(f, f.Server()), portOf(f, f.Server()), f.Tuple.Tag
	}
	c.pair.host = addressOf(f, f.Client)
	c.serviceHosts, c.pairHosts = c.service.hosts(), c.pair.hosts()
}

// whole is the same with nothing in portions.
func (p *Patterns) whole() *Patterns {
	if p.portions == nil {
		return p
	}
	n := NewPatterns(p.rules)
	n.Merge(p)
	return n
}

// Findings emits what was found over all flows, with its rule: also of muted
// rules, since they replace what they explain.
func (p *Patterns) Findings(c *Context, end int64, emit func(*Rule, Finding)) {
	c.shown = p.shown
	for i, col := range p.whole().collectors {
		if col == nil {
			continue
		}
		rule := &p.rules[i]
		col.Findings(c, end, func(d Finding) {
			d.Rule = rule.ID
			if d.Severity == 0 {
				d.Severity = rule.Severity
			}
			emit(rule, d)
		})
	}
}

// covers are the rules whose findings one over many flows explains.
func (r *Rule) covers() []string {
	if r.Covers != nil {
		return r.Covers
	}
	return r.Replaces
}

// Covered lists the rules whose findings on single flows rules over many flows
// explain.
func Covered(rules []Rule) (ids []string) {
	for i := range rules {
		if rules[i].New != nil {
			ids = append(ids, rules[i].covers()...)
		}
	}
	return ids
}

// Explains reports whether a finding over many flows explains one on a single
// flow: that of a rule which it replaces, on its service, and with evidence out
// of its time. What is only possible explains nothing that is surer.
func (r *Rule) Explains(pattern, d *Finding) bool {
	return slices.Contains(r.covers(), d.Rule) && d.Flow != 0 && d.Service == pattern.Service &&
		(pattern.Confidence != Possible || d.Confidence == Possible) &&
		slices.ContainsFunc(d.Evidence, func(e Evidence) bool {
			return pattern.Time <= e.At && e.At <= pattern.Time+pattern.Duration
		})
}

// Ports is how many of its ephemeral ports a client used towards one service.
type Ports struct {
	Client   netip.Addr
	Service  netip.AddrPort
	Capacity uint64 // ports that there are
	// PeakTimeWait is the most that were in TIME_WAIT at once, first at PeakAt;
	// PeakInUse the most that were, or whose connection was open.
	PeakTimeWait uint64
	PeakAt       int64
	PeakInUse    uint64
	// Outside is the most ports that were in use at once although they are not
	// of the Capacity: then the range is not the client's.
	Outside uint64
	// Rate is how many connections per second entered TIME_WAIT in the 2MSL
	// before the peak, or since the first of them; Sustainable is how many can
	// for ever.
	Rate, Sustainable float64
	// ExhaustedIn is in how many ns after the end the ports run out at the rate
	// of late (see slope); -1 when they do not.
	ExhaustedIn int64
}

// Ports lists the clients' use of ports, the highest first, at most portLines
// of them. Clients that never held TIME_WAIT are left out.
func (p *Patterns) Ports(c *Context, end int64) []Ports {
	for _, col := range p.collectors {
		if u, ok := col.(*portUse); ok {
			return u.ports(c, end)
		}
	}
	return nil
}

// WrongRange is a remark on clients that use ports outside the range of the
// profile, where that matters; "" where it does not.
func (p *Patterns) WrongRange(c *Context, end int64) string {
	for _, col := range p.collectors {
		if u, ok := col.(*portUse); ok {
			return u.wrongRange(c, end)
		}
	}
	return ""
}
