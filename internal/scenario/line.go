package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/lastack/lastack/reassembly/tcp"
)

// host is one end's name: 'C' for clients, 'S' for servers, 'R' for a router,
// and its number from 1.
type host struct {
	kind byte
	n    uint8
}

// endpoint is a host and its port.
type endpoint struct {
	host
	port uint16
}

// numbered is an optional number of a line.
type numbered struct {
	set bool
	n   int64
}

// line is one packet of a transcript.
type line struct {
	no       int
	at       int64 // ns from the scenario's start, or from the line before
	relative bool  // at is a distance
	end      bool  // a frame that is not TCP

	src, dst endpoint
	flags    tcp.Flags
	seq      numbered // relative to the sender's ISN
	length   uint32
	ack      numbered // relative to the peer's ISN
	sack     [][2]int64

	ttl, ipid, win, mss, wscale numbered
	ts                          numbered
	tsecr                       uint32
	isn                         string // "12345", "+65537" or "-5" beside the sender's old SND.NXT
	oldSeq, oldAck              bool   // number by the connection before
	nots, noopts                bool
	active, passive             bool // an RST by a live socket, or by none
	badsum                      bool
	tso                         bool  // the IP header's length is 0: the host has yet to cut it
	dup                         int64 // ns after which the same frame is captured again; 0 for never

	icmp               bool
	icmpType, icmpCode uint8
	quote              int // frame to quote; 0 for the last one of the addressee
}

// parseLine takes "TIME SRC > DST FLAGS seq:end(len) ack N key=value ...",
// "TIME R > DST icmp TYPE/CODE" or "TIME end".
func parseLine(text string, no int) (line, error) {
	l := line{no: no}
	w := strings.Fields(text)
	var err error
	if l.at, l.relative, err = parseTime(w[0]); err != nil {
		return l, err
	}
	if len(w) >= 2 && w[1] == "end" && (len(w) == 2 || w[2][0] == '(') {
		l.end = true // what follows is a remark
		return l, nil
	}
	if len(w) < 5 || w[2] != ">" {
		return l, fmt.Errorf("want TIME SRC > DST FLAGS ..., have %q", text)
	}
	if l.src, err = parseEndpoint(w[1]); err != nil {
		return l, err
	}
	if l.dst, err = parseEndpoint(w[3]); err != nil {
		return l, err
	}
	rest := w[5:]
	if w[4] == "icmp" {
		if len(rest) == 0 {
			return l, fmt.Errorf("icmp without TYPE/CODE")
		}
		l.icmp = true
		if _, err := fmt.Sscanf(rest[0], "%d/%d", &l.icmpType, &l.icmpCode); err != nil {
			return l, fmt.Errorf("want icmp TYPE/CODE, have %q", rest[0])
		}
		rest = rest[1:]
	} else if l.flags, err = parseFlags(w[4]); err != nil {
		return l, err
	}
	for i := 0; i < len(rest); i++ {
		if rest[i] == "ack" && i+1 < len(rest) {
			i++
			err = l.ack.parse(rest[i])
		} else {
			err = l.attribute(rest[i])
		}
		if err != nil {
			return l, err
		}
	}
	if l.flags.Has(tcp.ACK) && !l.ack.set && !l.icmp {
		return l, fmt.Errorf("the ACK flag needs \"ack N\"")
	}
	return l, nil
}

// attribute takes "seq:end(len)" or one of the words that follow it.
func (l *line) attribute(w string) error {
	key, val, hasVal := strings.Cut(w, "=")
	switch key {
	case "nots":
		l.nots = true
	case "noopts":
		l.noopts = true
	case "active":
		l.active = true
	case "passive":
		l.passive = true
	case "badsum":
		l.badsum = true
	case "tso":
		l.tso = true
	case "old":
		l.oldSeq, l.oldAck = true, true
	case "oldseq":
		l.oldSeq = true
	case "oldack":
		l.oldAck = true
	case "isn":
		l.isn = val
	case "ttl":
		return l.ttl.parse(val)
	case "ipid":
		return l.ipid.parse(val)
	case "win":
		return l.win.parse(val)
	case "mss":
		return l.mss.parse(val)
	case "wscale":
		return l.wscale.parse(val)
	case "ts":
		v, e, _ := strings.Cut(val, ",")
		ecr, err := strconv.ParseUint(e, 0, 32)
		if err != nil {
			return fmt.Errorf("want ts=VALUE,ECHO, have %q", w)
		}
		l.tsecr = uint32(ecr)
		return l.ts.parse(v)
	case "sack":
		return l.parseSACK(val)
	case "dup":
		l.dup = 50_000
		if hasVal {
			ms, err := strconv.ParseFloat(val, 64)
			if err != nil {
				return fmt.Errorf("want dup=MILLISECONDS, have %q", w)
			}
			l.dup = int64(ms * 1e6)
		}
	case "quote":
		n, err := strconv.Atoi(val)
		l.quote = n
		return err
	default:
		return l.parseSeq(w)
	}
	return nil
}

// parseSeq takes "seq:end(len)"; end must agree with len.
func (l *line) parseSeq(w string) error {
	var seq, end, n int64
	if _, err := fmt.Sscanf(w, "%d:%d(%d)", &seq, &end, &n); err != nil {
		return fmt.Errorf("unknown word %q", w)
	}
	if end != seq+n || n < 0 || n > math.MaxUint16 {
		return fmt.Errorf("%q: the end is not the start plus the length", w)
	}
	l.seq, l.length = numbered{true, seq}, uint32(n)
	return nil
}

// parseSACK takes "a-b,c-d".
func (l *line) parseSACK(val string) error {
	for _, r := range strings.Split(val, ",") {
		var a, b int64
		if _, err := fmt.Sscanf(r, "%d-%d", &a, &b); err != nil {
			return fmt.Errorf("want sack=LEFT-RIGHT,..., have %q", val)
		}
		l.sack = append(l.sack, [2]int64{a, b})
	}
	return nil
}

func (n *numbered) parse(val string) error {
	v, err := strconv.ParseInt(val, 0, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", val)
	}
	*n = numbered{true, v}
	return nil
}

// or is the number, or a default.
func (n numbered) or(def int64) int64 {
	if n.set {
		return n.n
	}
	return def
}

// parseTime takes seconds with decimals, exactly, and "+0.010" for a distance.
func parseTime(w string) (ns int64, relative bool, err error) {
	text, relative := strings.CutPrefix(w, "+")
	whole, frac, _ := strings.Cut(text, ".")
	s, err := strconv.ParseUint(whole, 10, 31)
	if err != nil || len(frac) > 9 {
		return 0, false, fmt.Errorf("%q is not a time in seconds", w)
	}
	f, err := strconv.ParseUint(frac+strings.Repeat("0", 9-len(frac)), 10, 63)
	if err != nil {
		return 0, false, fmt.Errorf("%q is not a time in seconds", w)
	}
	return int64(s)*1e9 + int64(f), relative, nil
}

// parseHost takes "C", "S2", "R".
func parseHost(w string) (host, bool) {
	if w == "" || !strings.Contains("CSR", w[:1]) {
		return host{}, false
	}
	h := host{kind: w[0], n: 1}
	if len(w) > 1 {
		n, err := strconv.ParseUint(w[1:], 10, 7)
		if err != nil || n == 0 {
			return host{}, false
		}
		h.n = uint8(n)
	}
	return h, true
}

// parseEndpoint takes a host, or "HOST:PORT". Clients have port 40001 and
// servers 8080 unless said.
func parseEndpoint(w string) (endpoint, error) {
	name, port, hasPort := strings.Cut(w, ":")
	h, ok := parseHost(name)
	if !ok {
		return endpoint{}, fmt.Errorf("%q is no host: want C, S or R and a number", w)
	}
	e := endpoint{host: h, port: 8080}
	if h.kind == 'C' {
		e.port = 40001
	}
	if hasPort {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return endpoint{}, fmt.Errorf("%q: the port is not a number", w)
		}
		e.port = uint16(p)
	}
	return e, nil
}

// parseFlags takes tcpdump's letters; '.' is ACK, "none" is no flag at all.
func parseFlags(w string) (f tcp.Flags, err error) {
	if w == "none" {
		return 0, nil
	}
	for _, c := range w {
		switch c {
		case 'S':
			f |= tcp.SYN
		case 'F':
			f |= tcp.FIN
		case 'R':
			f |= tcp.RST
		case 'P':
			f |= tcp.PSH
		case '.':
			f |= tcp.ACK
		case 'U':
			f |= tcp.URG
		case 'E':
			f |= tcp.ECE
		case 'W':
			f |= tcp.CWR
		case 'e':
			f |= tcp.AE
		default:
			return 0, fmt.Errorf("unknown flag %q in %q", c, w)
		}
	}
	return f, nil
}
