//go:build !cgo

package capture

import (
	"strings"
	"testing"
)

// Without libpcap, what needs it says so.
func TestWithoutLibpcap(t *testing.T) {
	_, filter := CompileFilter("tcp")
	_, live := OpenLive([]string{"lo"}, LiveOptions{})
	_, interfaces := Interfaces()
	for _, err := range []error{filter, live, interfaces} {
		if err == nil || !strings.Contains(err.Error(), "need libpcap") {
			t.Errorf("error %v", err)
		}
	}
}
