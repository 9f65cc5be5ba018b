//go:build linux

package lab

import (
	"math/rand/v2"
	"time"
)

// closings are the ways in which connections end in order.
func closings() []Scenario {
	return []Scenario{
		{Name: "close-by-server", Does: "The server closes first, the client 150 ms later.", Play: playCloseByServer},
		{Name: "close-three-segments", Does: "The server closes the moment it sees the client's end: its FIN carries the acknowledgement.",
			Play: playThreeSegments},
		{Name: "simultaneous-close", Does: "Both close at once: the FINs cross on the wire.",
			Expect: []string{"simultaneous-close"}, Kernel: []string{"client FIN_WAIT_1>CLOSING", "server FIN_WAIT_1>CLOSING"}, OneWay: 50 * time.Millisecond, Play: playSimultaneousClose},
		{Name: "half-close", Does: "The client shuts its writing side down, and reads what the server sends for another second.",
			Expect: []string{"half-close"}, Play: playHalfClose},
		{Name: "half-close-quiet", Does: "The client shuts its writing side down; the server closes without another word.", Play: playHalfCloseQuiet},
		{Name: "close-with-data-queued", Repeats: true, Does: "The server sends 200,000 octets and closes at once: its FIN stands behind the data.",
			Play: playQueued},
		{Name: "bulk-with-loss", Repeats: true, Does: "As close-with-data-queued, and the wire loses every twentieth segment.", Play: playBulkLoss},
		{Name: "fin-overtakes-data", Repeats: true, Does: "The wire holds the client's last data back for 30 ms: the FIN comes before them.", Play: playFINOvertakes},
		{Name: "segments-doubled", Repeats: true, Does: "The wire delivers every segment twice.", Play: playDoubled},
		{Name: "process-killed", Does: "The client's process is killed while the connection is idle: its kernel closes.", Play: playKilled},
		{Name: "left-open", Does: "The connection is idle when the capture ends.", Tail: 4 * time.Second, Play: playLeftOpen},
	}
}

func playCloseByServer(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.CloseServerFirst(c, s)
}

func playThreeSegments(b *Bench) {
	c, s := b.Open()
	for range 4 { // a dialogue, in which the kernel holds acknowledgements back
		b.Talk(c, s)
	}
	b.Close(c)
	b.RecvEnd(s)
	b.Close(s)
}

func playSimultaneousClose(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Sleep(300 * time.Millisecond)
	b.Close(c)
	b.Close(s)
	b.Sleep(500 * time.Millisecond)
}

func playHalfClose(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Shut(c)
	b.RecvEnd(s)
	for range 5 {
		b.Sleep(200 * time.Millisecond)
		b.Send(s, 500)
		b.Recv(c, 500)
	}
	b.Close(s)
	b.RecvEnd(c)
	b.Close(c)
}

func playHalfCloseQuiet(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Shut(c)
	b.RecvEnd(s)
	b.Sleep(300 * time.Millisecond)
	b.Close(s)
	b.RecvEnd(c)
	b.Close(c)
}

func playQueued(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Send(s, 200_000)
	b.Close(s)
	b.RecvEnd(c)
	b.Sleep(150 * time.Millisecond)
	b.Close(c)
	b.Sleep(200 * time.Millisecond)
}

func playBulkLoss(b *Bench) {
	rng := rand.New(rand.NewPCG(7, 0))
	b.Wire.Add(func(f *Frame) Fate { return Fate{Drop: f.Len > 300 && rng.IntN(20) == 0} })
	playQueued(b)
}

func playFINOvertakes(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	b.Wire.Add(func(f *Frame) Fate {
		if f.Dir == ToServer && f.Len == 77 {
			return Fate{Delay: 30 * time.Millisecond}
		}
		return Fate{}
	})
	b.Send(c, 77)
	b.Sleep(5 * time.Millisecond) // the FIN in a segment of its own
	b.Close(c)
	b.RecvEnd(s)
	b.Sleep(150 * time.Millisecond)
	b.Close(s)
}

func playDoubled(b *Bench) {
	b.Wire.Add(func(f *Frame) Fate {
		if f.IsTCP() {
			return Fate{Copies: 1}
		}
		return Fate{}
	})
	playNormal(b)
}

func playKilled(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
	process := b.Hand(c)
	b.Sleep(200 * time.Millisecond)
	b.Must(process.Close())
	b.RecvEnd(s)
	b.Sleep(150 * time.Millisecond)
	b.Close(s)
}

func playLeftOpen(b *Bench) {
	c, s := b.Open()
	b.Talk(c, s)
}
