package experiments

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/pattern"
	"squall/experiments/internal/spell"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// field reads a node into a field of a message.
func (d *decoder) field(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, at where) {
	d.mark(at, n)
	switch {
	case isNull(n):
		d.badNode(at, n, at.String()+" has no value", "write a value after the colon, or leave the key out")
	case fd.IsMap():
		d.mapField(n, m.Mutable(fd).Map(), fd, at)
	case fd.IsList():
		d.listField(n, m.Mutable(fd).List(), fd, at)
	case isSection(fd):
		d.message(n, m.Mutable(fd).Message(), at)
	default:
		if value, ok := d.scalar(n, fd, at); ok {
			m.Set(fd, value)
		}
	}
}

// isSection says whether a field holds a message with keys of its own, not a quantity.
func isSection(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !isQuantity(fd.Message())
}

// mapField reads keys that people chose.
func (d *decoder) mapField(n *yaml.Node, m protoreflect.Map, fd protoreflect.FieldDescriptor, at where) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, at, "names with their values, as `name: …`")
		return
	}
	if len(n.Content) == 0 {
		d.badNode(at, n, at.String()+" is empty", emptyFix(fd))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.legalKey(key, seen, at) {
			continue
		}
		entry := at.entry(key.Value)
		d.mark(entry, value)
		item, ok := d.element(value, m.NewValue(), fd.MapValue(), entry)
		if ok {
			m.Set(protoreflect.ValueOfString(key.Value).MapKey(), item)
		}
	}
}

// emptyFix is what to do about a list or a map without entries.
func emptyFix(fd protoreflect.FieldDescriptor) string {
	if isRequired(fd) {
		return "add an entry"
	}
	return "add an entry, or leave the key out"
}

// listField reads a list; anything else stands for a list of one.
func (d *decoder) listField(n *yaml.Node, l protoreflect.List, fd protoreflect.FieldDescriptor, at where) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) == 0 {
		d.badNode(at, n, at.String()+" is empty", emptyFix(fd))
	}
	for i, item := range items {
		place := at.index(i)
		d.mark(place, item)
		if value, ok := d.element(item, l.NewElement(), fd, place); ok {
			l.Append(value)
		}
	}
}

// element reads one value of a list or map. A section is kept even when it has
// problems, so that what refers to it is not reported too.
func (d *decoder) element(n *yaml.Node, empty protoreflect.Value, fd protoreflect.FieldDescriptor, at where) (protoreflect.Value, bool) {
	if isNull(n) {
		d.badNode(at, n, at.String()+" has no value", "write a value, or take the entry out")
		return empty, isSection(fd)
	}
	if isSection(fd) {
		d.message(n, empty.Message(), at)
		return empty, true
	}
	return d.scalar(n, fd, at)
}

// scalar reads one value that has no keys of its own.
func (d *decoder) scalar(n *yaml.Node, fd protoreflect.FieldDescriptor, at where) (protoreflect.Value, bool) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, at, describe(fd))
		return protoreflect.Value{}, false
	}
	value, err := d.convert(n, fd)
	if err == nil {
		err = checkRange(fd, n.Value, value)
	}
	if err != nil {
		d.badText(n, at, err)
		return protoreflect.Value{}, false
	}
	return value, true
}

func (d *decoder) badText(n *yaml.Node, at where, err error) {
	message, fix := told(at, err)
	d.badNode(at, n, message, fix)
}

// told is what is wrong with a field's value, and the fix.
func told(at where, err error) (message, fix string) {
	message = err.Error()
	if m, ok := errors.AsType[*quantity.Mistake](err); ok {
		message, fix = m.Message, m.Fix
	}
	name := at.path[strings.LastIndexByte(at.path, '.')+1:]
	return printable(name) + ": " + message, fix
}

func (d *decoder) convert(n *yaml.Node, fd protoreflect.FieldDescriptor) (protoreflect.Value, error) {
	if err := lintQuotes(n, fd); err != nil {
		return protoreflect.Value{}, err
	}
	text := n.Value
	switch fd.Kind() {
	case protoreflect.MessageKind:
		m, err := parseQuantity(fd, text)
		if err != nil {
			return protoreflect.Value{}, err
		}
		return protoreflect.ValueOfMessage(m.ProtoReflect()), nil
	case protoreflect.EnumKind:
		return parseEnum(fd.Enum(), text)
	case protoreflect.BoolKind:
		if text != "true" && text != "false" {
			return protoreflect.Value{}, quantity.Mistakef("write true or false", "%s is neither true nor false", quoted(text))
		}
		return protoreflect.ValueOfBool(text == "true"), nil
	case protoreflect.Uint32Kind:
		u, err := parseNumber(fd, text, math.MaxUint32)
		return protoreflect.ValueOfUint32(uint32(u)), err
	case protoreflect.Uint64Kind:
		u, err := parseNumber(fd, text, math.MaxUint64)
		return protoreflect.ValueOfUint64(u), err
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), checkText(fd, text)
	}
	return protoreflect.Value{}, fmt.Errorf("read %s: kind %s is not for files", fd.FullName(), fd.Kind())
}

func parseNumber(fd protoreflect.FieldDescriptor, text string, most uint64) (uint64, error) {
	if strings.HasPrefix(text, "-") && quantity.Digits(text[1:]) {
		return 0, quantity.Mistakef("write "+inWords(fd), "%s is negative", quoted(text))
	}
	n, err := quantity.WholeNumber(text, most)
	if _, high := bounds(fd); high != "" && err != nil && quantity.Digits(text) && text[0] != '0' {
		return 0, quantity.Mistakef("write "+inWords(fd), "%s is too large", quoted(text))
	}
	return n, err
}

var sixties = pattern.Lazy(`^[0-9]{1,3}(:[0-9]{1,2}){1,2}$|^[0-9]{4}-[0-9]{2}-[0-9]{2}`)

// lintQuotes refuses plain text that other readers of YAML take for a number
// in base 60 or for a date.
func lintQuotes(n *yaml.Node, fd protoreflect.FieldDescriptor) error {
	const quotes = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	text := fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.MessageKind
	if !text || n.Style&quotes != 0 || !sixties().MatchString(n.Value) {
		return nil
	}
	return quantity.Mistakef("write "+quoted(n.Value)+" with the quotes, since many readers of YAML take it for a number or a date",
		"the time %s is not in quotes", printable(n.Value))
}

func parseEnum(ed protoreflect.EnumDescriptor, text string) (protoreflect.Value, error) {
	values := ed.Values()
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 && spell.Word(v) == text {
			return protoreflect.ValueOfEnum(v.Number()), nil
		}
	}
	texts := enumTexts(ed)
	return protoreflect.Value{}, quantity.Mistakef(withNear(text, texts), "%s is not known here", quoted(text))
}

// withNear lists all legal words and names the one that was probably meant.
func withNear(text string, texts []string) string {
	fix := "use " + oneOf(texts)
	if meant := closest(text, texts); meant != "" {
		fix += "; did you mean " + quoted(meant) + "?"
	}
	return fix
}

var plainWords = pattern.Lazy(`^[A-Za-z]+(\|[A-Za-z]+)+$`)

// checkText holds a string against the field's pattern. Empty text would read
// as a field that was left out, so it is legal only inside lists and maps.
func checkText(fd protoreflect.FieldDescriptor, text string) error {
	form := spell.Option[string](fd, pb.E_Pattern)
	inMap := fd.ContainingMessage().IsMapEntry()
	expression := spell.Option[bool](fd, pb.E_Expression)
	if strings.TrimSpace(text) == "" && (expression || text == "" && !fd.IsList() && !inMap) {
		return quantity.Mistakef("write a text, or leave the key out", "the text is empty")
	}
	if form == "" || pattern.Whole(form).MatchString(text) {
		return checkLegible(fd, text)
	}
	if plainWords().MatchString(form) {
		return quantity.Mistakef(withNear(text, strings.Split(form, "|")), "%s is not known here", quoted(text))
	}
	fix := "write text of the form " + form
	if example := spell.Option[string](fd, pb.E_Example); example != "" {
		fix += ", such as " + example
	}
	return quantity.Mistakef(fix, "%s has the wrong form", quoted(text))
}

// checkLegible refuses what a terminal would obey instead of show.
func checkLegible(fd protoreflect.FieldDescriptor, s string) error {
	if text.Sent(fd) || !strings.ContainsFunc(s, func(r rune) bool { return !text.Legible(r) }) {
		return nil
	}
	return quantity.Mistakef("take them out", "%s has control characters", quoted(s))
}

// wrongType says what a node is and what was expected.
func (d *decoder) wrongType(n *yaml.Node, at where, want string) {
	got := "a text"
	switch n.Kind {
	case yaml.MappingNode:
		got = "a map"
	case yaml.SequenceNode:
		got = "a list"
	case yaml.ScalarNode:
		got = quoted(n.Value)
	}
	d.badNode(at, n, fmt.Sprintf("%s is %s", at, got), "write "+want)
}

// describe says what a field takes, for people.
func describe(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if q, ok := quantities[fd.Message().FullName()]; ok {
			return q.means(fd)
		}
		return "keys and values"
	case protoreflect.EnumKind:
		return oneOf(enumTexts(fd.Enum()))
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a text"
	}
	return "a whole number"
}

// siblings are the keys of several scopes.
func siblings(scopes []scope) []string {
	var all []string
	for _, s := range scopes {
		all = append(all, keys(s.msg.Descriptor())...)
	}
	return slices.Compact(all)
}
