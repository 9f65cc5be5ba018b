//go:build linux

// Package judge holds what lastack says of a recording against what the
// kernels said of it.
//
// In come recordings of package lab: captures from either end of a wire, the
// kernels' own transitions, and labels. Out come, socket by socket, the two
// ways through the states and whether they agree; which rules the labels miss;
// and certain findings of a capture cut short that the whole one contradicts.
//
// State tables and the port forecast are judged by figures: against what the
// kernels listed of many connections at once, and the moment at which a client
// had no port left.
//
// Captures go through the whole program but for its flags and renderers. The
// package plays no scenario and needs no root. It excuses a difference only by
// a kind on its list, each with the reason for which no observer could know,
// and only where the packets bear that reason out.
package judge
