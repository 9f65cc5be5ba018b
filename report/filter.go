package report

import "github.com/lastack/lastack/reassembly"

// flagsOnly counts, over the flows that show a FIN, those of which the capture
// holds nothing but SYN, FIN and RST. One such flow may have been cut off; a
// capture of them was filtered.
type flagsOnly struct {
	closing, bare uint64
	half          uint64 // of the bare ones, with the FIN of one side and no RST
	syn, rst      uint64 // segments
}

// leastFiltered flows tell that a capture was filtered.
const leastFiltered = 5

func (n *flagsOnly) add(f *reassembly.Flow) {
	a, b := &f.Ends[0], &f.Ends[1]
	n.syn, n.rst = n.syn+a.SYN+b.SYN, n.rst+a.RST+b.RST
	if a.FIN+b.FIN == 0 {
		return
	}
	n.closing++
	if a.Packets+b.Packets == a.SYN+a.FIN+a.RST+b.SYN+b.FIN+b.RST {
		n.bare++
		if min(a.FIN, b.FIN)+a.RST+b.RST == 0 {
			n.half++
		}
	}
}

func (n *flagsOnly) plus(o flagsOnly) {
	n.closing, n.bare, n.half = n.closing+o.closing, n.bare+o.bare, n.half+o.half
	n.syn, n.rst = n.syn+o.syn, n.rst+o.rst
}

// filtered reports that the capture as a whole was filtered on flags.
func (n *flagsOnly) filtered() bool { return n.bare >= leastFiltered && n.bare*100 >= n.closing*blind }

// filter is the capture filter that leaves what was captured.
func (n *flagsOnly) filter() string {
	if n.syn+n.rst == 0 {
		return "tcp[tcpflags] & tcp-fin != 0"
	}
	return "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"
}

// kinds are the segments that it leaves.
func (n *flagsOnly) kinds() string {
	if n.syn+n.rst == 0 {
		return "FINs"
	}
	return "SYN, FIN and RST"
}
