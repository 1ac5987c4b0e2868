package experiments

import (
	"strings"

	pb "squall/proto/squall/v1"
)

// Source knows where each field of a decoded file stands. The zero Source
// knows nothing: its problems have a path and no position.
type Source struct {
	file  string
	root  string
	lines []string
	spots map[string]spot
}

// spot is a place in a file: the first character of a value, counted from 1.
type spot struct {
	line, column int
	explain      string
}

// Problem is a problem with the field at path, such as
// "timeline[1].faults[0].until" or "targets.machines.zone": the message says
// what is wrong, the fix what to do. Where the file leaves the field out, the
// problem points at the nearest field around it.
func (s Source) Problem(path, message, fix string) *pb.Problem {
	p := &pb.Problem{File: s.file, Message: message, Fix: fix, Path: path, Refusal: pb.Refusal_REFUSAL_INVALID}
	at, ok := s.nearest(path)
	if !ok {
		return p
	}
	p.Line, p.Column = uint32(at.line), uint32(at.column)
	p.Path, p.Excerpt = at.explain, excerpt(s.lines, at.line, at.column)
	return p
}

// Has says whether the file itself holds the field at path.
func (s Source) Has(path string) bool {
	_, ok := s.spots[path]
	return ok
}

// nearest is the spot of path, or of the closest field around it.
func (s Source) nearest(path string) (spot, bool) {
	for {
		if at, ok := s.spots[path]; ok {
			return at, true
		}
		if path == "" {
			return spot{}, false
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// excerpt is a line of the file with a caret under the column. Of a long line
// it shows the part around the column.
func excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	const before, width = 70, 110
	text, first := lines[line-1], 0
	if column > before && len(text) > width {
		first = column - before
	}
	shown := part(text, first, width+1)
	at := min(max(column-1, 0)-first, len(shown))
	if first > 0 {
		shown = append([]rune("…"), shown...)
		at++
	}
	if len(shown) > width {
		shown = append(shown[:width:width], '…')
	}
	return printable(string(shown)) + "\n" + strings.Repeat(" ", max(at, 0)) + "^"
}

// part is some characters of a line that may be very long.
func part(line string, first, most int) []rune {
	var runes []rune
	i := 0
	for _, r := range line {
		if i >= first {
			runes = append(runes, r)
		}
		if i++; len(runes) == most {
			break
		}
	}
	return runes
}
