//go:build linux

package lab

import (
	"net"
	"time"
)

// mixture are the behaviours of a mix.
func mixture() []mixed {
	visit := func(questions int) func(*part) { return func(p *part) { p.visit(questions) } }
	toEnd := func(p *part) { p.visitToEnd(p.open(servicePort)) }
	return []mixed{
		{name: "client-closes", does: "asks, and closes", client: visit(2)},
		{name: "health-check", does: "opens and closes without a word", client: visit(0)},
		{name: "server-closes", does: "asks; the server closes after its answer", client: toEnd, server: closingServer},
		{name: "both-close", does: "asks; both close at the same time", client: bothCloseClient, server: bothCloseServer},
		{name: "half-close", does: "shuts its writing side down, and reads on", expect: []string{"half-close"},
			client: halfCloseClient, server: halfCloseServer},
		{name: "bulk-up", does: "sends 60,000 octets and closes at once", client: bulkUp, server: drainServer},
		{name: "bulk-down", does: "reads 100,000 octets, which the server sends and closes at once", client: bulkDownClient, server: bulkDownServer},
		{name: "abort", does: "aborts after a message that needs no answer", expect: []string{"abortive-close"}, kernel: "client ESTABLISHED>CLOSED", client: abortClient},
		{name: "abort-by-server", does: "asks; the server aborts after its answer", expect: []string{"abortive-close"},
			client: toEnd, server: abortServer},
		{name: "unread", does: "closes without having read the answer", expect: []string{"rst-unread-data"}, kernel: "client ESTABLISHED>CLOSED",
			underLoss: []string{"write-after-fin"}, // the question came late, so the server does write after the FIN
			client:    unreadClient},
		{name: "leak", does: "closes; the server never looks again", expect: []string{"fin-unanswered"}, client: visit(1), server: answerOnce},
		{name: "late-close", does: "closes; the server closes 2 s later", expect: []string{"fin-answered-late"}, client: visit(1), server: lateServer},
		{name: "write-after-fin", does: "closes; the server writes 300 ms later", expect: []string{"write-after-fin"}, kernel: "server CLOSE_WAIT>CLOSED",
			doubtful: []string{"rst-unread-data"}, // the acknowledgement of the FIN is lost, and the payload: whether it was written before is not known
			client:   visit(1), server: writeServer},
		{name: "refused", does: "connects to a port on which nothing listens", expect: []string{"connection-refused"},
			client: func(p *part) { p.open(servicePort + 1) }},
		{name: "reused", does: "asks; the server closes; connects again from the same port", client: reusedClient, server: closingServer},
		{name: "left-open", does: "asks, and leaves the connection open", client: leftOpen, server: answerOnce},
	}
}

// visit asks some questions and closes.
func (p *part) visit(questions int) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, questions)
		c.Close()
	}
}

// visitToEnd asks once, reads until the server's end and closes.
func (p *part) visitToEnd(c *net.TCPConn) {
	if c != nil {
		p.ask(c, 1)
		p.drain(c)
		p.pause(150)
		c.Close()
	}
}

func closingServer(p *part, c *net.TCPConn) {
	p.answer(c, 1)
	p.pause(100)
	c.Close()
}

// answerOnce answers and never looks at the connection again.
func answerOnce(p *part, c *net.TCPConn) { p.answer(c, 1) }

// together is a moment that both applications know: when a connection that was
// opened about now will have been idle for a while.
func together() time.Time { return time.Now().Truncate(time.Second).Add(1500 * time.Millisecond) }

func bothCloseClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		time.Sleep(time.Until(together()))
		c.Close()
	}
}

func bothCloseServer(p *part, c *net.TCPConn) {
	p.answer(c, 1)
	time.Sleep(time.Until(together()))
	c.Close()
}

func halfCloseClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		_ = c.CloseWrite()
		p.drain(c)
		c.Close()
	}
}

func halfCloseServer(p *part, c *net.TCPConn) {
	p.answer(c, -1)
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		p.write(c, answer)
	}
	c.Close()
}

func bulkUp(p *part) {
	if c := p.open(servicePort); c != nil {
		p.write(c, 60_000)
		c.Close()
	}
}

func drainServer(p *part, c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(mixedPatience))
	p.drain(c)
	p.pause(100)
	c.Close()
}

func bulkDownClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.drain(c)
		p.pause(100)
		c.Close()
	}
}

func bulkDownServer(p *part, c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(mixedPatience))
	p.write(c, 100_000)
	c.Close()
}

func abortClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		p.write(c, 20)
		time.Sleep(200 * time.Millisecond)
		_ = Abort(c)
	}
}

func abortServer(p *part, c *net.TCPConn) {
	p.answer(c, 1)
	time.Sleep(200 * time.Millisecond)
	_ = Abort(c)
}

func unreadClient(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		p.write(c, question)
		time.Sleep(300 * time.Millisecond)
		c.Close()
	}
}

func lateServer(p *part, c *net.TCPConn) {
	p.answer(c, -1)
	time.Sleep(2 * time.Second)
	c.Close()
}

func writeServer(p *part, c *net.TCPConn) {
	p.answer(c, -1)
	time.Sleep(300 * time.Millisecond)
	p.write(c, answer)
	time.Sleep(300 * time.Millisecond)
	c.Close()
}

func reusedClient(p *part) {
	p.visitToEnd(p.open(servicePort))
	time.Sleep(1200 * time.Millisecond) // timestamps are to differ
	p.visitToEnd(p.open(servicePort))
}

func leftOpen(p *part) {
	if c := p.open(servicePort); c != nil {
		p.ask(c, 1)
		_ = c.SetDeadline(time.Time{})
	}
}
