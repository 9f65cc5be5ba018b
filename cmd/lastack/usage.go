package main

import (
	"fmt"
	"strings"

	"github.com/lastack/lastack/reassembly/capture"
	"github.com/lastack/lastack/report/diagnose"
)

const version = "0.1.0"

const usage = `Usage:
    lastack [flags] FILE...
    lastack [flags] -r FILE [-r FILE]... [filter expression]
    lastack [flags] -i IFACE [-i IFACE]... [filter expression]

Reads packet captures, follows both ends of every TCP connection, and says what
went wrong as connections opened and closed, who did it, and which packets
prove it. FILE is pcap, pcapng or snoop, also compressed with gzip, zstd or xz,
in any order; '-' is standard input.

Input:
    -r, --read FILE             Read a capture; repeatable.
    -i, --interface IFACE       Capture live; repeatable; 'any' works, and a
                                number that -D gives.
    -D, --list-interfaces       List the interfaces.
    -f, --filter EXPR           Use only packets that match, as tcpdump does.
                                Frame numbers stay those of the whole file. Live
                                the default is 'tcp or icmp or icmp6', also with
                                a VLAN tag; what is in tunnels needs its own.
    -c, --count N               Stop after N packets.
        --for DURATION          Stop after that time (90s, 10m).
        --until TIME            The capture ran until then, although its last
                                packet is earlier; with -i: stop then.
        --separate vlan,tunnel  Tell equal addresses apart by VLAN or tunnel.

Live capture:
    -s, --snaplen N             Octets of each packet (256); 0 is whole packets.
    -B, --buffer KIB            Kernel buffer (16384).
    -p, --no-promiscuous        Only what is for this host.
    -Z, --user USER             Drop privileges once the interface is open; the
                                reports are written as that user.
    -n                          Accepted; names are never resolved.

Reports; without any, text on standard output:
        --jsonl FILE            JSON lines, one for each connection and finding.
        --md FILE               Markdown for an incident document.
        --csv FILE              How many sockets each host held in each state, and
                                came into it per second, each second; in a long
                                capture each 2, 4, 8... of them: at most 2,050
                                lines a host, 256 hosts, and '*' for all.
        --prom FILE             Prometheus metrics, for node_exporter's textfiles
                                (it reads *.prom).
                                One FILE may be '-': it replaces the text. A FILE
                                that ends in .gz or .zst is compressed.
        --at TIME               Print the state table (netstat from packets) of
                                that moment; 'end' is the capture's end.
        --findings all          List every finding, not the first 1,000 of each.
        --sha256                Name each input's SHA-256 (always in --md).
        --time WHEN             utc, local, epoch or relative.
        --color WHEN            auto, always or never.

Judgement:
        --profile NAME          The hosts' timers and ports: linux, windows, macos,
                                freebsd or rfc793.
        --msl DURATION          Maximum segment lifetime; TIME_WAIT is twice that.
        --ports LO-HI           Ephemeral ports.
        --only RULE,...         Report only these findings.
        --ignore RULE,...       Report all but these.
        --rules                 List the rules.
        --explain RULE          Say what a rule means, and what to do.

Running:
        --fail-on SEVERITY      Exit 3 on a finding of that severity (error,
                                warning) or above that is certain or likely.
        --strict                Exit 4 when the input was incomplete.
        --max-flows N           Connections held at once (2,000,000).
        --threads N             Workers; the report does not depend on it.
    -q, --quiet                 No progress and no remarks.
    -v, --verbose               Say what is being done.
        --version               Print the version.
    -h, --help                  Print this.

TIME is 2026-01-31T14:10:00Z (without a zone: in that of --time), 14:10:00 in
the capture, seconds since 1970, or +90s from the first packet.

Interrupt once to end the input and see the report, twice to quit. Of a pipe what
comes within a second is still read. SIGTERM is an interrupt too; SIGHUP ends the
input, however often it comes, and under nohup it is ignored. SIGUSR1 says how
far it is; SIGUSR2 writes the reports that are files as of now.

Exit status: 0 analysed, 1 some input could not be, 2 usage, 3 --fail-on,
4 --strict, 130 second interrupt.

Examples:
    $ lastack web.pcap
    $ lastack --jsonl flows.jsonl --md incident.md dump-*.pcapng.gz
    $ lastack -r web.pcap host 10.0.3.7 and port 8443
    $ lastack --at 14:10:00 --csv states.csv web.pcap
    $ sudo lastack -i any --for 10m
    $ ssh web7 tcpdump -U -w - tcp | lastack -
`

// versionText says which version this is, and what it was built with.
func versionText() string {
	lib := capture.LibpcapVersion()
	if lib == "" {
		lib = "offline build: without libpcap, so without live capture and filters"
	}
	return fmt.Sprintf("lastack %s (%s)\n", version, lib)
}

// rulesText lists the rules.
func rulesText() string {
	var b strings.Builder
	for _, r := range diagnose.Rules() {
		fmt.Fprintf(&b, "%-26s %-8s %s\n", r.ID, r.Severity, r.Title)
	}
	return b.String()
}

// explainText says what a rule means; the rule exists.
func explainText(id string) string {
	r, _ := diagnose.Named(id)
	s := fmt.Sprintf("%s (%s): %s\n\n%s\n", r.ID, r.Severity, r.Title, strings.TrimSpace(r.Doc))
	if len(r.RFC) > 0 {
		s += "\nSee " + strings.Join(r.RFC, ", ") + ".\n"
	}
	return s
}
