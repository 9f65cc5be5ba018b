package traffic

// wheel orders connections by when they act next. Time is in ticks. A slot is
// a list, linked through the connections themselves.
type wheel struct {
	slots   []uint32 // first connection, 0 for none
	now     int64    // ticks; slots before it are empty
	waiting int
}

const (
	tickNS     = 50_000 // event time of one tick
	wheelTicks = 1 << 18
)

func newWheel() wheel { return wheel{slots: make([]uint32, wheelTicks)} }

// add has connection i, which is c, act at tick due or, if that has passed, at
// the next one.
func (w *wheel) add(i uint32, c *conn, due int64) {
	c.due = max(due, w.now+1)
	w.waiting++
	w.link(i, c)
}

// link puts c where it is due or, when that is too far away, as far as the
// wheel reaches.
func (w *wheel) link(i uint32, c *conn) {
	slot := &w.slots[min(c.due, w.now+wheelTicks-1)%wheelTicks]
	c.next, *slot = *slot, i
}

// take empties the slot of the present tick; the list hangs together by
// conn.next.
func (w *wheel) take() uint32 {
	slot := &w.slots[w.now%wheelTicks]
	i := *slot
	*slot = 0
	return i
}
