package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report/diagnose"
)

// twice looks for connections that were captured on both sides of an address
// translation: under two four-tuples, with the same two initial sequence
// numbers, which together no two connections share. It keeps those with the
// smallest hashes, so that memory is bounded and the sample is the same however
// the flows were divided. The zero value is empty.
type twice struct {
	kept []isnPair
	heap []heapItem // of them, the largest hash on top
	more bool       // there were others
}

// heapItem is pair n of those that are kept. It has the hash beside it, so that
// most pairs are not looked at when another comes.
type heapItem struct {
	hash uint64
	n    int
}

// isnPair is a flow by its initial sequence numbers.
type isnPair struct {
	hash          uint64
	client, serve tcp.Seq
	flow          tcp.PacketRef
	tuple         tcp.Tuple
	opener        tcp.Side
	at            int64
	closes        [2]farewell   // of client and server: how each closed, here
	rst           tcp.PacketRef // that ended it, if one did
	blame         blame
}

// farewell is the FIN by which one side closed, or its RST; without a packet it
// did not.
type farewell struct {
	ref tcp.PacketRef
	rst bool
}

// blame is a finding that one side of a flow did not close; zero for none.
type blame struct {
	group      groupKey
	severity   diagnose.Severity
	confidence diagnose.Confidence
	server     bool // it is the server that is blamed
}

// side is the index of the blamed side: 0 for the client, 1 for the server.
func (b *blame) side() int {
	if b.server {
		return 1
	}
	return 0
}

const (
	// keptPairs bounds what a judge keeps.
	keptPairs = 1024
	// together is how far apart the two copies of a connection's first segment
	// are at most, ns.
	together = 100 * millisecond
)

// add takes a flow whose handshake was seen, and what was found on it.
func (w *twice) add(f *reassembly.Flow, found *blame) {
	if f.Handshake.FirstSYNRef == 0 || f.Handshake.SYNACKRef == 0 {
		return
	}
	c, s := f.Endpoint(f.Client).ISS, f.Endpoint(f.Server()).ISS
	hash := mix(uint64(c)<<32 | uint64(s))
	if len(w.kept) == keptPairs && hash > w.heap[0].hash {
		w.more = true
		return
	}
	p := isnPair{hash: hash, client: c, serve: s, flow: f.ID, tuple: f.Tuple, opener: f.Client, at: f.Start, rst: f.Reset.Ref, blame: *found}
	p.closes[0], p.closes[1] = closed(f, f.Client), closed(f, f.Server())
	p.tuple.Tag = 0 // other VLANs and tunnels are no translation
	w.keep(&p)
}

func (p *isnPair) compare(o *isnPair) int {
	return cmp.Or(cmp.Compare(p.hash, o.hash), cmp.Compare(p.flow, o.flow))
}

// keep holds the pair if it is among the smallest.
func (w *twice) keep(p *isnPair) {
	if n := len(w.kept); n < keptPairs {
		w.kept = append(w.kept, *p)
		w.heap = append(w.heap, heapItem{})
		w.rise(heapItem{p.hash, n})
		return
	}
	if w.more = true; p.compare(&w.kept[w.heap[0].n]) < 0 {
		w.kept[w.heap[0].n] = *p
		w.sink(heapItem{p.hash, w.heap[0].n})
	}
}

// less orders the pairs in the heap as compare does.
func (w *twice) less(a, b heapItem) bool {
	return a.hash < b.hash || a.hash == b.hash && w.kept[a.n].flow < w.kept[b.n].flow
}

// rise puts a pair into the heap, whose last place is free.
func (w *twice) rise(x heapItem) {
	i := len(w.heap) - 1
	for up := (i - 1) / 2; i > 0 && w.less(w.heap[up], x); up = (i - 1) / 2 {
		w.heap[i] = w.heap[up]
		i = up
	}
	w.heap[i] = x
}

// sink puts a pair into the heap, whose top is free.
func (w *twice) sink(x heapItem) {
	i := 0
	for k := 1; k < len(w.heap); k = 2*i + 1 {
		if k+1 < len(w.heap) && w.less(w.heap[k], w.heap[k+1]) {
			k++
		}
		if !w.less(x, w.heap[k]) {
			break
		}
		w.heap[i] = w.heap[k]
		i = k
	}
	w.heap[i] = x
}

func (w *twice) clone() twice { return twice{slices.Clone(w.kept), slices.Clone(w.heap), w.more} }

// plus adds another judge's. The sum is as large as all of them, and no heap.
func (w *twice) plus(o *twice) {
	w.kept = append(w.kept, o.kept...)
	w.more = w.more || o.more
}

// closed is how a side closed.
func closed(f *reassembly.Flow, s tcp.Side) farewell {
	switch d := f.Endpoint(s); {
	case d.FINRef != 0 && d.FIN > 0:
		return farewell{ref: d.FINRef}
	case f.Reset.Ref != 0 && f.Reset.By == s:
		return farewell{ref: f.Reset.Ref, rst: true}
	}
	return farewell{}
}

// same reports that both are copies of one connection under two four-tuples.
func (p *isnPair) same(q *isnPair) bool {
	return p.hash == q.hash && p.client == q.client && p.serve == q.serve && p.tuple != q.tuple &&
		max(p.at-q.at, q.at-p.at) <= together
}

// aliased is how many connections were captured under several four-tuples, as how
// many flows, and the first two of these.
type aliased struct {
	connections, flows uint64
	a, b               isnPair
}

// found looks through the connections that are known. Of more than are kept it is a
// sample of those with the smallest hashes, and the numbers are estimates.
func (w *twice) found() (x aliased) {
	list := slices.Clone(w.kept)
	slices.SortFunc(list, func(p, q isnPair) int { return p.compare(&q) })
	if w.more {
		list = list[:min(len(list), keptPairs)]
	}
	for i := 1; i < len(list); i++ {
		p, q := list[i-1], list[i]
		if !p.same(&q) {
			continue
		}
		if i == 1 || !list[i-2].same(&p) {
			x.connections++
			x.flows++
		}
		x.flows++
		if x.a.flow == 0 || p.flow < x.a.flow {
			x.a, x.b = p, q
		}
	}
	if n := len(list); w.more && n > 0 {
		share := float64(list[n-1].hash) / (1 << 64)
		x.connections, x.flows = roughly(float64(x.connections)/share), roughly(float64(x.flows)/share)
	}
	return x
}

// roughly rounds to two digits.
func roughly(x float64) uint64 {
	unit := 1.0
	for x/unit >= 100 {
		unit *= 10
	}
	return uint64(math.Round(x/unit) * unit)
}

// words tells it.
func (w *twice) words() string {
	x := w.found()
	if x.connections == 0 {
		return ""
	}
	ends := func(p *isnPair) string {
		return fmt.Sprintf("%s to %s", p.tuple.End(p.opener), p.tuple.End(p.opener.Other()))
	}
	about := ""
	if w.more {
		about = "about "
	}
	was, count := "were", "count"
	if x.connections == 1 {
		was, count = "was", "counts"
	}
	return fmt.Sprintf("%s%s %s captured on both sides of an address translation and %s as %s flows: %s is also %s",
		about, Plural(x.connections, "connection", "connections"), was, count, Count(x.flows), ends(&x.a), ends(&x.b))
}

// mix spreads the bits of a number.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
