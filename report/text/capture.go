package text

import (
	"fmt"

	"github.com/lastack/lastack/report"
)

// capture says what the input was good for.
func (p *page) capture() {
	list := p.remarked()
	words := p.r.Capture()
	if n := len(list); n > 1 && p.notes == 0 && !p.o.All {
		words += fmt.Sprintf("; %d remarks in the other reports", n)
	}
	p.paragraph("  Capture: ", "    ", words+".")
	for i, n := range list {
		if i == p.notes && !p.o.All && len(list) > p.notes+1 {
			if i > 0 {
				p.line("    %d more remarks in the other reports.", len(list)-p.notes)
			}
			break
		}
		p.paragraph("    ", "    ", p.r.Tell(&n)+".")
	}
}

// remarked are the remarks on the capture.
func (p *page) remarked() []report.Note {
	input, _ := p.r.Health.Remarks()
	return input
}

// leastNotes is how many remarks are printed however full the screen is.
func (p *page) leastNotes() int {
	if list := p.remarked(); len(list) > 0 && list[0].Twice {
		return 1
	}
	return 0
}
