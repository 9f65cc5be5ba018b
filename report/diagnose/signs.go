package diagnose

import (
	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
)

// signs are what a flow shows at a glance. Most flows show none but signAny, and
// then only rules that need nothing are asked.
type signs uint64

// The signs beside marks, whose kinds have the lower half of the bits.
const (
	signReset      signs = 1 << (32 + iota) // an RST took effect
	signDenied                              // or was disowned
	signNotOpened                           // the handshake was begun and came to nothing
	signCrossed                             // both sides opened
	signHalfClosed                          // one side alone sent a FIN
	signLate                                // a FIN was answered answeredLate or more after it
	signCrossedFIN                          // both sides closed at once
	signStillReads                          // a side took payload after its own FIN
	signRepeats                             // payload came again and again, in vain or before the server's first word
	signRevised                             // a step was taken back
	signICMP                                // an ICMP error quotes the flow
	signReused                              // the four-tuple had an earlier connection

	signAny signs = 1 // every flow, as no kind of mark is 0
)

// marked is the sign of marks of any of those kinds.
func marked(kinds ...reassembly.MarkKind) (s signs) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// signsOf reads the signs of a flow.
func signsOf(f *reassembly.Flow) signs {
	s := signAny
	for i := range f.Marks {
		s |= 1 << (f.Marks[i].Kind & 31)
	}
	for i := range f.Steps {
		if f.Steps[i].On == fsm.Revise {
			s |= signRevised
			break
		}
	}
	s |= signsOfOpening(f) | signsOfClose(f)
	for i := range f.Ends {
		if d := &f.Ends[i]; d.Repeats >= gaveUpRepeats || d.EarlyRepeats > 0 {
			s |= signRepeats
		}
	}
	if f.Reset.Ref != 0 {
		s |= signReset
	}
	if f.Denied.Ref != 0 {
		s |= signDenied
	}
	return s
}

func signsOfOpening(f *reassembly.Flow) (s signs) {
	switch f.Handshake.Outcome {
	case reassembly.Simultaneous:
		s = signCrossed
	case reassembly.Unanswered, reassembly.Unreachable, reassembly.Incomplete:
		s = signNotOpened
	}
	if f.Handshake.ICMPRef != 0 {
		s |= signICMP
	}
	if f.Prev.ID != 0 {
		s |= signReused
	}
	return s
}

func signsOfClose(f *reassembly.Flow) (s signs) {
	a, b := &f.Ends[0], &f.Ends[1]
	switch {
	case (a.FINRef == 0) != (b.FINRef == 0):
		s = signHalfClosed
	case a.FINRef != 0 && max(a.FINAt, b.FINAt)-finSettled(a, b) >= answeredLate:
		s = signLate
	}
	if f.ActiveCloser == reassembly.CloserBoth {
		s |= signCrossedFIN
	}
	if a.HalfCloseAlive || b.HalfCloseAlive {
		s |= signStillReads
	}
	return s
}

// finSettled is the earliest time from which an answer to a FIN can count: that
// of a FIN or its acknowledgement.
func finSettled(a, b *reassembly.Endpoint) int64 {
	at := min(a.FINAt, b.FINAt)
	for _, d := range [...]*reassembly.Endpoint{a, b} {
		if d.FINAckRef != 0 {
			at = min(at, d.FINAckAt)
		}
	}
	return at
}
