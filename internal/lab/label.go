//go:build linux

package lab

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
)

// Label says what the applications of one connection did, and what a reader
// of the capture ought to find. It is written by the side that did it, before
// anything has looked at a packet.
type Label struct {
	// Behaviour is the name of a scenario or of a part in one.
	Behaviour string         `json:"behaviour"`
	Client    netip.AddrPort `json:"client"` // the active opener
	Server    netip.AddrPort `json:"server"`
	Did       string         `json:"did"`
	// Expect lists the rules that ought to name the connection, as seen from
	// the client's interface; none means that nothing is wrong with it.
	// ExpectServer is the same as seen from the server's; nil: no difference.
	Expect       []string `json:"expect"`
	ExpectServer []string `json:"expect_server,omitzero"`
	// Possible lists rules that may name it besides, because what the wire does
	// to the scenario may or may not be their cause.
	Possible []string `json:"possible,omitempty"`
	// Doubtful lists rules that may do so with no more confidence than possible.
	Doubtful []string `json:"doubtful,omitempty"`
	// Kernel is a move that was made on the connection, without which the label
	// would not be true, as in Scenario.Kernel; "" for none.
	Kernel string `json:"kernel,omitempty"`
}

// of reports whether the label is of a connection between two ends.
func (l *Label) of(a, b netip.AddrPort) bool {
	return l.Client == a && l.Server == b || l.Client == b && l.Server == a
}

// MarshalJSON writes an empty list for nil, never null.
func (l Label) MarshalJSON() ([]byte, error) {
	if l.Expect == nil {
		l.Expect = []string{}
	}
	type plain Label // without this method
	return json.Marshal(plain(l))
}

// WriteLabels writes one JSON object a line into a new file.
func WriteLabels(path string, labels []Label) error { return writeLines(path, labels) }

// ReadLabels reads what WriteLabels wrote.
func ReadLabels(path string) ([]Label, error) { return readLines[Label](path) }

func writeLines[T any](path string, values []T) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}

func readLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var out []T
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	for {
		var v T
		if err := dec.Decode(&v); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s, object %d: %w", path, len(out)+1, err)
		}
		out = append(out, v)
	}
}
