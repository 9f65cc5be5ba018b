//go:build linux

package lab

import (
	"time"

	"github.com/lastack/lastack/reassembly/tcp"
)

// forgeries are segments that neither endpoint sent. They reach the host at
// one end of the wire only, so that the other end's capture lacks them.
func forgeries() []Scenario {
	return []Scenario{
		{Name: "rst-forged-exact", Does: "Somebody on the path resets the server with the exact sequence number; the client's next data meet an RST.",
			Expect: []string{"rst-on-dead-connection"}, ExpectServer: []string{"rst-forged"}, Play: playForgedExact},
		{Name: "rst-forged-both", Does: "Somebody on the path resets both ends with exact sequence numbers.",
			Expect: []string{"rst-forged"}, Play: playForgedBoth},
		{Name: "rst-forged-in-window", Does: "A blind attacker's RST lies in the server's window: a challenge ACK, and the connection goes on.",
			Expect: []string{}, ExpectServer: []string{"rst-challenged"}, Play: playForgedAt(100, tcp.RST)},
		{Name: "rst-forged-outside", Does: "A blind attacker's RST lies outside the server's window: nothing happens.",
			Expect: []string{}, ExpectServer: []string{"rst-forged"}, Play: playForgedAt(1<<28, tcp.RST)},
		{Name: "syn-ack-forged", Repeats: true, Does: "The wire loses the first SYN, and somebody on the path answers it with a SYN-ACK for another sequence number: the client resets that and goes on.",
			Expect: []string{"bad-syn-ack"}, ExpectServer: []string{}, Possible: []string{"syn-retransmitted"}, Play: playForgedSYNACK},
		{Name: "syn-forged-in-window", Does: "A blind attacker's SYN meets the server's connection: a challenge ACK, and the connection goes on.",
			Expect: []string{}, ExpectServer: []string{"rst-challenged"}, Play: playForgedAt(100, tcp.SYN)},
	}
}

// playForgedSYNACK answers the SYN in its place.
func playForgedSYNACK(b *Bench) {
	lost := DropFirst(1, func(f *Frame) bool { return f.Dir == ToServer && f.Flags.Has(tcp.SYN) })
	b.Wire.Add(func(f *Frame) Fate {
		fate := lost(f)
		if fate.Drop {
			raw := b.Forge(ToClient, f.Src.Port(), Forged{Flags: tcp.SYN | tcp.ACK, Seq: 7_000_000, Ack: f.End().Add(1000),
				TTL: forgedTTL, MSS: 1460})
			time.AfterFunc(time.Millisecond, func() { _ = b.Wire.Inject(ToClient, raw) })
		}
		return fate
	})
	playNormal(b)
}

// forgedTTL is that of a sender some hops away.
const forgedTTL = 57

// next is where the sender of a direction goes on, if nothing is under way.
func (b *Bench) next(d Dir) (seq, ack tcp.Seq) {
	last := b.Wire.Last(d)
	return last.End(), last.Ack
}

func (b *Bench) injectRST(d Dir, seq tcp.Seq) {
	b.Must(b.Wire.Inject(d, b.Forge(d, b.port, Forged{Flags: tcp.RST, Seq: seq, TTL: forgedTTL})))
}

func playForgedExact(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(300 * time.Millisecond)
	seq, _ := b.next(ToServer)
	b.injectRST(ToServer, seq)
	b.RecvReset(s)
	b.Sleep(500 * time.Millisecond)
	b.Send(c, 100)
	b.RecvReset(c)
}

func playForgedBoth(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(300 * time.Millisecond)
	up, _ := b.next(ToServer)
	down, _ := b.next(ToClient)
	b.injectRST(ToServer, up)
	b.injectRST(ToClient, down)
	b.RecvReset(s)
	b.RecvReset(c)
}

// playForgedAt injects a segment some octets beyond what the server expects.
func playForgedAt(beyond uint32, flags tcp.Flags) func(*Bench) {
	return func(b *Bench) {
		c, s := b.Open()
		b.Talk(c, s)
		b.Sleep(300 * time.Millisecond)
		seq, _ := b.next(ToServer)
		b.Must(b.Wire.Inject(ToServer, b.Forge(ToServer, b.port,
			Forged{Flags: flags, Seq: seq.Add(beyond), TTL: forgedTTL})))
		b.Sleep(500 * time.Millisecond)
		b.Talk(c, s)
		b.CloseClientFirst(c, s)
	}
}
