//go:build !cgo

package capture

func compile(string, uint16) (matcher, error) { return nil, errNoLibpcap }
