package experiments

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/pattern"
	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// roots are the files of the language, by the first word of a path.
var roots = map[string]protoreflect.MessageDescriptor{
	"experiment": (&pb.Experiment{}).ProtoReflect().Descriptor(),
	"fleet":      (&pb.Fleet{}).ProtoReflect().Descriptor(),
	"host":       (&pb.HostConfig{}).ProtoReflect().Descriptor(),
	"lab":        (&pb.Lab{}).ProtoReflect().Descriptor(),
}

var indices = pattern.Lazy(`\[[0-9]+\]`)

// Explain describes a file or a field of one, from the proto: type, unit,
// range, default, what it is for, and its keys. The path begins with
// experiment, fleet, host or lab; without one of these words it is taken from
// experiment, and one that begins with a fault's name from that fault. Indices and the names
// that a file gives to targets, probes and zones may stand in it.
func Explain(path string) (string, error) {
	path = strings.Trim(indices().ReplaceAllString(path, ""), ".")
	if path == "" {
		return explainFiles(), nil
	}
	root, rest, _ := strings.Cut(path, ".")
	md, ok := roots[root]
	if !ok {
		root, rest, md = "experiment", path, roots["experiment"]
		if slices.ContainsFunc(fault.All(), func(name string) bool { return strings.HasPrefix(path+".", name+".") }) {
			rest = "timeline.faults." + path
		}
	}
	if rest == "" && ok {
		return explainMessage(root, md), nil
	}
	at, fd, err := walk(md, root, rest)
	if err != nil {
		if fault := closest(path, FaultNames()); fault != "" {
			return "", fmt.Errorf("explain %s: no such field; did you mean %s?", quoted(path), quoted(fault))
		}
		return "", err
	}
	return explainField(at, fd), nil
}

func explainFiles() string {
	var b strings.Builder
	for _, name := range Kinds {
		fmt.Fprintf(&b, "%-12s %s\n", name, comment(roots[name]))
	}
	return b.String()
}

// walk follows a dotted path down to a field; at is the path without the names that files give.
func walk(md protoreflect.MessageDescriptor, at, rest string) (string, protoreflect.FieldDescriptor, error) {
	fd, below := cutKey(md, rest)
	if fd == nil {
		if inline := inlineField(md); inline != nil {
			if arm, _ := cutKey(inline.Message(), rest); arm != nil {
				return walk(inline.Message(), at, rest)
			}
		}
		return "", nil, noSuchField(md, at, rest)
	}
	at = join(at, spell.Key(fd))
	if !isOffered(fd) {
		return "", nil, fmt.Errorf("explain %s: this build can't carry it out", quoted(at))
	}
	if below == "" {
		return at, fd, nil
	}
	value := fd
	if fd.IsMap() {
		value = fd.MapValue()
	}
	if !isSection(value) {
		if fd.IsMap() {
			return at, fd, nil
		}
		return "", nil, fmt.Errorf("explain %s: %s has no keys", quoted(join(at, below)), quoted(at))
	}
	if inside, _ := cutKey(value.Message(), below); fd.IsMap() && inside == nil {
		_, after, ok := strings.Cut(below, ".")
		if !ok {
			return at, fd, nil
		}
		below = after
	}
	return walk(value.Message(), at, below)
}

func noSuchField(md protoreflect.MessageDescriptor, at, rest string) error {
	names := allKeys(md)
	word, _, _ := strings.Cut(rest, ".")
	near := closest(rest, names)
	if near == "" {
		near = closest(word, names)
	}
	if near != "" {
		return fmt.Errorf("explain %s: no such field; did you mean %s?", quoted(join(at, rest)), quoted(join(at, near)))
	}
	return fmt.Errorf("explain %s: no such field; %s has %s", quoted(join(at, rest)), at, oneOf(names))
}

// allKeys are the keys of a message and the arms of its inline field.
func allKeys(md protoreflect.MessageDescriptor) []string {
	names := keys(md)
	if inline := inlineField(md); inline != nil {
		names = append(names, keys(inline.Message())...)
	}
	return names
}

func explainMessage(at string, md protoreflect.MessageDescriptor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", at)
	paragraph(&b, "  ", comment(md))
	children(&b, md)
	return b.String()
}

func explainField(at string, fd protoreflect.FieldDescriptor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", at)
	for _, fact := range facts(fd) {
		fmt.Fprintf(&b, "  %s\n", fact)
	}
	paragraph(&b, "  ", comment(fd))
	value := fd
	if fd.IsMap() {
		value = fd.MapValue()
	}
	switch {
	case isSection(value):
		paragraph(&b, "  ", comment(value.Message()))
		children(&b, value.Message())
		if fd.ContainingMessage() == faultKinds().Parent() {
			step := (&pb.Step{}).ProtoReflect().Descriptor()
			fmt.Fprintf(&b, "\nbeside them stand the keys of every fault (explain timeline.faults)\n")
			wrap(&b, "  ", strings.Join(keys(step), ", "))
		}
	case value.Enum() != nil:
		enumValues(&b, value.Enum())
	}
	return b.String()
}

// facts are what the descriptor says of a field, a line each.
func facts(fd protoreflect.FieldDescriptor) []string {
	lines := []string{takes(fd)}
	add := func(when bool, text string) {
		if when {
			lines = append(lines, text)
		}
	}
	low, high := bounds(fd)
	add(isRequired(fd), "required")
	for _, o := range []struct {
		label string
		text  string
	}{
		{"default ", spell.Option[string](fd, pb.E_Default)},
		{"form ", spell.Option[string](fd, pb.E_Pattern)},
		{"example ", spell.Option[string](fd, pb.E_Example)},
	} {
		add(o.text != "", o.label+o.text)
	}
	add(low+high != "", "range "+inWords(fd))
	add(spell.Option[bool](fd, pb.E_Incident), "incident time: divided by clock.speed")
	add(spell.Option[bool](fd, pb.E_Expression), "an expression over probes and targets")
	add(isMeasured(fd), "measured: only a fleet file may say it")
	return lines
}

// takes says what a field holds, with the forms that a file may use.
func takes(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap() && isSection(fd.MapValue()):
		return "names that you choose, each with keys and values"
	case fd.IsMap():
		return "names that you choose, each with " + describe(fd.MapValue())
	case fd.IsList():
		return "a list; one alone needs no list: " + single(fd)
	}
	return single(fd)
}

func single(fd protoreflect.FieldDescriptor) string {
	if !isSection(fd) {
		return describe(fd)
	}
	if scalar := scalarForm(fd.Message()); scalar != nil {
		return fmt.Sprintf("keys and values, or just its %s: %s", spell.Key(scalar), describe(scalar))
	}
	return "keys and values"
}

// children lists the keys of a message, and the arms that may stand in its place.
func children(b *strings.Builder, md protoreflect.MessageDescriptor) {
	if inline := inlineField(md); inline != nil {
		fmt.Fprintf(b, "\none of these is the key, with its own keys and those listed next below it\n")
		keyList(b, inline.Message())
	}
	if md.Fields().Len() > 0 {
		fmt.Fprintf(b, "\nkeys (* required)\n")
		keyList(b, md)
	}
}

func keyList(b *strings.Builder, md protoreflect.MessageDescriptor) {
	for fd := range offered(md) {
		star := " "
		if isRequired(fd) {
			star = "*"
		}
		fmt.Fprintf(b, " %s%-18s %s\n", star, spell.Key(fd), strings.Join(facts(fd)[:1], ""))
		says := comment(fd)
		if text := spell.Option[string](fd, pb.E_Default); text != "" {
			says += " Default " + text + "."
		}
		if says != "" {
			wrap(b, strings.Repeat(" ", 21), says)
		}
	}
}

func enumValues(b *strings.Builder, ed protoreflect.EnumDescriptor) {
	fmt.Fprintf(b, "\nvalues\n")
	for i := range ed.Values().Len() {
		if v := ed.Values().Get(i); v.Number() != 0 && isOffered(v) {
			fmt.Fprintf(b, "  %-18s %s\n", spell.Word(v), comment(v))
		}
	}
}

func paragraph(b *strings.Builder, indent, text string) {
	if text != "" {
		b.WriteByte('\n')
		wrap(b, indent, text)
	}
}

// wrap breaks text into lines of at most 96 characters.
func wrap(b *strings.Builder, indent, text string) {
	const width = 96
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) > width && line != indent {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
