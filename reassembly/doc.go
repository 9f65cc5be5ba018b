// Package reassembly is the flow table: it takes decoded segments in capture
// order and gives back flows, each with both endpoints' states and the steps
// that led there.
//
// It splits a four-tuple into incarnations, keeps the account of each
// direction's sequence space without payload, decides what a segment meant to
// its receiver ("the ACK of my FIN"), and leaves to package fsm what follows
// from that. Timers are driven by the capture's clock alone. It never reads a
// frame, a file or a clock, and a table belongs to one goroutine.
package reassembly
