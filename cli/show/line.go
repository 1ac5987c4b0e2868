package show

import (
	"strings"
	"unicode/utf8"

	"squall/proto/text"
)

// Options are how a picture is drawn.
type Options struct {
	// Width is that of the terminal, in columns; 0 is as wide as it takes.
	Width int
	// Color allows colour.
	Color bool
}

// colour is an ANSI colour; the zero value is none.
type colour string

const (
	plain  colour = ""
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	blue   colour = "34"
	grey   colour = "90"
	bold   colour = "1"
)

// part is a stretch of a line.
type part struct {
	text   string
	colour colour
	// may says how soon the part is left out where a line is too narrow: the
	// highest goes first, and 0 stays.
	may int
	// drawn says that the text is painted already, and fits.
	drawn bool
}

// gap stands between the parts of a line.
const gap = "  "

// line draws parts beside one another. Where they don't fit, the ones that may
// go are left out, and what is left is cut at the end.
func (o Options) line(parts ...part) string {
	for o.Width > 0 && width(parts) > o.Width {
		drop := -1
		for i, p := range parts {
			if p.may > 0 && (drop < 0 || p.may >= parts[drop].may) {
				drop = i
			}
		}
		if drop < 0 {
			break
		}
		parts = append(append([]part(nil), parts[:drop]...), parts[drop+1:]...)
	}
	var b strings.Builder
	left := o.Width
	for i, p := range parts {
		if i > 0 {
			b.WriteString(gap)
			left -= len(gap)
		}
		if p.drawn {
			b.WriteString(p.text)
			continue
		}
		if o.Width > 0 {
			p.text = Cut(p.text, max(left, 0))
		}
		left -= utf8.RuneCountInString(p.text)
		b.WriteString(o.paint(p))
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

func width(parts []part) int {
	total := max(len(parts)-1, 0) * len(gap)
	for _, p := range parts {
		if p.drawn {
			continue
		}
		total += utf8.RuneCountInString(p.text)
	}
	return total
}

// Cut shortens a text to so many columns, and shows that it did.
func Cut(text string, columns int) string {
	r := []rune(text)
	switch {
	case len(r) <= columns:
		return text
	case columns <= 1:
		return string(r[:columns])
	}
	return string(r[:columns-1]) + "…"
}

func (o Options) paint(p part) string {
	shown := oneLine(p.text)
	if !o.Color || p.colour == plain || strings.TrimSpace(shown) == "" {
		return shown
	}
	return "\x1b[" + string(p.colour) + "m" + shown + "\x1b[0m"
}

// pad fills a text up to so many columns, so that lines stand below one another.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-utf8.RuneCountInString(text), 0))
}

// oneLine makes text of others fit for a place in a line: what a terminal would
// obey is replaced, and what would end the line is a blank.
func oneLine(s string) string {
	return text.Harmless(strings.NewReplacer("\n", " ", "\t", " ").Replace(s))
}
