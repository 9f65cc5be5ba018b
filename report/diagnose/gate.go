package diagnose

import "github.com/lastack/lastack/reassembly"

// basis is what a finding rests on beside the packets that it names, and that
// a poor capture cannot give.
type basis uint8

const (
	// onPackets: nothing but the packets in evidence.
	onPackets basis = 0
	// onSilence: that something is not in the capture.
	onSilence basis = 1 << iota
	// onPayload: that all payload and its answers were seen.
	onPayload
	// onClock: that a span of time is as long as the timestamps say.
	onClock
)

// caps say how far each flaw of a capture lowers what rests on what. A cap of 0
// forbids the finding.
var caps = [...]struct {
	flaw reassembly.Quality
	on   basis
	cap  Confidence
}{
	// A direction that was not captured cannot be silent.
	{reassembly.QualityOneWay, onSilence, 0},
	{reassembly.QualityOneWay, onPayload, Possible},
	{reassembly.QualityCaptureLoss, onSilence, Possible},
	{reassembly.QualityCaptureLoss, onPayload, Likely},
	{reassembly.QualityFiltered, onSilence | onPayload | onClock, Possible},
	{reassembly.QualityClockStep, onSilence | onClock, Likely},
}

// rests lowers a finding to what the capture's quality allows it to say, and
// names the flaws that did. It is false when the finding must not be raised. It
// never raises a confidence.
func (d *Finding) rests(f *reassembly.Flow, on basis) bool {
	d.Silent = on&onSilence != 0
	for _, c := range caps {
		if f.Quality&c.flaw == 0 || on&c.on == 0 {
			continue
		}
		if c.cap == 0 {
			return false
		}
		if d.Confidence < c.cap {
			d.Confidence = c.cap
			d.LoweredBy |= c.flaw
		}
	}
	return true
}

// lower weakens a finding to at most sure, on account of the flaws in because
// that the flow has.
func (d *Finding) lower(f *reassembly.Flow, sure Confidence, because reassembly.Quality) {
	if d.Confidence < sure {
		d.Confidence = sure
		d.LoweredBy |= f.Quality & because
	}
}
