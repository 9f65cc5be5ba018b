package fsm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// figure5 is the state diagram of RFC 9293 §3.3.2, one arrow a line: where it
// starts and ends, what causes it and, behind the stroke, what is done.
const figure5 = `
CLOSED      -> LISTEN      passive OPEN / create TCB
CLOSED      -> SYN_SENT    active OPEN / snd SYN
LISTEN      -> CLOSED      CLOSE / delete TCB
LISTEN      -> SYN_SENT    SEND / snd SYN
LISTEN      -> SYN_RCVD    rcv SYN / snd SYN,ACK
SYN_SENT    -> CLOSED      CLOSE / delete TCB
SYN_SENT    -> SYN_RCVD    rcv SYN / snd SYN,ACK
SYN_SENT    -> ESTABLISHED rcv SYN,ACK / snd ACK
SYN_RCVD    -> LISTEN      rcv RST
SYN_RCVD    -> FIN_WAIT_1  CLOSE / snd FIN
SYN_RCVD    -> ESTABLISHED rcv ACK of SYN
ESTABLISHED -> FIN_WAIT_1  CLOSE / snd FIN
ESTABLISHED -> CLOSE_WAIT  rcv FIN / snd ACK
FIN_WAIT_1  -> FIN_WAIT_2  rcv ACK of FIN
FIN_WAIT_1  -> CLOSING     rcv FIN / snd ACK
FIN_WAIT_2  -> TIME_WAIT   rcv FIN / snd ACK
CLOSE_WAIT  -> LAST_ACK    CLOSE / snd FIN
CLOSING     -> TIME_WAIT   rcv ACK of FIN
LAST_ACK    -> CLOSED      rcv ACK of FIN
TIME_WAIT   -> CLOSED      Timeout=2MSL / delete TCB
`

// figureEvents are the words of the figure that are events of the table. A
// user call is one when it sends something; OPEN and CLOSE that send nothing
// leave no trace on the wire and have none.
var figureEvents = map[string]Event{
	"snd SYN": SendSYN, "snd FIN": SendFIN,
	"rcv SYN": RecvSYN, "rcv SYN,ACK": RecvSYNACK, "rcv ACK of SYN": RecvACKOfSYN,
	"rcv ACK of FIN": RecvACKOfFIN, "rcv FIN": RecvFIN, "rcv RST": RecvRST,
	"Timeout=2MSL": Timeout2MSL,
}

// beyondFigure are the edges of the table that the figure does not have, each
// with the section that it must cite and the reason why it is there.
var beyondFigure = []struct {
	edge Edge
	why  string
}{
	{Edge{From: SynSent, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3: the figure omits that any state may send an RST"},
	{Edge{From: SynRcvd, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: Established, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: FinWait1, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: FinWait2, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: CloseWait, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: Closing, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},
	{Edge{From: LastAck, On: SendRST, To: Closed, RFC: "3.10.5"}, "note 3"},

	{Edge{From: SynSent, On: RecvRST, To: Closed, RFC: "3.10.7.3"}, "note 3: the figure omits the RSTs that arrive"},
	{Edge{From: Established, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: FinWait1, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: FinWait2, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: CloseWait, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: Closing, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: LastAck, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},
	{Edge{From: TimeWait, On: RecvRST, To: Closed, RFC: "3.10.7.4"}, "note 3"},

	{Edge{From: SynRcvd, On: RecvRST, To: Closed, RFC: "3.10.7.4"},
		"note 1: a passive opener goes back to LISTEN for another connection; this one is over"},
	{Edge{From: SynRcvd, On: RecvSYNACK, To: Established, RFC: "3.5, figure 7"},
		"simultaneous open: the peer's SYN-ACK carries the ACK of SYN"},
	{Edge{From: SynRcvd, On: RecvFIN, To: CloseWait, RFC: "3.10.7.4"},
		"eighth check: a FIN that came with the SYN is processed in SYN_RCVD"},
	{Edge{From: TimeWait, On: RecvFIN, To: TimeWait, RFC: "3.10.7.4"},
		"eighth check: no change of state, but the 2MSL timer starts again"},
}

// notInTable are the arrows of the figure that the table has not, or not so.
var notInTable = map[string]string{
	"CLOSED -> LISTEN passive OPEN":  "sends nothing",
	"LISTEN -> CLOSED CLOSE":         "sends nothing",
	"SYN_SENT -> CLOSED CLOSE":       "sends nothing",
	"SYN_RCVD -> LISTEN rcv RST":     "note 1, see above",
	"FIN_WAIT_1 -> TIME_WAIT note 2": "two steps, by FIN_WAIT_2: first the ACK of the own FIN, then the peer's",
}

// arrow is a line of the figure; on is 0 when the table has no such event.
type arrow struct {
	from, to State
	on       Event
	key      string // as notInTable has it
}

// arrows reads the figure. It panics on a line that it cannot read.
func arrows() (list []arrow) {
	states := statesByName()
	for line := range strings.SplitSeq(strings.TrimSpace(figure5), "\n") {
		head, action, _ := strings.Cut(line, " / ")
		f := strings.Fields(head)
		cause := strings.Join(f[3:], " ")
		a := arrow{states[f[0]], states[f[2]], figureEvents[cause], f[0] + " -> " + f[2] + " " + cause}
		if a.on == 0 {
			a.on = figureEvents[action]
		}
		if a.from == 0 || a.to == 0 {
			panic("not a line of the figure: " + line)
		}
		list = append(list, a)
	}
	return list
}

// checkFigure compares a table with the figure and the edges beyond it: the
// two together are exactly the table.
func checkFigure(t table) error {
	var want grid
	for _, a := range arrows() {
		if notInTable[a.key] == "" {
			want[a.from][a.on] = a.to
		}
	}
	for _, b := range beyondFigure {
		want[b.edge.From][b.edge.On] = b.edge.To
	}
	for from := Closed; from <= TimeWait; from++ {
		for on := SendSYN; on <= Revise; on++ {
			if to, _ := t.next(from, on); to != want[from][on] {
				return fmt.Errorf("%v on %v leads to %v, the figure and its notes say %v", from, on, to, want[from][on])
			}
		}
	}
	return nil
}

func TestFigure(t *testing.T) {
	if err := checkFigure(ours); err != nil {
		t.Error(err)
	}
	list := arrows()
	if len(list) != 20 {
		t.Errorf("the figure has %d arrows, want 20", len(list))
	}
	known := map[string]bool{"FIN_WAIT_1 -> TIME_WAIT note 2": true}
	drawn := map[[2]int]bool{}
	for _, a := range list {
		known[a.key] = true
		if a.on == 0 && notInTable[a.key] == "" {
			t.Errorf("%s: no event, and no reason why not", a.key)
		}
		if notInTable[a.key] == "" {
			drawn[[2]int{int(a.from), int(a.on)}] = true
		}
	}
	for key := range notInTable {
		if !known[key] {
			t.Errorf("%s: not in the figure", key)
		}
	}
	for _, b := range beyondFigure {
		if err := cites(b.edge); err != nil || b.why == "" {
			t.Errorf("%v on %v, %q: %v", b.edge.From, b.edge.On, b.why, err)
		}
		if drawn[[2]int{int(b.edge.From), int(b.edge.On)}] {
			t.Errorf("%v on %v stands in the figure", b.edge.From, b.edge.On)
		}
	}
}

// cites reports an edge that the RFC's table has not, or with another section.
func cites(want Edge) error {
	for _, e := range RFC() {
		if e.From == want.From && e.On == want.On {
			if e.RFC != want.RFC {
				return fmt.Errorf("cites %s, want %s", e.RFC, want.RFC)
			}
			return nil
		}
	}
	return errors.New("not in the table")
}
