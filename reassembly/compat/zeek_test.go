package compat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lastack/lastack/reassembly/compat"
	"github.com/lastack/lastack/reassembly/tcp"
)

const (
	handshake = "> S 100 0; < SA 300 101; > A 101 301;"
	exchange  = handshake + "> PA 101 301 +10; < A 301 111; < PA 301 111 +20; > A 111 321;"
)

// port is the server's port: one that Zeek does not know as a server's unless
// said otherwise.
const (
	unlisted = 9999
	listed   = 80
)

// Those marked "zeek" end as Zeek itself had such a connection end in its own
// tests; the others follow from its rules by hand.
var zeekTests = []struct {
	name           string
	port           uint16
	text           string
	history, state string
}{
	// One for each conn_state.
	{"attempt", unlisted, "> S 100 0; > S 100 0; > S 100 0", "S", "S0"},
	{"established", unlisted, exchange, "ShADad", "S1"},
	{"handshake without third ACK", unlisted, "> S 100 0; < SA 300 101", "Sh", "S1"},
	{"normal, client first", unlisted, exchange + "> FA 111 321; < FA 321 112; > A 112 322", "ShADadFf", "SF"},
	{"normal, server first", unlisted, exchange + "< FA 321 111; > A 111 322; > FA 111 322; < A 322 112", "ShADadfF", "SF"},
	{"last FIN not acknowledged", unlisted, exchange + "< FA 321 111; > FA 111 322", "ShADadfF", "SF"},
	{"refused", unlisted, "> S 100 0; < RA 0 101", "Sr", "REJ"},
	{"refused three times", unlisted, "> S 100 0; < RA 0 101; > S 100 0; < RA 0 101; > S 100 0; < RA 0 101", "Sr", "REJ"},
	{"refused, and the client resets", unlisted, "> S 100 0; < RA 0 101; > R 101 0", "SrR", "REJ"},
	{"client closes alone", unlisted, handshake + "> FA 101 301; < A 301 102", "ShAFa", "S2"},
	{"server closes alone", unlisted, handshake + "< FA 301 101; > A 101 302", "ShAf", "S3"},
	{"client aborts", unlisted, exchange + "> RA 111 321", "ShADadR", "RSTO"},
	{"half-open scan", unlisted, "> S 100 0; < SA 300 101; > R 101 0", "ShR", "RSTO"},
	{"server aborts", unlisted, exchange + "< RA 321 111", "ShADadr", "RSTR"},
	{"SYN and RST (zeek)", unlisted, "> S 100 0; > R 101 0", "SR", "RSTOS0"},
	{"SYN, ACK and RST (zeek)", unlisted, "> S 0 0; < A 0 0; > R 0 0", "SaR", "RSTOS0"},
	{"SYN, ACK, FIN and RST (zeek)", unlisted, "> S 0 0; < A 0 0; > F 0 0; > R 0 0", "SaFR", "OTH"},
	{"RST alone (zeek)", unlisted, "> R 100 0", "R", "OTH"},
	{"SYN-ACK alone (zeek)", listed, "< SA 300 101", "^h", "OTH"},
	{"SYN-ACK and RST", listed, "< SA 300 101; < R 301 0", "^hr", "RSTRH"},
	{"SYN-ACK and FIN", listed, "< SA 300 101; < FA 301 101", "^hf", "SHR"},
	{"SYN and FIN", unlisted, "> S 100 0; > F 101 0", "SF", "SH"},
	{"in the middle", unlisted, "> PA 101 301 +10; < A 301 111", "Da", "OTH"},
	{"in the middle, data both ways (zeek)", unlisted, "> PA 101 301 +10; < PA 301 111 +10; > A 111 311", "DdA", "OTH"},
	{"in the middle, both close", unlisted, "> FA 101 301; < FA 301 102; > A 102 302", "FfA", "SF"},
	{"in the middle, the server resets", unlisted, "> PA 101 301 +10; < R 301 0", "Dr", "RSTRH"},

	// Orders and repetitions.
	{"SYN missing, server closes last (zeek)", listed, "< SA 300 101; > A 101 301; > PA 101 301 +10; < PA 301 111 +20; > FA 111 321; < A 321 112; < FA 321 112", "^hADdFaf", "SF"},
	{"SYN missing, known port (zeek)", listed, "< SA 300 101; > A 101 301; > PA 101 301 +10; < A 301 111; < PA 301 111 +20; > FA 111 321; < FA 321 112", "^hADadFf", "SF"},
	{"FIN, RST, FIN of the peer, RST (zeek)", unlisted,
		"> S 100 0; < SA 300 101; > A 101 301; > PA 101 301 +10; < A 301 111; < PA 301 111 +20; < PA 301 111 +20; > FA 111 321; > R 112 0; < FA 321 112; < R 322 0",
		"ShADadtFRfr", "SF"},
	{"gaps both ways, retransmission (zeek)", unlisted,
		"> S 100 0; < SA 300 101; > A 101 301; > PA 101 301 +10; < A 301 401; gap >; < PA 301 401 +20; > A 401 901; gap <; < PA 301 401 +20; > RA 401 901",
		"ShADaGdgtR", "RSTO"},
	{"FIN before the SYN-ACK (zeek)", listed, "> S 2187051757 0; > F 2187051757 0; < SA 1539553752 2187051758; > FA 2187051757 1539553753; < R 1539553753 2397663729", "SFhr", "RSTR"},
	{"SYN-ACK before SYN, known port", listed, "< SA 300 101; > S 100 0; > A 101 301; > FA 101 301; < FA 301 102", "^hSAFf", "SF"},
	{"SYN-ACK before SYN, unknown port", unlisted, "< SA 300 101; > S 100 0; > A 101 301; > FA 101 301; < FA 301 102", "Hs^AFf", "SF"},
	{"aborted after FIN, RSTs at several numbers", unlisted,
		"> S 100 0; < SA 300 101; > A 101 301; < PA 301 101 +20; > PA 101 321 +10; < A 321 111; > FA 111 321; > R 112 0; > R 212 0; > R 212 0",
		"ShAdDaFRR", "RSTO"},
	{"FIN again and FIN moved", unlisted, exchange + "> FA 111 321; > FA 111 321; > FA 112 321; > FA 112 321", "ShADadFF", "S2"},
	{"FIN with payload, then bare", unlisted, exchange + "> FA 111 321 +5; > FA 116 321; < FA 321 117", "ShADadFf", "SF"},
	{"RST by both", unlisted, exchange + "> R 111 0; < R 321 0", "ShADadRr", "RSTR"},
	{"RST after the close", unlisted, exchange + "> FA 111 321; < FA 321 112; > R 112 0; > R 112 0", "ShADadFfR", "SF"},
	{"SYN-ACK again and with another ISN", unlisted, "> S 100 0; < SA 300 101; < SA 300 101; < SA 700 101", "Sh", "S1"},
	{"SYN-ACK after the close", unlisted, "> S 100 0; < SA 300 101; < FA 301 101; < SA 700 101", "Shfh", "S3"},
	{"RST, then a SYN-ACK, then the RST again", unlisted, "> S 100 0; < R 299 0; < SA 300 101; < R 301 0; < R 302 0", "Srhr", "REJ"},
	{"simultaneous open", unlisted, "> S 100 0; < S 300 0; > SA 100 301; < SA 300 101", "Ss", "S1"},
	{"fast open", unlisted, "> S 100 0 +10; < SA 300 111; > A 111 301", "SThA", "S1"},
	{"fast open refused", unlisted, "> S 100 0 +10; > S 100 0; < SA 300 101; > A 101 301; > PA 101 301 +10", "SThAD", "S1"},
	{"ACK before the SYN-ACK", unlisted, "> S 100 0; < A 0 101; < SA 300 101; > A 101 301", "SahA", "S1"},
	{"ACKs before any answer, then a FIN", unlisted, "> S 100 0 +10; < A 300 111; > F 111 0; > R 112 0; < A 300 111; < FA 300 112", "STaFRf", "SF"},
	{"payload after the RST, and the peer's FIN", unlisted, exchange + "> FA 111 321; > R 112 0; > A 112 321 +10; < FA 321 112; > A 112 321 +10", "ShADadFRf", "SF"},

	// Odd flags.
	{"FIN and RST", unlisted, exchange + "> FRA 111 321; > FRA 111 321", "ShADadI", "RSTO"},
	{"SYN and FIN together", unlisted, "> SF 100 0; < RA 0 101", "Qr", "RSTR"},
	{"SYN and RST together", unlisted, "> SR 100 0", "Q", "OTH"},
	{"no flags", unlisted, "> - 100 0; < RA 0 100", "r", "RSTRH"},

	// Letters by powers of ten.
	{"retransmissions", unlisted, exchange + "> PA 101 301 +10 *10", "ShADadTT", "S1"},
	{"nine retransmissions", unlisted, exchange + "> PA 101 301 +10 *9", "ShADadT", "S1"},
	{"zero windows", unlisted, exchange + "< A 321 111 w0 *100", "ShADadwww", "S1"},
	{"zero window after the peer's FIN", unlisted, exchange + "> FA 111 321; < A 321 112 w0", "ShADadF", "S2"},
	{"zero window in an RST", unlisted, exchange + "> R 111 0 w0", "ShADadR", "RSTO"},
	{"gaps", unlisted, exchange + strings.Repeat("gap <;", 10), "ShADadgg", "S1"},
	{"more retransmissions than are counted", unlisted, exchange + "> PA 101 301 +10 *65537", "ShADadTTTTT", "S1"},
	{"more gaps than are counted", unlisted, exchange + strings.Repeat("gap <;", 257), "ShADadggg", "S1"},
	{"gap in the middle of a flow", unlisted, "> PA 101 301 +10; < A 301 111; gap >", "Da", "OTH"},
	{"gap after an RST", unlisted, exchange + "< R 321 111; gap >", "ShADadr", "RSTR"},
	{"keepalives", unlisted, exchange + "> A 110 321 +1; < A 321 111", "ShADadT", "S1"},

	// Numbers that wrap around or leap.
	{"across 2^32", unlisted, "> S 0xfffffffe 0; < SA 0xffffffff 0xffffffff; > A 0xffffffff 0; > PA 0xffffffff 0 +10; < A 0 9; > PA 0xffffffff 0 +10; > FA 9 0; > FA 9 0", "ShADaTF", "S2"},
	{"FIN before the start", unlisted, "> SR 102 300; < R 300 100; > F 101 300", "QrF", "RSTR"},
	{"RST with payload far behind", unlisted, exchange + "> R 0xffe00000 0 +4", "ShADadR", "RSTO"},
	{"acknowledged, and not captured", unlisted, "> S 100 0; < SA 300 101; > A 101 301; < A 301 101; < A 301 151; > R 151 0; < R 301 0", "ShAaRr", "RSTR"},
	{"acknowledgement of 0", unlisted, "> S 0x90000000 0; < A 5 0; < R 5 0; > R 0x90000001 0", "SarR", "REJ"},
	{"RST far away", unlisted, exchange + "> R 0x80000000 0; > PA 101 301 +10", "ShADadR", "RSTO"},
}

// Every transcript must give the same whichever side the client's address
// makes it.
func TestZeek(t *testing.T) {
	for _, tt := range zeekTests {
		for _, isB := range []bool{false, true} {
			tr := transcript{clientPort: 40000, serverPort: tt.port, clientIsB: isB, text: tt.text}
			s := tr.run(t)
			if got := s.History(tr.client()); got != tt.history {
				t.Errorf("%s (client is B: %v): history %q, want %q", tt.name, isB, got, tt.history)
			}
			if got := s.ConnState(tr.client()); got != tt.state {
				t.Errorf("%s (client is B: %v): conn_state %s, want %s", tt.name, isB, got, tt.state)
			}
		}
	}
}

// The tests reach every conn_state.
func TestZeekStatesCovered(t *testing.T) {
	seen := map[string]bool{}
	for _, tt := range zeekTests {
		seen[tt.state] = true
	}
	for _, want := range strings.Fields("S0 S1 SF REJ S2 S3 RSTO RSTR RSTOS0 RSTRH SH SHR OTH") {
		if !seen[want] {
			t.Errorf("no test for %s", want)
		}
	}
}

// Who is Zeek's originator when there was no SYN, and whether it says so.
func TestOrientation(t *testing.T) {
	tests := []struct {
		name           string
		client, server uint16
		text           string
		history        string
	}{
		{"server sends first, known port", 40000, 443, "< PA 300 101 +10; > A 101 310", "^dA"},
		{"server sends first, unknown port", 40000, unlisted, "< PA 300 101 +10; > A 101 310", "dA"},
		{"client sends first", 40000, 443, "> PA 101 300 +10; < A 300 111", "Da"},
		{"both known, sender lower", 8080, 80, "< PA 300 101 +10", "^d"},
		{"both known, sender higher", 8080, 80, "> PA 300 101 +10", "D"},
		{"both known, SYN-ACK", 8080, 80, "< SA 300 101", "h"},
		{"SYN to a client's port", 40000, 443, "< S 300 0", "s"},
	}
	for _, tt := range tests {
		tr := transcript{clientPort: tt.client, serverPort: tt.server, text: tt.text}
		if got := tr.run(t).History(tr.client()); got != tt.history {
			t.Errorf("%s: history %q, want %q", tt.name, got, tt.history)
		}
	}
}

// The other side's view differs in case alone.
func TestHistoryOfOtherSide(t *testing.T) {
	tr := transcript{clientPort: 40000, serverPort: listed, text: "< SA 300 101; > A 101 301; > FA 101 301; < FA 301 102"}
	s := tr.run(t)
	if got := s.History(tr.client().Other()); got != "^HafF" {
		t.Errorf("history of the server as originator: %q", got)
	}
	if got := s.ConnState(tr.client().Other()); got != "SF" {
		t.Errorf("conn_state of the server as originator: %s", got)
	}
}

// A history without end is cut, but the letters that repeat by powers of ten
// leave room for those of the close.
func TestHistoryFull(t *testing.T) {
	text := exchange + "> PA 101 301 +10 *10000; < PA 301 111 +20 *10000; > A 111 321 w0 *10000; < A 321 111 w0 *10000;"
	tr := transcript{clientPort: 40000, serverPort: unlisted, text: text + "> FA 111 321; < FA 321 112; > R 112 0; < R 322 0"}
	if got := tr.run(t).History(tr.client()); got != "ShADadTTTTTtttFfRr" {
		t.Errorf("history %q", got)
	}
	for i := range 40 {
		tr.text += fmt.Sprintf("; > R %d 0", 1000+i)
	}
	if got := tr.run(t).History(tr.client()); got != "ShADadTTTTTtttFfRr" {
		t.Errorf("history beyond its end %q", got)
	}
}

func TestQuotesAreNotObserved(t *testing.T) {
	var s compat.State
	s.Observe(&tcp.Segment{Kind: tcp.KindICMP, Flags: tcp.SYN, From: tcp.SideA})
	if s != (compat.State{}) {
		t.Error("what an ICMP error quotes was observed")
	}
}
