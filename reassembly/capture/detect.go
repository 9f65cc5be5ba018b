package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrEmpty is in the error of an input without a single octet.
var ErrEmpty = errors.New("is empty")

// detect finds out the format by the first bytes and reads the file header.
// regular says that the input is a file, of which more may be looked at.
func detect(p *parser, regular bool) (decoder, error) {
	p.s.need(12)
	b := p.s.data
	if len(b) >= 4 {
		if magic, swap, ok := isPcap(b); ok {
			p.swap = swap
			return newPcap(p, magic, regular)
		}
		if len(b) >= 12 && isPcapng(b) {
			return newPcapng(p)
		}
		if bytes.HasPrefix(b, []byte(snoopMagic)) {
			p.swap = true
			return newSnoop(p)
		}
	}
	switch {
	case p.s.err != nil && p.s.err != io.EOF:
		return nil, &openError{p.info.Name, readFailure(p.compression, p.s.err), p.s.err}
	case p.s.ahead.stopped():
		return nil, &openError{name: p.info.Name, text: "reading was stopped before its header was read"}
	case len(b) == 0 && p.compression == "":
		return nil, &openError{p.info.Name, ErrEmpty.Error(), ErrEmpty}
	}
	text := "is not a capture but " + found(b)
	if p.compression != "" {
		text = fmt.Sprintf("holds no capture but, compressed with %s, %s", p.compression, found(b))
	}
	return nil, &openError{name: p.info.Name, text: text}
}

// headerCut is the error for a file that ends inside its header, or whose
// header cannot be decompressed.
func headerCut(p *parser, format string) error {
	text := "ends inside the " + format + " file header"
	if p.s.err != io.EOF {
		text = readFailure(p.compression, p.s.err)
	}
	return &openError{p.info.Name, text, p.s.err}
}

// magics are the first bytes of what people take for captures; at is where
// they stand. The names are for error messages.
var magics = [...]struct {
	at    int
	bytes string
	name  string
}{
	// Captures in other formats.
	{0, "RTSS", "a Microsoft Network Monitor 1 capture"},
	{0, "GMBU", "a Microsoft Network Monitor 2 capture"},
	{0, "TRSNIFF data    \x1a", "a Sniffer (DOS) capture"},
	{0, "XCP\x00", "a Sniffer (Windows) or NetXRay capture"},
	{0, "VL\x00\x00", "a NetXRay capture"},
	{0, "iptrace 1.0", "an AIX iptrace capture"},
	{0, "iptrace 2.0", "an AIX iptrace capture"},
	{0, "\x54\x52\x00\x64\x00", "an HP-UX nettl capture"},
	{0, "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x07\xd0\x00", "an HP-UX nettl capture"},
	{0, "\x00\x00\x02\x00\x12\x05\x00\x10", "a Tektronix K12 capture"},
	{0, "+---------+---------------+----------+", "a Tektronix K12 capture in text form"},
	{0, "\x01\x10\x4c\x00", "a LANalyzer capture"},
	{0, "\x07\x10\x4c\x00", "a LANalyzer capture"},
	{0, "btsnoop\x00", "a Bluetooth (btsnoop) capture"},
	{0, "\x7fver\x00", "an EtherPeek or OmniPeek capture"},
	{0, "\x05VNF", "a Visual Networks capture"},
	{0, "\xaa\xaa\xaa\xaa", "an InfoVista 5View capture"},
	{0, "ObserverPktBuffer", "a Network Instruments Observer capture"},
	{0, "LOGG", "a Vector BLF log"},
	{0, "NetScaler", "a Citrix NetScaler trace"},
	{0, "\x0c\xa5\x01\x00", "an nfdump flow file"},
	{0, "\x0c\xa5\x02\x00", "an nfdump flow file"},
	{0, "ElfFile\x00", "a Windows event log"},
	// Compressions and archives.
	{0, "BZh", "bzip2 data: decompress it first"},
	{0, "\x04\x22\x4d\x18", "LZ4 data: decompress it first"},
	{0, "\x02\x21\x4c\x18", "LZ4 data: decompress it first"},
	{0, "LZIP", "lzip data: decompress it first"},
	{0, "\x89LZO\x00", "LZO data: decompress it first"},
	{0, "\x1f\x9d", "compress (.Z) data: decompress it first"},
	{0, "\x5d\x00\x00", "LZMA data: decompress it first"},
	{0, "\xff\x06\x00\x00sNaPpY", "Snappy data: decompress it first"},
	{0, "\x1f\x8b", "gzip data"},
	{0, "\x28\xb5\x2f\xfd", "zstd data"},
	{0, "\xfd7zXZ\x00", "xz data"},
	{0, "PK\x03\x04", "a ZIP archive: unpack it first"},
	{0, "PK\x05\x06", "an empty ZIP archive"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"},
	{0, "Rar!", "a RAR archive: unpack it first"},
	{257, "ustar", "a tar archive: unpack it first"},
	{0, "!<arch>\n", "an ar archive or Debian package"},
	{0, "MSCF", "a Windows cabinet: unpack it first"},
	// Everything else.
	{0, "\x7fELF", "an ELF program or library"},
	{0, "MZ", "a Windows program"},
	{0, "\xcf\xfa\xed\xfe", "a macOS program"},
	{0, "%PDF", "a PDF document"},
	{0, "\x89PNG", "a PNG image"},
	{0, "\xff\xd8\xff", "a JPEG image"},
	{0, "GIF8", "a GIF image"},
	{0, "SQLite format 3\x00", "an SQLite database"},
	{0, "PAR1", "a Parquet file"},
	{0, "\xd0\xcf\x11\xe0", "an old Microsoft Office document"},
	{0, "\n\r\r\n", "pcapng with a damaged header"},
}

// found names what b begins, as far as it can be told.
func found(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	for _, m := range magics {
		if len(b) > m.at && bytes.HasPrefix(b[m.at:], []byte(m.bytes)) {
			return m.name
		}
	}
	if textModePcapng(b) {
		return "pcapng, damaged by a transfer in text mode"
	}
	if name := foundText(b); name != "" {
		return name
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return "zero bytes only"
	}
	n := min(len(b), 8)
	return fmt.Sprintf("data of an unknown kind that begins with % x", b[:n])
}

// textModePcapng reports whether b is a section header whose line breaks have
// been converted. The first four bytes of pcapng are there to show that.
func textModePcapng(b []byte) bool {
	if b[0] != '\n' && b[0] != '\r' {
		return false
	}
	b = b[:min(len(b), 20)]
	return bytes.Contains(b, []byte("\x4d\x3c\x2b\x1a")) || bytes.Contains(b, []byte("\x1a\x2b\x3c\x4d"))
}

// foundText names a text by how it begins, "" if b is no text.
func foundText(b []byte) string {
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return "a text in UTF-16"
	}
	b = bytes.TrimPrefix(b[:min(len(b), 4096)], []byte("\xef\xbb\xbf"))
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 && len(rest) > utf8.UTFMax ||
			r < ' ' && !strings.ContainsRune("\t\n\r\f\x1b", r) {
			return ""
		}
		rest = rest[n:]
	}
	text := strings.TrimSpace(string(b))
	low := strings.ToLower(text)
	switch {
	case text == "":
		return "blank text"
	case strings.HasPrefix(low, "<!doctype html"), strings.HasPrefix(low, "<html"):
		return "an HTML page"
	case strings.HasPrefix(low, "<?xml"), strings.HasPrefix(low, "<"):
		return "XML"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "JSON"
	case strings.HasPrefix(text, "#separator "):
		return "a Zeek log"
	case isHexDump(text):
		return "a hex dump in text form: text2pcap turns it into a capture"
	}
	line, _, _ := strings.Cut(text, "\n")
	if r := []rune(strings.TrimSpace(line)); len(r) > 40 {
		line = string(r[:40]) + "…"
	}
	return "a text that begins with " + strconv.Quote(strings.TrimSpace(line))
}

// isHexDump reports whether the first line is an offset of zeros and octets in
// hex, as od, xxd and Wireshark write and text2pcap reads.
func isHexDump(text string) bool {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(strings.ReplaceAll(line, ":", " "))
	if len(f) < 4 || strings.Trim(f[0], "0x") != "" || len(f[0]) < 3 {
		return false
	}
	for _, o := range f[1:4] {
		if len(o) != 2 && len(o) != 4 || strings.Trim(strings.ToLower(o), "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}
