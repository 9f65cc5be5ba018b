package main

import (
	"slices"
	"testing"

	"github.com/lastack/lastack/reassembly/capture"
)

// A number stands for the interface that -D gives it, any other name for itself.
func TestNumberedInterfaces(t *testing.T) {
	list, err := capture.Interfaces()
	if err != nil || len(list) == 0 {
		t.Skip("there are no interfaces: ", err)
	}
	got, err := numbered([]string{"1", "any", "no-such-interface0"})
	if want := []string{list[0].Name, "any", "no-such-interface0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, name := range []string{"0", "99999", "99999999999999999999"} {
		if got, err := numbered([]string{name}); err == nil {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// -s 0 is whole packets, as for tcpdump.
func TestSnaplen(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"-i", "lo"}, 256},
		{[]string{"-i", "lo", "-s", "0"}, 262144},
		{[]string{"-i", "lo", "-s", "96"}, 96},
	} {
		if cfg, err := parse(c.args); err != nil || cfg.snaplen != c.want {
			t.Errorf("%q: %+v, %v, want %d", c.args, cfg, err, c.want)
		}
	}
}
