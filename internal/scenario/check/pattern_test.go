package check

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lastack/lastack/report/diagnose"
)

// What is found over many flows depends neither on their order nor on how they
// are divided over collectors, nor on the collectors' order.
func TestPatternsAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	rules := diagnose.Rules()
	found := 0
	for _, s := range scenarios(t) {
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile(s)
		if err != nil {
			t.Fatal(err)
		}
		end := s.Frames[len(s.Frames)-1].At
		findings := func(parts int) (list []diagnose.Finding, ports []diagnose.Ports) {
			flows := slices.Clone(r.Flows)
			if parts > 1 {
				rng.Shuffle(len(flows), func(i, k int) { flows[i], flows[k] = flows[k], flows[i] })
			}
			ctx := make([]diagnose.Context, parts)
			for i := range ctx {
				ctx[i] = diagnose.Context{Profile: p, Patterns: diagnose.NewPatterns(rules)}
			}
			for _, f := range flows {
				diagnose.Judge(&ctx[rng.IntN(parts)], rules, f, func(diagnose.Finding) {})
			}
			rng.Shuffle(parts, func(i, k int) { ctx[i], ctx[k] = ctx[k], ctx[i] })
			sum := ctx[0].Patterns.Clone()
			for i := 1; i < parts; i++ {
				sum.Merge(ctx[i].Patterns)
			}
			sum.Findings(&ctx[0], end, func(_ *diagnose.Rule, d diagnose.Finding) { list = append(list, d) })
			return list, sum.Ports(&ctx[0], end)
		}
		same := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.EquateEmpty(),
			cmpopts.IgnoreUnexported(diagnose.Finding{}, diagnose.Evidence{})}
		want, ports := findings(1)
		found += len(want)
		for _, parts := range []int{2, 7} {
			have, more := findings(parts)
			if d := cmp.Diff(want, have, same); d != "" {
				t.Errorf("%s in %d parts: %s", s.Name, parts, d)
			}
			if d := cmp.Diff(ports, more, same); d != "" {
				t.Errorf("%s in %d parts: %s", s.Name, parts, d)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d findings over several flows were compared", found)
	}
}
