package text

import (
	"fmt"
	"path"
	"path/filepath"
	"unicode/utf8"

	"github.com/lastack/lastack/report"
)

func (p *page) header() {
	r := p.r
	head := fmt.Sprintf("lastack: %s  %s  %s", sources(r),
		report.Plural(r.Packets, "packet", "packets"), report.Plural(r.Flows, "flow", "flows"))
	when := p.clock.Range(r.Start, r.End)
	switch {
	case r.Packets == 0:
		p.line("%s", head)
	case len(head)+2+len(when) <= width:
		p.line("%s  %s", head, when)
	default:
		p.line("%s", head)
		p.line("         %s", when)
	}
	if p.o.SHA256 && len(r.Sources) == 1 {
		p.line("  SHA-256 %s", hash(&r.Sources[0]))
	}
}

// hashes names several inputs, by the numbers that frames are named with, and
// their hashes.
func (p *page) hashes() {
	p.line("")
	for i := range p.r.Sources {
		s := &p.r.Sources[i]
		p.line("  %d: %s", i, short(s.Name, width-10))
		p.line("     SHA-256 %s", hash(s))
	}
}

// hash is the hash of a source as far as it is known.
func hash(s *report.Source) string {
	if s.SHA256 == "" {
		return "not known: not a file that was read to its end"
	}
	return s.SHA256
}

// sources names the input, shortened to what fits.
func sources(r *report.Report) string {
	switch n := len(r.Sources); n {
	case 0:
		return "no input"
	case 1:
		return short(r.Sources[0].Name, 40)
	case 2:
		return short(r.Sources[0].Name, 20) + " " + short(r.Sources[1].Name, 20)
	default:
		return fmt.Sprintf("%s and %d more", short(r.Sources[0].Name, 30), n-1)
	}
}

// short is the name in n characters: without its folder, then without its
// beginning, where it is longer.
func short(name string, n int) string {
	name = report.Printable(name)
	if utf8.RuneCountInString(name) > n {
		name = path.Base(filepath.ToSlash(name))
	}
	if runes := []rune(name); len(runes) > n {
		return "..." + string(runes[len(runes)-n+3:])
	}
	return name
}
