package experiments

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"squall/experiments/internal/pattern"
)

// limits bound what a file may hold, so that a hostile one costs little.
type limits struct {
	bytes, nodes, depth int
}

var (
	fileLimits  = limits{bytes: 1 << 20, nodes: 10_000, depth: 32}
	fleetLimits = limits{bytes: 16 << 20, nodes: 500_000, depth: 32}
)

// mostProblems is how many problems one file is told of.
const mostProblems = 100

// parse reads src as one YAML document of plain values: no anchors, aliases,
// tags or merge keys, since each of them lets a value stand far from where it
// takes effect. It returns nil with at least one problem.
func (d *decoder) parse(src []byte, most limits) *yaml.Node {
	if len(src) > most.bytes {
		d.bad(where{}, 0, 0, fmt.Sprintf("the file has %d bytes", len(src)), fmt.Sprintf("keep it under %d bytes", most.bytes))
		return nil
	}
	d.src.lines = strings.Split(string(src), "\n")
	if !d.legible(src) {
		return nil
	}
	root := d.document(src)
	if root == nil || !d.plain(root, most) {
		return nil
	}
	return root
}

// legible refuses bytes that are no text, and characters that some readers take for the end of a line.
func (d *decoder) legible(src []byte) bool {
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		d.bad(where{}, 1, 1, "the file begins with a byte order mark", "save it as UTF-8 without a byte order mark")
		return false
	}
	line, column := 1, 1
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		switch {
		case r == utf8.RuneError && size == 1:
			d.bad(where{}, line, column, fmt.Sprintf("byte %#02x is not UTF-8", src[0]), "save the file as UTF-8")
			return false
		case illegible(r) || r == '\r' && !bytes.HasPrefix(src, []byte("\r\n")):
			d.bad(where{}, line, column, fmt.Sprintf("the file holds the character %U", r), `take it out, or write it as an escape in double quotes, such as "\x1b"`)
			return false
		case r == '\n':
			line, column = line+1, 0
		}
		src, column = src[size:], column+1
	}
	return true
}

func illegible(r rune) bool {
	switch r {
	case '\n', '\r', '\t':
		return false
	case 0x85, 0x2028, 0x2029, 0xfeff:
		return true
	}
	return r < ' ' || r >= 0x7f && r < 0xa0
}

// document reads exactly one document.
func (d *decoder) document(src []byte) *yaml.Node {
	reader := yaml.NewDecoder(bytes.NewReader(src))
	var doc, next yaml.Node
	err := reader.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) == 0 || isNull(doc.Content[0])) {
		d.bad(where{}, 0, 0, "the file is empty", fmt.Sprintf("begin with `version: 1`, or copy what `squall init` writes; `squall explain %s` lists the keys", d.src.root))
		return nil
	}
	if err == nil {
		if err = reader.Decode(&next); errors.Is(err, io.EOF) {
			return doc.Content[0]
		}
		if err == nil {
			d.bad(where{}, next.Line, 1, `a second document begins here`, "keep one document in a file")
			return nil
		}
	}
	d.syntaxError(src, err)
	return nil
}

// syntaxFixes are the fixes of what the YAML reader says most often.
var syntaxFixes = []struct{ says, message, fix string }{
	{"mapping values are not allowed", "a key stands where none can", "indent the line like those beside it, put a text that holds a colon in quotes, and close every quote"},
	{"could not find expected ':'", "a key has no colon", "write `key: value`"},
	{"did not find expected ',' or '}'", "a brace is not closed, or a comma is missing", "separate entries with commas and close the brace"},
	{"did not find expected ',' or ']'", "a bracket is not closed, or a comma is missing", "separate entries with commas and close the bracket"},
	{"did not find expected key", "a line does not fit the ones around it", "indent the line like those beside it"},
	{"did not find expected '-' indicator", "a line does not fit the list that it is in", "begin each entry of the list with a dash in the same column"},
	{"found unexpected end of stream", "a quote is not closed", "close the quote"},
	{"cannot start any token", "a text begins with a character that means something else", "put the text in quotes"},
	{"unknown escape character", "an escape in double quotes is unknown", "use single quotes, or double the backslash"},
	{"did not find expected alphabetic or numeric character", "a text begins with * or &", "put the text in quotes"},
	{"unknown anchor", "an alias (*) stands here", "write the value out, and put a text that begins with * in quotes"},
}

var linePrefix = pattern.Lazy(`^yaml: (line \d+: )?`)

// syntaxError says where the file stops being YAML.
func (d *decoder) syntaxError(src []byte, err error) {
	line := d.firstBadLine(src, err)
	text := d.src.lines[line-1]
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	column := utf8.RuneCountInString(indent) + 1
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		d.bad(where{}, line, tab+1, "a tab indents the line", "indent with spaces")
		return
	}
	says := linePrefix().ReplaceAllString(err.Error(), "")
	for _, known := range syntaxFixes {
		if strings.Contains(says, known.says) {
			d.bad(where{}, line, column, known.message, known.fix)
			return
		}
	}
	d.bad(where{}, line, column, "the file is not YAML: "+printable(says), "check indentation, quotes and brackets around this line")
}

// firstBadLine is the first line up to which the file already has that error:
// the reader itself often names the start of the block instead.
func (d *decoder) firstBadLine(src []byte, err error) int {
	if len(src) > 1<<16 {
		return d.lineIn(err)
	}
	ends := make([]int, 0, len(d.src.lines))
	for at, c := range src {
		if c == '\n' {
			ends = append(ends, at+1)
		}
	}
	if len(ends) < len(d.src.lines) {
		ends = append(ends, len(src))
	}
	n := sort.Search(len(ends)-1, func(i int) bool {
		var ignored yaml.Node
		early := yaml.Unmarshal(src[:ends[i]], &ignored)
		return early != nil && early.Error() == err.Error()
	})
	for n > 0 && strings.TrimSpace(d.src.lines[n]) == "" {
		n--
	}
	return n + 1
}

// lineIn is the line that an error of the reader names, where reading a big
// file again and again would cost too much.
func (d *decoder) lineIn(err error) int {
	var line int
	if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr != nil {
		return 1
	}
	return min(max(line, 1), len(d.src.lines))
}

// plain refuses everything beyond maps, lists and scalars, and what is too big.
func (d *decoder) plain(root *yaml.Node, most limits) bool {
	count := 0
	var walk func(n *yaml.Node, depth int) bool
	walk = func(n *yaml.Node, depth int) bool {
		if count++; count > most.nodes {
			d.badNode(where{}, n, fmt.Sprintf("the file has more than %d values", most.nodes), "split it")
			return false
		}
		if depth > most.depth {
			d.badNode(where{}, n, fmt.Sprintf("values are nested more than %d deep", most.depth), "nest less")
			return false
		}
		if !d.plainNode(n) {
			return false
		}
		for _, child := range n.Content {
			if !walk(child, depth+1) {
				return false
			}
		}
		return true
	}
	return walk(root, 1)
}

func (d *decoder) plainNode(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.badNode(where{}, n, "alias "+quoted("*"+n.Value)+" is not read", "write the value out")
	case n.Anchor != "":
		d.badNode(where{}, n, "anchor "+quoted("&"+n.Anchor)+" is not read", "take it out, and write the value out where it is used")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!merge":
		d.badNode(where{}, n, `merge key "<<" is not read`, "write the keys out")
	case n.Style&yaml.TaggedStyle != 0:
		d.badNode(where{}, n, "tag "+quoted(n.Tag)+" is not read", "take it out")
	default:
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}
