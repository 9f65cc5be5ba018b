package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// seenIn is what a report says of captures: the rules of its findings, the TCP
// segments, and whether two of them are two vantage points.
func seenIn(t *testing.T, files ...string) (rules map[string]bool, segments float64, twins bool) {
	t.Helper()
	rules = map[string]bool{}
	for line := range bytes.Lines([]byte(linesOf(t, files...))) {
		var l map[string]any
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		switch l["type"] {
		case "group":
			rules[l["rule"].(string)] = true
		case "health":
			segments = l["tcp_segments"].(float64)
			twins = bytes.Contains(line, []byte("from two vantage points"))
		}
	}
	return rules, segments, twins
}

// The lab captures each connection at both of its ends. Given together, the two
// captures are found to be of the same traffic, unless they hold next to
// nothing, and nothing is found in them that neither shows alone.
func TestBothEnds(t *testing.T) {
	const few = 10 // segments of both: too little to tell
	clients, err := filepath.Glob("../../testdata/captures/lab/*.client.pcap*")
	if err != nil || len(clients) == 0 {
		t.Fatal("no captures", err)
	}
	for _, client := range clients {
		take, _, _ := strings.Cut(client, ".client.")
		servers, err := filepath.Glob(take + ".server.pcap*")
		if err != nil {
			t.Fatal(err)
		}
		if len(servers) == 0 { // only one end was captured
			continue
		}
		name := filepath.Base(client)
		both, segments, twins := seenIn(t, client, servers[0])
		if !twins && segments >= few {
			t.Errorf("%s: merged with its other end", name)
		}
		a, _, _ := seenIn(t, client)
		b, _, _ := seenIn(t, servers[0])
		for rule := range both {
			if !a[rule] && !b[rule] {
				t.Errorf("%s: %s is found in both ends together and in neither alone", name, rule)
			}
		}
	}
}
