package capture

import (
	"os"
	"path/filepath"
	"testing"
)

// corpus lists captures of many origins, with the number of frames that tshark
// 4.0.17 shows and of packets that capinfos counts in each.
var corpus = []struct {
	file, format    string
	frames, packets uint64
}{
	{"arkime_80211http.pcap", "pcap", 26, 26},
	{"arkime_gre-erspan-vxlan.pcap", "pcap", 7, 7},
	{"arkime_http-500-head.pcap", "pcap", 10, 10},
	{"arkime_long-session.pcap", "pcap", 5, 5},
	{"arkime_mpls-basic.pcap", "pcap", 58, 58},
	{"arkime_mqtt_synthetic.pcap", "pcap", 63, 63},
	{"arkime_nflog.pcap", "pcap", 10, 10},
	{"arkime_tcp_handshake_synthetic.pcap", "pcap", 50, 50},
	{"arkime_wireshark-bdat.pcap", "pcap", 20, 20},
	{"dpkt_nb6-http.pcap", "pcap", 62, 62},
	{"libpcap_AH-IPcomp-IPv4.pcap", "pcap", 10, 10},
	{"markofu_double-vision.pcap", "pcap", 8, 8},
	{"markofu_ftp-crack.pcap", "pcap", 19730, 19730},
	{"markofu_gnutella.pcap", "pcap", 1343, 1343},
	{"markofu_http-fault-post.pcap", "pcap", 25, 25},
	{"ndpi_6in4tunnel.pcap", "pcap", 127, 127},
	{"ndpi_KakaoTalk_chat.pcap", "pcap", 347, 347},
	{"ndpi_psiphon3.pcap", "pcap", 62, 62},
	{"ndpi_waze.pcap", "pcap", 597, 597},
	{"ndpi_wow.pcap", "pcap", 95, 95},
	{"pcapplusplus_CiscoHDLC.pcap", "pcap", 3, 3},
	{"pcapplusplus_example.pcap", "pcap", 4631, 4631},
	{"pcapplusplus_nanosecs_big_endian.pcap", "pcap-ns", 10, 10},
	{"pcapplusplus_one_http_stream_rst.pcap", "pcap", 10, 10},
	{"pcapplusplus_one_tcp_stream_fin_rst_close_packet.pcap", "pcap", 13, 13},
	{"pcapplusplus_one_tcp_stream_max_seq.pcap", "pcap", 36, 36},
	{"pcapplusplus_sll2.pcap", "pcap", 3, 3},
	{"snort3_perf_monitor__plustest.pcap", "pcap", 20, 20},
	{"snort3_teredo__teredo.pcap", "pcap", 8, 8},
	{"suricata_bug-3286-02-linux-evasion__with_evasion_linux.pcap", "pcap", 10, 10},
	{"suricata_bug-4376__syn_retransmit_with_ts.pcap", "pcap", 254, 254},
	{"suricata_bug-5437-02.pcap", "pcap", 60, 60},
	{"suricata_bug-6887-defrag-ipv4-tcp-syn__frag-ip-tcp-syn.pcap", "pcap", 3, 3},
	{"suricata_bug-76.pcap", "pcap", 46, 46},
	{"suricata_decode-sll2-01.pcap", "pcap", 5, 5},
	{"suricata_ftp-quit.pcap", "pcap", 7, 7},
	{"suricata_http-range-multiflows.pcap", "pcap", 614, 614},
	{"suricata_mqtt-events-unintroduced.pcap", "pcap", 7, 7},
	{"suricata_pgsql-events__UnknownMessage.pcap", "pcap", 12, 12},
	{"suricata_tcp-async-01.pcap", "pcap", 139, 139},
	{"suricata_tcp-empty-sack__tcp-opt.pcap", "pcap", 42, 42},
	{"suricata_tcp-fastopen-03__tfo.pcap", "pcap", 14, 14},
	{"suricata_tcp-fastopen-11-reject-syn-data__tlpw-tcp-tfo-data-on-syn-nack.pcap", "pcap", 29, 29},
	{"suricata_tcp-rst-unacked-stream-03-gap.pcap", "pcap", 7, 7},
	{"suricata_tcp-session-ipv6-decode-malformed.pcap", "pcap", 8, 8},
	{"suricata_tcp-split-handshake-01-4whs__split-handshake-4whs.pcap", "pcap", 7, 7},
	{"suricata_tcp-urgp-01-oob__tcp-urgent1.pcap", "pcap", 16, 16},
	{"suricata_transform-base64-7296.pcap", "pcap", 59, 59},
	{"suricata_util-action-03.pcap", "pcap", 3, 3},
	{"suricata_vxlan-decoder-03__vxlan.pcap", "pcap", 100, 100},
	{"tcpdump_geneve.pcap", "pcap", 39, 39},
	{"tcpdump_ipoib.pcap", "pcap", 30, 30},
	{"tcpdump_mptcp-v1.pcap", "pcap", 20, 20},
	{"tcpdump_tcp-handshake-nano.pcap", "pcap-ns", 3, 3},
	{"tcpdump_tcp_rst_diag_payload.pcap", "pcap", 1, 1},
	{"tcpflow_test5-lines-randomized.pcap", "pcapng", 11, 11},
	{"zeek_tcp_fin_retransmission.pcap", "pcap", 5, 5},
	{"zeek_tcp_handshake-reorder.pcap", "pcap", 14, 14},
	{"zeek_tcp_syn-then-stuff-then-rst.pcap", "pcap", 4, 4},
	{"ndpi_hls.pcapng", "pcapng", 13, 13},
	{"ndpi_reasm_segv_anon.pcapng", "pcapng", 82, 82},
	{"ndpi_tcp_scan.pcapng", "pcap", 30, 30},
	{"ndpi_tls_multiple_synack_different_seq.pcapng", "pcapng", 10, 10},
	{"pcapnggen_output_be_advanced_test102.pcapng", "pcapng", 8, 5},
	{"pcapnggen_output_be_basic_test001.pcapng", "pcapng", 4, 4},
	{"pcapnggen_output_be_difficult_test202.pcapng", "pcapng", 11, 8},
	{"pcapplusplus_many_interfaces-1.pcapng", "pcapng", 64, 64},
	{"pcapplusplus_pcapng-example.pcapng", "pcapng", 159, 159},
	{"ppa3_activeosfingerprinting.pcapng", "pcapng", 48, 48},
	{"ppa3_http_dvwa_directorytraversal.pcapng", "pcapng", 10, 10},
	{"ppa3_nowebaccess2.pcapng", "pcapng", 8, 8},
	{"ppa3_synscan.pcapng", "pcapng", 2011, 2011},
	{"ppa3_tcp_refuseconnection.pcapng", "pcapng", 2, 2},
	{"ppa3_tcp_retransmissions.pcapng", "pcapng", 6, 6},
	{"ppa3_tcp_teardown.pcapng", "pcapng", 4, 4},
	{"ppa3_tcp_zerowindowdead.pcapng", "pcapng", 8, 8},
	{"ppa3_tcp_zerowindowrecovery.pcapng", "pcapng", 7, 7},
	{"scapy_http_head.pcapng.gz", "pcapng+gzip", 10, 10},
	{"tcptrace_fast_reuse.dmp.gz", "pcap+gzip", 513, 513},
	{"tcptrace_finger.snoop.gz", "snoop+gzip", 13, 13},
	{"tcptrace_hardware_dups.dmp.gz", "pcap+gzip", 1458, 1458},
	{"tcptrace_pcap_v2.2.dmp.gz", "pcap+gzip", 40, 40},
	{"tcptrace_ppp_encap.dmp.gz", "pcap+gzip", 27, 27},
	{"tcptrace_rawip.dmp.gz", "pcap+gzip", 14, 14},
	{"tcptrace_single_byte_rexmit.dmp.gz", "pcap+gzip", 27, 27},
}

// Frame numbers and packet counts are those of Wireshark over real captures.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Skip("LASTACK_CORPUS does not name a folder of captures")
	}
	for _, c := range corpus {
		t.Run(c.file, func(t *testing.T) {
			frames, info, err := readNamed(t, filepath.Join(dir, c.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := info.Packets + info.Others; n != c.frames || info.Packets != c.packets || uint64(len(frames)) != c.packets {
				t.Errorf("%d frames and %d packets, want %d and %d", n, info.Packets, c.frames, c.packets)
			}
			if info.Format != c.format {
				t.Errorf("format %s, want %s", info.Format, c.format)
			}
			last := uint64(0)
			for _, f := range frames {
				if f.Number <= last || f.Number > c.frames {
					t.Fatalf("frame %d after %d", f.Number, last)
				}
				last = f.Number
			}
			damage := ""
			if info.Damage != nil {
				damage = info.Damage.Text
			}
			if want := map[string]string{"markofu_http-fault-post.pcap": "file ends inside frame 26"}[c.file]; damage != want {
				t.Errorf("damage %q, want %q", damage, want)
			}
		})
	}
}

// All of the corpus at once comes out whole and in order.
func TestCorpusMerged(t *testing.T) {
	dir := os.Getenv("LASTACK_CORPUS")
	if dir == "" {
		t.Skip("LASTACK_CORPUS does not name a folder of captures")
	}
	var names []string
	want := uint64(0)
	for _, c := range corpus {
		names = append(names, filepath.Join(dir, c.file))
		want += c.packets
	}
	sources, err := OpenAll(names, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := Merge(sources...)
	defer m.Close()
	latest := make([]int64, len(sources)) // of each source
	var f Frame
	n, key := uint64(0), int64(0)
	for m.Next(&f) == nil {
		if n == 0 {
			key = f.At
		}
		n++
		if latest[f.File] == 0 || f.At > latest[f.File] {
			if f.At < key {
				t.Fatalf("frame %d of file %d at %d comes after %d", f.Number, f.File, f.At, key)
			}
			latest[f.File], key = f.At, f.At
		}
	}
	if n != want {
		t.Errorf("%d packets, want %d", n, want)
	}
}
