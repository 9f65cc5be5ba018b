//go:build linux

package lab

import (
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// losses are closings of which the wire loses a part. Scenarios that give up
// do so after tcp_orphan_retries of 3, which is about 4 s.
func losses() []Scenario {
	return []Scenario{
		{Name: "fin-lost-once", Does: "The wire loses the client's FIN once.", Play: playFINLost},
		{Name: "first-fin-ack-lost", Does: "The wire loses the ACK of the client's FIN once.",
			Expect: []string{}, ExpectServer: []string{"ack-of-fin-lost"}, Play: playFirstAckLost},
		{Name: "last-ack-lost-once", Does: "The wire loses the client's last ACK once.",
			Expect: []string{"last-ack-lost"}, ExpectServer: []string{}, Tail: 3 * time.Second, Play: playLastAckLost(1)},
		{Name: "last-ack-lost-often", Does: "The wire loses the client's last ACK five times.",
			Expect: []string{"last-ack-lost"}, ExpectServer: []string{}, Possible: []string{"fin-unacked"}, // to the end of the capture
			Tail: 9 * time.Second, Play: playLastAckLost(5)},
		{Name: "last-ack-lost-for-good", Does: "The wire loses every last ACK of the client; the server gives up in LAST_ACK.",
			Expect: []string{"last-ack-lost"}, ExpectServer: []string{"fin-unacked"}, Kernel: []string{"server LAST_ACK>CLOSED"}, Tail: 9 * time.Second, Play: playLastAckLostForGood},
		{Name: "fin-unacked", Does: "The wire loses everything from the moment at which the client closes.",
			Expect: []string{"fin-unacked"}, ExpectServer: []string{}, Kernel: []string{"client FIN_WAIT_1>CLOSED"}, Tail: 9 * time.Second, Play: playFINUnacked},
		{Name: "fin-unacked-last-ack", Does: "The wire loses everything from the moment at which the server closes, second.",
			Expect: []string{"fin-unanswered"}, ExpectServer: []string{"fin-unacked"}, Kernel: []string{"server LAST_ACK>CLOSED"}, Tail: 9 * time.Second, Play: playLastAckUnacked},
		{Name: "simultaneous-close-acks-lost", Does: "Both close at once, and the wire loses the first ACK of either FIN.",
			Expect: []string{"simultaneous-close"}, Kernel: []string{"client FIN_WAIT_1>CLOSING", "server FIN_WAIT_1>CLOSING"}, OneWay: 50 * time.Millisecond, Tail: 3 * time.Second, Play: playCrossedAcksLost},
		{Name: "simultaneous-close-fin-lost", Does: "Both close at once, and the wire loses the server's FIN once.",
			Expect: []string{}, ExpectServer: []string{"simultaneous-close"}, Kernel: []string{"server FIN_WAIT_1>CLOSING"}, OneWay: 50 * time.Millisecond, Tail: 3 * time.Second, Play: playCrossedFINLost},
		{Name: "data-lost-before-fin", Does: "The wire loses the client's last data once: the FIN waits behind the hole.", Play: playDataLostBeforeFIN},
	}
}

// finFrom matches the segments with FIN of a direction.
func finFrom(d Dir) func(*Frame) bool {
	return func(f *Frame) bool { return f.Dir == d && f.Flags.Has(tcp.FIN) }
}

// ackOfFIN matches what does nothing but acknowledge the peer's FIN.
func ackOfFIN(d Dir) func(*Frame) bool {
	return func(f *Frame) bool { return f.Dir == d && f.PureACK() && f.AcksFIN }
}

func playFINLost(b *Bench) {
	b.Wire.Add(DropFirst(1, finFrom(ToServer)))
	playNormal(b)
}

// playFirstAckLost has the server close late, so that its FIN does not
// acknowledge the client's before that is repeated.
func playFirstAckLost(b *Bench) {
	b.Wire.Add(DropFirst(1, ackOfFIN(ToClient)))
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(800 * time.Millisecond)
	b.Close(s)
}

func playLastAckLost(times int) func(*Bench) {
	return func(b *Bench) {
		b.Wire.Add(DropFirst(times, ackOfFIN(ToServer)))
		playNormal(b)
	}
}

func playLastAckLostForGood(b *Bench) {
	b.Tune(b.Server, "tcp_orphan_retries", "3")
	b.Wire.Add(DropFirst(-1, ackOfFIN(ToServer)))
	playNormal(b)
}

func playFINUnacked(b *Bench) {
	b.Tune(b.Client, "tcp_orphan_retries", "3")
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(200 * time.Millisecond)
	b.Wire.Add(Blackhole(ToServer))
	b.Wire.Add(Blackhole(ToClient))
	b.Close(c)
}

func playLastAckUnacked(b *Bench) {
	b.Tune(b.Server, "tcp_orphan_retries", "3")
	c, s := b.Open()
	b.Talk(c, s)
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(200 * time.Millisecond)
	b.Wire.Add(Blackhole(ToServer))
	b.Wire.Add(Blackhole(ToClient))
	b.Close(s)
}

func playCrossedAcksLost(b *Bench) {
	b.Wire.Add(DropFirst(1, ackOfFIN(ToServer)))
	b.Wire.Add(DropFirst(1, ackOfFIN(ToClient)))
	playSimultaneousClose(b)
}

func playCrossedFINLost(b *Bench) {
	b.Wire.Add(DropFirst(1, finFrom(ToClient)))
	playSimultaneousClose(b)
}

func playDataLostBeforeFIN(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Wire.Add(DropFirst(1, func(f *Frame) bool { return f.Dir == ToServer && f.Len == 77 }))
	b.Send(c, 77)
	b.Sleep(5 * time.Millisecond) // the FIN in a segment of its own
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(150 * time.Millisecond)
	b.Close(s)
}
