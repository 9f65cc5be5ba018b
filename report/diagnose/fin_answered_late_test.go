package diagnose

import (
	"testing"

	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
)

// A side that stood behind its FIN by its own numbers had sent it by then, though
// the first copy that was captured came later.
func TestAnswerWasSentBefore(t *testing.T) {
	f := &reassembly.Flow{Client: tcp.SideA}
	f.Ends[0] = reassembly.Endpoint{FIN: 1, FINRef: tcp.Ref(0, 9), FINAt: 8e9, FINEnd: 302, FINAcksPeer: true}
	f.Ends[1] = reassembly.Endpoint{FIN: 1, FINRef: tcp.Ref(0, 7), FINAt: 5e9, FINAckAt: 5.1e9, FINAckRef: tcp.Ref(0, 8)}
	if since, seen, ok := answerDue(f, tcp.SideB); since != 5.1e9 || !seen || !ok {
		t.Fatalf("since %d, %v, %v", since, seen, ok)
	}
	f.Ends[0].Ahead, f.Ends[0].AheadAt = 301, 5.1e9
	if _, _, ok := answerDue(f, tcp.SideB); !ok {
		t.Error("it had not sent its FIN by then")
	}
	f.Ends[0].Ahead = 302
	if _, _, ok := answerDue(f, tcp.SideB); ok {
		t.Error("it had sent its FIN by then")
	}
}
