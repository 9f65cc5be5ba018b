package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// filterWords are those with which expressions of pcap-filter(7) begin.
var filterWords = []string{
	"and", "arp", "atalk", "broadcast", "decnet", "dst", "esp", "ether", "fddi", "gateway", "geneve", "greater", "host",
	"icmp", "icmp6", "igmp", "inbound", "ip", "ip6", "less", "link", "mpls", "multicast", "net", "not", "or", "outbound",
	"port", "portrange", "pppoed", "pppoes", "proto", "rarp", "sctp", "src", "stp", "tcp", "udp", "vlan", "vxlan", "wlan",
}

// misplacedFilter says how to filter when, without -r or -i, files are followed
// by words that are no files and read like a filter. They are not compiled:
// that would look names up, and says nothing in a build without libpcap.
func misplacedFilter(words []string) error {
	first := slices.IndexFunc(words, func(w string) bool { return !exists(w) })
	if first < 0 || slices.ContainsFunc(words[first:], exists) {
		return nil
	}
	expr := strings.Join(words[first:], " ")
	word := strings.TrimLeft(expr, "(! ")
	if i := strings.IndexFunc(word, func(r rune) bool { return r < '0' || r > '9' && r < 'A' || r > 'z' || r == '[' }); i >= 0 {
		word = word[:i]
	}
	if !slices.Contains(filterWords, word) {
		return nil
	}
	if quoted := strings.ContainsAny(expr, "()!&|<>[]*?;$`\"\\#~'"); quoted {
		expr = "'" + strings.ReplaceAll(expr, "'", `'\''`) + "'"
	}
	how := ""
	switch files := words[:first]; len(files) {
	case 0:
		how = "-r FILE " + expr
	case 1:
		how = "-r " + files[0] + " " + expr
	default:
		how = "-r " + files[0] + " -r ... " + expr
	}
	return fmt.Errorf("there is no file %q; to filter: lastack %s", words[first], how)
}

// exists reports whether a word names an input.
func exists(word string) bool {
	_, err := os.Stat(word)
	return word == "-" || err == nil
}
