package capture

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWalk reads 1,000,000 frames of 96 octets; ns/op is per frame.
func BenchmarkWalk(b *testing.B) {
	const n = 1_000_000
	data := make([]byte, 96)
	pcap := cat(pcapHead(le, pcapMicro, 2, 4, 96, 1), bytes.Repeat(pcapRec(le, 1, 0, 96, 1500, nil, data), n))
	for _, c := range []struct {
		name string
		file []byte
	}{
		{"pcap", pcap},
		{"pcap-swapped", cat(pcapHead(be, pcapMicro, 2, 4, 96, 1), bytes.Repeat(pcapRec(be, 1, 0, 96, 1500, nil, data), n))},
		{"pcapng", cat(ngSHB(le), ngIDB(le, 1, 96), bytes.Repeat(ngEPB(le, 0, 5, 1500, data), n))},
		{"snoop", cat(snoopHead(2, 4), bytes.Repeat(snoopRec(1, 0, 96, 0, data, 0), n))},
		{"pcap+gzip", gzipped(b, pcap)},
		{"pcap+zstd", zstded(b, pcap)},
	} {
		name := filepath.Join(b.TempDir(), "x")
		if err := os.WriteFile(name, c.file, 0o644); err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			var s *Source
			var f Frame
			b.ReportAllocs()
			for range b.N {
				if s != nil && s.Next(&f) == nil {
					continue
				}
				var err error
				if s, err = Open(name, Options{}); err != nil {
					b.Fatal(err)
				}
				if err := s.Next(&f); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
		})
	}
}
