//go:build !cgo

package capture

// Live is a capture from interfaces, which this build cannot do.
type Live struct{}

// OpenLive returns an error that says what live capture needs.
func OpenLive([]string, LiveOptions) (*Live, error) { return nil, errNoLibpcap }

// Interfaces returns an error that says what live capture needs.
func Interfaces() ([]Interface, error) { return nil, errNoLibpcap }

// LibpcapVersion is "" in this build.
func LibpcapVersion() string { return "" }

// Next is never called.
func (*Live) Next(*Frame) error { return errNoLibpcap }

// Infos is never called.
func (*Live) Infos() []Info { return nil }

// Damaged is never called.
func (*Live) Damaged() int { return 0 }

// Stop is never called.
func (*Live) Stop() {}

// Close is never called.
func (*Live) Close() error { return nil }
