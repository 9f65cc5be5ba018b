// Package lab plays socket scenarios between two hosts of the real kernel:
// two network namespaces joined by a wire that this process owns, so that it
// can lose, delay, repeat and forge segments at will.
//
// In come scenarios: what each application does, and what the wire does to
// which segment. Out go, for each, a capture from the interface of either
// host, the kernel's own state transitions, and labels that say what the
// applications did and which rule ought to name it.
//
// It never touches the host's own network, and what it makes dies with the
// process: namespaces without a name, TAP interfaces without persistence. It
// needs root and Linux, and for the transitions tracefs.
package lab
