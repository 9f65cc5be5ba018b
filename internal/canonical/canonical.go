// Package canonical makes the reports that the renderers' golden files show:
// clean, one cause, mixed, one way, empty, many.
//
// In comes nothing; out come reports, each made by the analysis itself of
// segments that stand here. The rules are stand-ins with words of their own, so
// that the golden files change when a renderer does and not when a rule does.
package canonical

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lastack/lastack/fsm"
	"github.com/lastack/lastack/reassembly"
	"github.com/lastack/lastack/reassembly/tcp"
	"github.com/lastack/lastack/report"
	"github.com/lastack/lastack/report/diagnose"
)

// Start is when every input begins, ns since 1970: 2026-01-31 14:00:02 UTC.
var Start = time.Date(2026, 1, 31, 14, 0, 2, 0, time.UTC).UnixNano()

// Input is the segments of one report.
type Input struct {
	Name     string
	Segments []tcp.Segment
	End      int64 // ns since 1970
	Report   report.Input
}

// Inputs lists them.
func Inputs() []Input { return []Input{clean(), leak(), mixed(), oneWay(), empty(), many()} }

// Analyse makes the report of an input.
func (in Input) Analyse(o report.Options) (*report.Report, error) {
	o.Rules, o.States = Rules(), true
	a := report.New(o)
	for i := range in.Segments {
		a.Add(&in.Segments[i])
	}
	return a.Finish(in.End, in.Report)
}

// Reports makes all of them, by name.
func Reports() map[string]*report.Report {
	out := map[string]*report.Report{}
	for _, in := range Inputs() {
		r, err := in.Analyse(report.Options{ListFindings: true})
		if err != nil {
			panic(err) // there is no writer that could fail
		}
		out[in.Name] = r
	}
	return out
}

// talk writes the segments of an input.
type talk struct {
	in     Input
	source int
}

func newTalk(name string, files ...string) *talk {
	t := &talk{in: Input{Name: name, End: Start}}
	profile := reassembly.Profiles()[0]
	t.in.Report = report.Input{
		Meta:  report.Meta{Version: "0.1.0", Command: []string{"lastack", name}, Profile: profile},
		Start: Start,
	}
	for _, f := range files {
		t.in.Report.Sources = append(t.in.Report.Sources, report.Source{
			Name: f, Format: "pcapng", LinkTypes: []uint16{1}, Snaplen: 262144, Bytes: 4096,
			SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		})
	}
	return t
}

// flow is one connection being talked.
type flow struct {
	t              *talk
	client, server netip.AddrPort
	at             int64     // of the last segment, ns
	next           [2]uint32 // sequence numbers: client, server
}

const (
	clientISN = 1000
	serverISN = 5000
)

func (t *talk) flow(at time.Duration, client, server string) *flow {
	return &flow{
		t: t, client: netip.MustParseAddrPort(client), server: netip.MustParseAddrPort(server),
		at: Start + int64(at), next: [2]uint32{clientISN, serverISN},
	}
}

// send adds a segment, some time after the last one. from is 0 for the client.
func (f *flow) send(after time.Duration, from int, flags tcp.Flags, length uint32) *flow {
	f.at += int64(after)
	src, dst := f.client, f.server
	if from == 1 {
		src, dst = dst, src
	}
	a, b := src.Addr().As16(), dst.Addr().As16()
	in := &f.t.in
	in.Report.Packets++
	source := &in.Report.Sources[f.t.source]
	source.Packets++
	s := tcp.Segment{
		At: f.at, Ref: tcp.Ref(f.t.source, source.Packets), Seq: tcp.Seq(f.next[from]), Len: length,
		Flags: flags, Window: 65000, TTL: 64, Kind: tcp.KindTCP, IPID: uint16(source.Packets),
	}
	if flags.Any(tcp.ACK) {
		s.Ack = tcp.Seq(f.next[1-from])
	}
	s.Tuple, s.From = tcp.MakeTuple(&a, &b, src.Port(), dst.Port())
	f.next[from] = uint32(s.End())
	in.Segments = append(in.Segments, s)
	in.End = max(in.End, s.At)
	if source.First == 0 {
		source.First = s.At
	}
	source.Last = max(source.Last, s.At)
	return f
}

// done puts the segments into the order of their times and numbers the frames.
func (t *talk) done() Input {
	slices.SortStableFunc(t.in.Segments, func(a, b tcp.Segment) int { return cmp.Compare(a.At, b.At) })
	frames := map[int]uint64{}
	for i := range t.in.Segments {
		s := &t.in.Segments[i]
		file := s.Ref.File()
		frames[file]++
		s.Ref = tcp.Ref(file, frames[file])
	}
	return t.in
}

const ms = time.Millisecond

// open is the handshake and one request with its answer.
func (f *flow) open() *flow {
	f.send(0, 0, tcp.SYN, 0).send(12*ms, 1, tcp.SYN|tcp.ACK, 0).send(ms, 0, tcp.ACK, 0)
	return f.send(ms, 0, tcp.PSH|tcp.ACK, 412).send(15*ms, 1, tcp.PSH|tcp.ACK, 2000).send(ms, 0, tcp.ACK, 0)
}

// close is the orderly close, by the client first.
func (f *flow) close() *flow {
	f.send(20*ms, 0, tcp.FIN|tcp.ACK, 0).send(12*ms, 1, tcp.ACK, 0)
	return f.send(ms, 1, tcp.FIN|tcp.ACK, 0).send(ms, 0, tcp.ACK, 0)
}

const server = "10.0.3.7:8443"

func client(i int) string { return fmt.Sprintf("10.0.9.%d:%d", 14+i%3, 51000+i) }

func clean() Input {
	t := newTalk("clean", "web-7.pcap")
	for i := range 40 {
		f := t.flow(time.Duration(i)*time.Second, client(i), server).open()
		switch {
		case i == 39:
		case i%13 == 12:
			f.send(ms, 0, tcp.RST|tcp.ACK, 0)
		default:
			f.close()
		}
	}
	return t.done()
}

// leaks has a server that does not answer FINs.
func (t *talk) leaks(n int) {
	for i := range n {
		f := t.flow(time.Duration(i)*700*ms, client(i), server).open()
		if i%3 == 0 {
			f.send(20*ms, 0, tcp.FIN|tcp.ACK, 0).send(ms, 1, tcp.ACK, 0)
		} else {
			f.close()
		}
	}
	t.in.End = Start + int64(9*time.Minute)
}

func leak() Input {
	t := newTalk("fin-unanswered", "web-7.pcap")
	t.leaks(30)
	t.in.Report.NotTCP = 12
	t.in.Report.Packets += 12
	return t.done()
}

func mixed() Input {
	t := newTalk("mixed", "a|*b*.pcap", "lb \x1b[31m.pcapng")
	t.in.Report.Notes = []report.Note{
		{Text: "file ends inside frame 88", File: 1, Ref: tcp.Ref(1, 88)},
		{Text: "missing.pcap: no such file", File: -1},
	}
	t.in.Report.Damaged = true
	t.in.Report.KernelDrops = 1234
	t.leaks(9)
	t.source = 1
	for i := range 3 {
		f := t.flow(time.Duration(40+i)*time.Second, "[2001:db8::9]:51000", fmt.Sprintf("[2001:db8::7]:%d", 5432+i%3))
		f.send(0, 0, tcp.SYN, 0).send(ms, 1, tcp.RST|tcp.ACK, 0)
	}
	for i := range 3 {
		f := t.flow(time.Duration(50+i)*time.Second, client(200+i), "10.0.3.8:443").open()
		f.send(20*ms, 0, tcp.FIN|tcp.ACK, 0).send(12*ms, 1, tcp.ACK, 0).send(ms, 1, tcp.FIN|tcp.ACK, 0)
		again := *f
		again.next[1]--
		again.send(ms, 0, tcp.ACK, 0)
		f.at = again.at
		f.next[1]--
		f.send(220*ms, 1, tcp.FIN|tcp.ACK, 0).send(ms, 0, tcp.ACK, 0)
	}
	return t.done()
}

func oneWay() Input {
	t := newTalk("one-way", "mirror.pcap")
	for i := range 10 {
		f := t.flow(time.Duration(i)*time.Second, client(i), server)
		f.send(0, 0, tcp.SYN, 0)
		f.next[1] = serverISN + 1
		f.send(12*ms, 0, tcp.ACK, 0).send(ms, 0, tcp.PSH|tcp.ACK, 300)
		f.next[1] += 700
		f.send(12*ms, 0, tcp.ACK, 0).send(ms, 0, tcp.FIN|tcp.ACK, 0)
		f.next[1]++
		f.send(12*ms, 0, tcp.ACK, 0)
	}
	return t.done()
}

func empty() Input {
	t := newTalk("empty", "nothing.pcap")
	t.in.Report.Sources[0].Format = "pcap"
	return t.done()
}

// many has more findings than anybody reads, on more services than are told
// apart.
func many() Input {
	t := newTalk("many", "day.pcap")
	for i := range 1300 {
		f := t.flow(time.Duration(i)*ms, client(i), fmt.Sprintf("10.1.%d.%d:80", i/250, i%250))
		f.send(0, 0, tcp.SYN, 0).send(ms, 1, tcp.RST|tcp.ACK, 0)
	}
	t.leaks(900)
	t.in.End = Start + int64(26*time.Hour)
	return t.done()
}

// Rules are the stand-ins.
func Rules() []diagnose.Rule {
	return []diagnose.Rule{
		{ID: "fin-unanswered", Severity: diagnose.Error, Check: unanswered},
		{ID: "connection-refused", Severity: diagnose.Warning, Check: refused},
		{ID: "last-ack-lost", Severity: diagnose.Info, Check: repeated},
	}
}

func finding(f *reassembly.Flow, who diagnose.Party, verdict string, evidence ...diagnose.Evidence) diagnose.Finding {
	c, s := f.Addr(f.Client), f.Addr(f.Server())
	ip := "ip.addr"
	if c.Addr().Is6() {
		ip = "ipv6.addr"
	}
	return diagnose.Finding{
		Confidence: diagnose.Certain, Who: who, Flow: f.ID, Client: c, Service: s, Time: evidence[0].At,
		Verdict: s.String() + " " + verdict, Evidence: evidence,
		Wireshark: fmt.Sprintf("%s==%s && tcp.port==%d && frame.number>=%d", ip, c.Addr(), c.Port(), f.ID.Frame()),
	}
}

func unanswered(_ *diagnose.Context, f *reassembly.Flow, emit func(diagnose.Finding)) {
	d := f.Endpoint(f.Client)
	if f.Endpoint(f.Server()).State != fsm.CloseWait || d.FINAckRef == 0 {
		return
	}
	out := finding(f, diagnose.ServerApp, "did not answer the client's FIN.",
		diagnose.Evidence{Ref: d.FINRef, At: d.FINAt, Side: f.Client, What: "the client's FIN"},
		diagnose.Evidence{Ref: d.FINAckRef, At: d.FINAckAt, Side: f.Server(), What: "the server acknowledges it"})
	out.Duration, out.Censored = f.Until-d.FINAckAt, true
	emit(out)
}

func refused(_ *diagnose.Context, f *reassembly.Flow, emit func(diagnose.Finding)) {
	if f.Close != reassembly.CloseRefused {
		return
	}
	emit(finding(f, diagnose.ServerHost, "refused the connection.",
		diagnose.Evidence{Ref: f.Handshake.FirstSYNRef, At: f.Handshake.FirstSYN, Side: f.Client, What: "the SYN"},
		diagnose.Evidence{Ref: f.Reset.Ref, At: f.Reset.At, Side: f.Reset.By, What: "the RST"}))
}

func repeated(_ *diagnose.Context, f *reassembly.Flow, emit func(diagnose.Finding)) {
	for i := range f.Marks {
		if m := &f.Marks[i]; m.Kind == reassembly.FINAgain {
			emit(finding(f, diagnose.Path, "sent its FIN again.",
				diagnose.Evidence{Ref: m.Ref, At: m.At, Side: m.Side, What: "the FIN again"}))
			return
		}
	}
}
