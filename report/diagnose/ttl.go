package diagnose

import "github.com/lastack/lastack/reassembly"

// hops is how far a packet has come, by the initial values that hosts use.
func hops(ttl uint8) uint8 {
	for _, initial := range [...]uint8{64, 128} {
		if ttl <= initial {
			return initial - ttl
		}
	}
	return 255 - ttl
}

// apart is by how much a time to live differs where that means something: a path
// that changes moves it by a hop or two, and a container or a virtual machine is
// as far behind its host.
const apart = 3

// foreign reports an RST whose time to live does not fit its sender: somebody
// on the path may have sent it.
func foreign(f *reassembly.Flow) bool {
	own, rst := int(f.Endpoint(f.Reset.By).TTL), int(f.Reset.TTL)
	return own != 0 && rst != 0 && max(own-rst, rst-own) >= apart
}

// nearer is over how many hops fewer an RST came than its sender's other segments;
// 0 where that is not known.
func nearer(f *reassembly.Flow) int {
	own, rst := f.Endpoint(f.Reset.By).TTL, f.Reset.TTL
	if own == 0 || rst == 0 {
		return 0
	}
	return int(hops(own)) - int(hops(rst))
}

// ofDevice reports an RST of a device on the path, for it came from much nearer
// than its sender's other segments. Where only the initial time to live is
// another one, another stack sent it, which may be on the same machine; and what
// comes from farther away comes by another path, or from another host.
func ofDevice(f *reassembly.Flow) bool { return nearer(f) >= apart }

// answersNearer reports an RST for want of a socket that has come fewer hops than
// the segments of its named sender, the last of which came just before: a device on
// the way has no such connection any more. Of copies, captured at several places,
// times to live say nothing.
func answersNearer(f *reassembly.Flow) bool {
	return f.Reset.InAnswerTo != 0 && nearer(f) > 0 && f.Quality&reassembly.QualityDuplicates == 0
}
