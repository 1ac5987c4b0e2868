package show

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// hang is how far the rest of a line stands in, and mostHang how far it may
// stand in below the text behind a label.
const (
	hang     = 4
	mostHang = 16
)

// Fold makes text fit a terminal of so many columns, whose own wrapping would
// cut words. Columns that stand below one another go on below one another, other
// lines go on between two words, and an excerpt stays with its caret. Lines that
// fit stay as they are, and so does everything where the width is not known: 0.
func Fold(text string, columns int) string {
	lines := strings.SplitAfter(text, "\n")
	if columns <= 0 || fits(lines, columns) {
		return text
	}
	if at := gutter(lines, columns); at > 0 {
		return strings.Join(split(lines, at, columns), "")
	}
	var b strings.Builder
	for i := 0; i < len(lines); i++ {
		if i+1 < len(lines) && strings.TrimSpace(lines[i+1]) == "^" {
			b.WriteString(excerpt(lines[i], lines[i+1], columns))
			i++
			continue
		}
		b.WriteString(foldLine(lines[i], columns))
	}
	return b.String()
}

func fits(lines []string, columns int) bool {
	for _, line := range lines {
		if length(line) > columns {
			return false
		}
	}
	return true
}

func length(line string) int { return utf8.RuneCountInString(strings.TrimRight(line, "\n")) }

// gutter is the last column, as far as the terminal goes, at which every line
// begins a cell or has ended: where a table can be split. 0 is none.
func gutter(lines []string, columns int) int {
	for at := columns; at > columns/4; at-- {
		cells := 0
		for _, line := range lines {
			switch r := []rune(strings.TrimRight(line, "\n")); {
			case len(r) <= at-2:
			case len(r) > at && r[at] != ' ' && r[at-1] == ' ' && r[at-2] == ' ':
				cells++
			default:
				cells = -len(lines)
			}
		}
		if cells > 1 { // one line alone is no table
			return at
		}
	}
	return 0
}

// split puts what stands right of a column below what stands left of it, line
// by line.
func split(lines []string, at, columns int) []string {
	var right []string
	out := make([]string, len(lines))
	for i, line := range lines {
		r := []rune(strings.TrimRight(line, "\n"))
		out[i] = strings.TrimRight(string(r[:min(at, len(r))]), " ") + "\n"
		if line == "" {
			out[i] = ""
		}
		right = append(right, string(r[min(at, len(r)):])+"\n")
	}
	rest := strings.Split(Fold(strings.Join(right, ""), columns-hang)+"\n", "\n")
	each := len(rest) / len(lines)
	for i := range lines {
		for _, more := range rest[i*each : (i+1)*each] {
			if more != "" {
				out[i] += strings.Repeat(" ", hang) + more + "\n"
			}
		}
	}
	return out
}

// foldLine breaks a line between two words, rather where two blanks or more set
// its parts apart. What is left stands in.
func foldLine(line string, columns int) string {
	end := line[len(strings.TrimRight(line, "\n")):]
	rest := []rune(strings.TrimRight(line, "\n"))
	indent := min(standsIn(rest), columns/3)
	var b strings.Builder
	for len(rest) > columns {
		at := breakAt(rest, indent, columns)
		b.WriteString(strings.TrimRight(string(rest[:at]), " ") + "\n")
		rest = []rune(strings.Repeat(" ", indent) + strings.TrimLeft(string(rest[at:]), " "))
	}
	return b.String() + string(rest) + end
}

// standsIn is where the rest of a line begins: below the text behind its label
// and a little more, so that it is seen to go on.
func standsIn(line []rune) int {
	text := string(line)
	first := len(text) - len(strings.TrimLeft(text, " "))
	if label, _, ok := strings.Cut(text[first:], "  "); ok && first == 0 {
		behind := utf8.RuneCountInString(label)
		for behind < len(line) && line[behind] == ' ' {
			behind++
		}
		if behind+2 <= mostHang {
			return behind + 2
		}
		return hang
	}
	return first + 2
}

// breakAt is where a line that is too long goes on below: at the last gap in its
// right half, else at the last blank, else where the terminal ends.
func breakAt(line []rune, indent, columns int) int {
	word := 0
	for at := columns; at > indent; at-- {
		if line[at] != ' ' && line[at-1] != ' ' {
			continue
		}
		if word == 0 {
			word = at
		}
		if at > columns/2 && isGap(line[at-1:]) {
			return at
		}
	}
	return cmp.Or(word, columns)
}

// isGap says that parts of a line are set apart here.
func isGap(line []rune) bool { return len(line) > 1 && line[0] == ' ' && line[1] == ' ' }

// excerpt shows so much of a line and its caret as stands around the caret.
func excerpt(line, caret string, columns int) string {
	if length(line) <= columns && length(caret) <= columns {
		return line + caret
	}
	shown, at := []rune(strings.TrimRight(line, "\n")), length(caret)-1
	first := max(0, at-columns/2)
	if first > 0 {
		shown = append([]rune("…"), shown[min(first+1, len(shown)):]...)
	}
	return Cut(string(shown), columns) + "\n" + strings.Repeat(" ", at-first) + "^\n"
}
