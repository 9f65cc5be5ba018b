// Command pcap writes the capture of a scenario to standard output.
//
// In comes the name of a transcript; out goes a pcap file. It checks nothing
// but the transcript's language.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/lastack/lastack/internal/scenario"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pcap:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: pcap SCENARIO.txt > SCENARIO.pcap")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := scenario.Parse(args[0], f)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(s.Pcap())
	return err
}
