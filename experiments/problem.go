// Package experiments is the language: it turns files that people write into
// the messages of squall/proto, or into problems that say where the file is
// wrong and how to put it right.
//
// It is pure: bytes in, messages and problems out. Spelling, units, ranges and
// defaults are read from the descriptors, so nothing here lists the fields of
// a message.
package experiments

import (
	"fmt"
	"strings"
	"unicode"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// Problems is everything that is wrong with a file, in the order of the file.
// It is an error; a nil Problems is none.
type Problems []*pb.Problem

// Error prints every problem, a block each.
func (p Problems) Error() string {
	blocks := make([]string, len(p))
	for i, problem := range p {
		blocks[i] = FormatProblem(problem)
	}
	return strings.Join(blocks, "\n")
}

// Err is p as an error: nil when there are no problems, so that a nil
// Problems never becomes an error that is not nil.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// FormatProblem prints one problem for people: place and message, the line of
// the file with a caret, and the fix.
func FormatProblem(p *pb.Problem) string {
	var b strings.Builder
	b.WriteString(place(p))
	b.WriteString(p.GetMessage())
	for line := range strings.Lines(p.GetExcerpt()) {
		b.WriteString("\n    " + strings.TrimRight(line, "\n"))
	}
	if p.GetFix() != "" {
		b.WriteString("\n  fix: " + p.GetFix())
	}
	return b.String()
}

// place is "file:line:column: " as far as it is known.
func place(p *pb.Problem) string {
	switch {
	case p.GetLine() > 0:
		return fmt.Sprintf("%s:%d:%d: ", printable(p.GetFile()), p.GetLine(), p.GetColumn())
	case p.GetFile() != "":
		return printable(p.GetFile()) + ": "
	case p.GetPath() != "":
		return printable(p.GetPath()) + ": "
	}
	return ""
}

// quoted is user text in quotes, short and without control characters.
func quoted(text string) string { return quantity.Quoted(text) }

// printable replaces what a terminal would obey instead of show. It keeps the
// number of characters, so that a caret below still points at its place.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '·'
	}, text)
}
