// Package scenario turns a transcript, a text that anyone can write and read,
// into the packets of a capture.
//
// In comes the transcript; out come frames and a pcap file, and what the
// transcript expects to be found in them. The language is described in
// testdata/scenarios/README.md. The package builds packets and compares
// nothing: package scenario/check runs the pipeline on them. It opens no file.
package scenario
